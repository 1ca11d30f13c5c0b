"""The table of a comparison: figures down, runs across, in blocks that a narrow terminal can hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from varve.backtests.results.metric import (
    Metric,
    absent,
    in_words,
    probability_in_words,
    registered_metrics,
    why_absent,
)
from varve.backtests.studies.compare.bootstrap import MIN_SESSIONS

if TYPE_CHECKING:
    from varve.backtests.results.sharpe import Estimate
    from varve.backtests.studies.compare.comparison import Column, Comparison, Difference

# A cell and the three characters before it.
LABEL_WIDTH, CELL_WIDTH = 17, 18
HOLDING = "holding"
"""Why buy-and-hold has no figure against itself, nor a count of trials."""
AS_ABOVE = "as above"
"""What repeats a reason that stands in the row before."""

Cell = Callable[["Column"], str]


def blocks(found: Comparison, width: int) -> list[tuple[list[str], list[list[str]]]]:
    """Tables of text no wider than ``width`` characters: header and rows of each, labels first."""
    columns = [*found.runs, *found.held]
    fit = max(1, (width - LABEL_WIDTH) // CELL_WIDTH)
    parts = [columns[i : i + fit] for i in range(0, len(columns), fit)]
    return [(["", *(c.key for c in part)], _cells(part, _rows(columns))) for part in parts]


def _cells(part: Sequence[Column], rows: Sequence[tuple[str, Cell]]) -> list[list[str]]:
    found = [[label, *(fill(cell(column), CELL_WIDTH - 3) for column in part)] for label, cell in rows]
    if any(column.run_id is not None for column in part):
        return found
    # A block of buy-and-hold alone has no use for what is measured against it.
    return [row for row in found if any(cell != absent(HOLDING) for cell in row[1:])]


def _rows(columns: Sequence[Column]) -> list[tuple[str, Cell]]:
    rows: list[tuple[str, Cell]] = [
        ("annual return", lambda c: in_words(c.metrics.annual_return, "percent", "no value here")),
        ("Sharpe", lambda c: _figure(c, "sharpe")),
        ("  95 % interval", lambda c: _interval(c.sharpe)),
        ("in position", lambda c: f"{c.metrics.sessions_in_position:,} sess."),
        ("  in spells", lambda c: f"{c.metrics.spells:,}"),
        ("Calmar", lambda c: _figure(c, "calmar")),
        ("Sortino", lambda c: _figure(c, "sortino")),
        ("max drawdown", lambda c: in_words(c.metrics.max_drawdown, "percent")),
        ("  resampled", lambda c: _percents(c, c.resampled and c.resampled.max_drawdown)),
        ("annual volatility", lambda c: in_words(c.metrics.annual_volatility, "percent", "no value here")),
        ("total return", lambda c: in_words(c.metrics.total_return, "percent")),
        ("  resampled", lambda c: _percents(c, c.resampled and c.resampled.total_return)),
        ("turnover a year", lambda c: f"{c.metrics.turnover:.1f}×"),
        *_extra_rows(),
        ("FinAgent's ARR", lambda c: in_words(c.finagent.annual_return, "percent", "no value here")),
        ("FinAgent's Sharpe", lambda c: in_words(c.finagent.sharpe, "ratio", "the returns never move")),
        ("FinAgent's MDD", lambda c: in_words(0.0 - c.finagent.max_drawdown, "percent")),
        ("less hold: Sharpe", lambda c: _value(c.against_held, HOLDING)),
        ("  95 % interval", lambda c: _span(c.against_held, HOLDING)),
        ("  p, Holm", lambda c: _p(c.against_held, HOLDING)),
    ]
    if any(column.against_first is not None for column in columns):
        rows += [
            ("less 1: Sharpe", lambda c: _value(c.against_first, _not_against_1(c))),
            ("  95 % interval", lambda c: _span(c.against_first, _not_against_1(c))),
            ("  p, Holm", lambda c: _p(c.against_first, _not_against_1(c))),
        ]
    return [
        *rows,
        ("break-even cost", _break_even),
        ("P(Sharpe > 0)", _probability),
        ("deflated Sharpe", _deflated),
        ("  settings tried", _tried),
        ("min. track record", _record),
    ]


def _extra_rows() -> list[tuple[str, Cell]]:
    """A row for each metric of another package."""

    def row(name: str, metric: Metric) -> tuple[str, Cell]:
        return metric.label, lambda c: in_words(c.metrics.extra.get(name), metric.unit, "no value here")

    return [row(name, metric) for name, metric in registered_metrics().items()]


def _figure(column: Column, name: str) -> str:
    return in_words(getattr(column.metrics, name), "ratio", why_absent(name, column.metrics))


def _percents(column: Column, span: tuple[float, float] | None) -> str:
    if span is not None:
        return f"{100 * span[0]:.0f} to {100 * span[1]:.0f} %"
    count = column.metrics.sessions - 1
    few = f"{count} sessions, {MIN_SESSIONS} needed"
    return absent(few if count < MIN_SESSIONS else why_absent("sharpe", column.metrics))


def _not_against_1(column: Column) -> str:
    return HOLDING if column.run_id is None else "run 1 itself"


def _value(difference: Difference | None, without: str) -> str:
    if difference is None:
        return absent(without)
    estimate = difference.estimate
    return absent(estimate.why) if estimate.why else f"{estimate.value:+.2f}"


def _interval(estimate: Estimate) -> str:
    return absent(estimate.why) if estimate.why else f"{estimate.low:.1f} to {estimate.high:.1f}"


def _span(difference: Difference | None, without: str) -> str:
    if difference is None:
        return absent(without if without == HOLDING else AS_ABOVE)
    return absent(AS_ABOVE) if difference.estimate.why else _interval(difference.estimate)


def _p(difference: Difference | None, without: str) -> str:
    if difference is None or difference.estimate.why:
        return _span(difference, without)
    if difference.holm_p < 0.001:
        return "< 0.001"
    return "> 0.99" if difference.holm_p >= 0.995 else f"{difference.holm_p:.3f}"


def _break_even(column: Column) -> str:
    if column.break_even_bps is None:
        return absent(HOLDING if column.run_id is None else "trades no more than holding")
    return f"{column.break_even_bps:.0f} bps" if column.break_even_bps > 0 else "none"


def _without_luck(column: Column) -> str:
    if column.luck is None:
        return HOLDING
    return AS_ABOVE if column.luck.why else "no trial registry"


def _probability(column: Column) -> str:
    value = None if column.luck is None else column.luck.probabilistic
    return probability_in_words(value, column.luck.why if column.luck else HOLDING)


def _deflated(column: Column) -> str:
    if column.luck is None or column.luck.deflated is None:
        return absent(_without_luck(column))
    return probability_in_words(column.luck.deflated.probability)


def _tried(column: Column) -> str:
    if column.luck is None or column.luck.deflated is None:
        return absent(_without_luck(column))
    least = "" if column.luck.complete else "≥ "
    return f"{least}{column.luck.deflated.settings:,}"


def _record(column: Column) -> str:
    if column.luck is None or math.isnan(column.luck.minimum_sessions):
        return absent(_without_luck(column))
    if math.isinf(column.luck.minimum_sessions):
        return "never"
    return f"{column.luck.minimum_sessions:,.0f} sess."
