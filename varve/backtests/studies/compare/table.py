"""The table of a comparison: figures down, runs across, in blocks that a narrow terminal can hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from varve.backtests.report.metric_rows import ABSENT
from varve.backtests.results.metric import Metric, in_words, registered_metrics

if TYPE_CHECKING:
    from varve.backtests.studies.compare.comparison import Column, Comparison, Difference

# A cell and the three characters before it.
LABEL_WIDTH, CELL_WIDTH = 17, 18

Cell = Callable[["Column"], str]


def blocks(found: Comparison, width: int) -> list[tuple[list[str], list[list[str]]]]:
    """Tables of text no wider than ``width`` characters: header and rows of each, labels first."""
    columns = [*found.runs, *found.held]
    fit = max(1, (width - LABEL_WIDTH) // CELL_WIDTH)
    parts = [columns[i : i + fit] for i in range(0, len(columns), fit)]
    return [(["", *(c.key for c in part)], _cells(part, _rows(columns))) for part in parts]


def _cells(part: Sequence[Column], rows: Sequence[tuple[str, Cell]]) -> list[list[str]]:
    found = [[label, *(cell(column) for column in part)] for label, cell in rows]
    if any(column.run_id is not None for column in part):
        return found
    # A block of buy-and-hold alone has no use for what is measured against it.
    return [row for row in found if set(row[1:]) != {ABSENT}]


def _rows(columns: Sequence[Column]) -> list[tuple[str, Cell]]:
    rows: list[tuple[str, Cell]] = [
        ("annual return", lambda c: _percent(c.metrics.annual_return)),
        ("Sharpe", lambda c: _ratio(c.metrics.sharpe)),
        ("  95 % interval", lambda c: _span(c.sharpe.low, c.sharpe.high)),
        ("Calmar", lambda c: _ratio(c.metrics.calmar)),
        ("Sortino", lambda c: _ratio(c.metrics.sortino)),
        ("max drawdown", lambda c: _percent(c.metrics.max_drawdown)),
        ("  resampled", lambda c: _percents(c.resampled and c.resampled.max_drawdown)),
        ("annual volatility", lambda c: _percent(c.metrics.annual_volatility)),
        ("total return", lambda c: _percent(c.metrics.total_return)),
        ("  resampled", lambda c: _percents(c.resampled and c.resampled.total_return)),
        ("turnover a year", lambda c: f"{c.metrics.turnover:.1f}×"),
        *_extra_rows(),
        ("FinAgent's ARR", lambda c: _percent(c.finagent.annual_return)),
        ("FinAgent's Sharpe", lambda c: _ratio(c.finagent.sharpe)),
        ("FinAgent's MDD", lambda c: _percent(0.0 - c.finagent.max_drawdown)),
        ("less hold: Sharpe", lambda c: _value(c.against_held)),
        ("  95 % interval", lambda c: _interval(c.against_held)),
        ("  p, Holm", lambda c: _p(c.against_held)),
    ]
    if any(column.against_first is not None for column in columns):
        rows += [
            ("less 1: Sharpe", lambda c: _value(c.against_first)),
            ("  95 % interval", lambda c: _interval(c.against_first)),
            ("  p, Holm", lambda c: _p(c.against_first)),
        ]
    return [
        *rows,
        ("break-even cost", _break_even),
        ("P(Sharpe > 0)", lambda c: _ratio(c.luck.probabilistic if c.luck else None)),
        ("deflated Sharpe", _deflated),
        ("  settings tried", _tried),
        ("min. track record", _record),
    ]


def _extra_rows() -> list[tuple[str, Cell]]:
    """A row for each metric of another package."""

    def row(name: str, metric: Metric) -> tuple[str, Cell]:
        return metric.label, lambda c: in_words(c.metrics.extra.get(name), metric.unit)

    return [row(name, metric) for name, metric in registered_metrics().items()]


def _percent(value: float | None) -> str:
    return ABSENT if value is None or not math.isfinite(value) else f"{100 * value:.1f} %"


def _percents(span: tuple[float, float] | None) -> str:
    return ABSENT if span is None else f"{100 * span[0]:.0f} to {100 * span[1]:.0f} %"


def _ratio(value: float | None) -> str:
    return ABSENT if value is None or not math.isfinite(value) else f"{value:.2f}"


def _span(low: float, high: float) -> str:
    return ABSENT if math.isnan(low) else f"{low:.1f} to {high:.1f}"


def _value(difference: Difference | None) -> str:
    if difference is None or math.isnan(difference.estimate.value):
        return ABSENT
    return f"{difference.estimate.value:+.2f}"


def _interval(difference: Difference | None) -> str:
    return ABSENT if difference is None else _span(difference.estimate.low, difference.estimate.high)


def _p(difference: Difference | None) -> str:
    if difference is None or math.isnan(difference.holm_p):
        return ABSENT
    return "< 0.001" if difference.holm_p < 0.001 else f"{difference.holm_p:.3f}"


def _break_even(column: Column) -> str:
    if column.break_even_bps is None:
        return ABSENT
    return f"{column.break_even_bps:.0f} bps" if column.break_even_bps > 0 else "none"


def _deflated(column: Column) -> str:
    if column.luck is None or column.luck.deflated is None:
        return ABSENT
    return _ratio(column.luck.deflated.probability)


def _tried(column: Column) -> str:
    if column.luck is None or column.luck.deflated is None:
        return ABSENT
    least = "" if column.luck.complete else "≥ "
    return f"{least}{column.luck.deflated.settings:,}"


def _record(column: Column) -> str:
    if column.luck is None or math.isnan(column.luck.minimum_sessions):
        return ABSENT
    if math.isinf(column.luck.minimum_sessions):
        return "never"
    return f"{column.luck.minimum_sessions:,.0f} sess."
