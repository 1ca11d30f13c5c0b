"""The audit's card, where ``backtest audit`` left one."""

from __future__ import annotations

from typing import ClassVar

from varve.backtests.report.panel import PanelInput, rendered


class Audit:
    """Which tests of a believable run it passed."""

    title: ClassVar[str] = "Audit"
    place: ClassVar[int] = 10

    def html(self, shown: PanelInput) -> str:
        """Return one line a check; empty where the run was not audited."""
        audit = shown.beside.audit
        return rendered("panels/audit.html.j2", audit=audit) if audit else ""
