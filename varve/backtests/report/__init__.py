"""``report.html``: the page, its panels and its charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.report.cited_memories import paid
    from varve.backtests.report.day_charts import DayCharts
    from varve.backtests.report.day_stages import pictures
    from varve.backtests.report.equity_charts import draw_charts, set_dates
    from varve.backtests.report.memory_chart import draw_timelines
    from varve.backtests.report.metric_rows import ABSENT, table_rows
    from varve.backtests.report.page import write_report
    from varve.backtests.report.panel import Beside, Details, Panel, PanelInput, Rescored

_HOMES = {
    "ABSENT": "metric_rows",
    "Beside": "panel",
    "DayCharts": "day_charts",
    "Details": "panel",
    "Panel": "panel",
    "PanelInput": "panel",
    "Rescored": "panel",
    "draw_charts": "equity_charts",
    "draw_timelines": "memory_chart",
    "paid": "cited_memories",
    "pictures": "day_stages",
    "set_dates": "equity_charts",
    "table_rows": "metric_rows",
    "write_report": "page",
}

__all__ = [
    "ABSENT",
    "Beside",
    "DayCharts",
    "Details",
    "Panel",
    "PanelInput",
    "Rescored",
    "draw_charts",
    "draw_timelines",
    "paid",
    "pictures",
    "set_dates",
    "table_rows",
    "write_report",
]


__getattr__ = lazy(__name__, _HOMES)
