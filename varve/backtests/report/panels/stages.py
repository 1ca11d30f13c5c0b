"""What each stage of the agent's days did and cost."""

from __future__ import annotations

from typing import ClassVar

from varve.backtests.report.day_stages import stage_table
from varve.backtests.report.panel import PanelInput, rendered


class Stages:
    """Stages, calls and tokens over the run."""

    title: ClassVar[str] = "Stages and tokens"
    place: ClassVar[int] = 20

    def html(self, shown: PanelInput) -> str:
        """Return a table; empty where no model was asked."""
        header, rows = stage_table([*shown.details.lessons, *shown.steps], shown.details.calls)
        return rendered("panels/stages.html.j2", header=header, rows=rows) if rows else ""
