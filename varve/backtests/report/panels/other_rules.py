"""The same decisions under other rules, where ``backtest rescore`` left them."""

from __future__ import annotations

from typing import ClassVar

from varve.backtests.report.panel import PanelInput, rendered


class OtherRules:
    """What the decisions come to by the papers' rules."""

    title: ClassVar[str] = "By other rules"
    place: ClassVar[int] = 30

    def html(self, shown: PanelInput) -> str:
        """Return sentences, chart and table; empty where the run was not rescored."""
        rescored = shown.beside.rescored
        return rendered("panels/other_rules.html.j2", rescored=rescored) if rescored else ""
