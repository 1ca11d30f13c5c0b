"""What a rescored run says: the table, the rules beside each other, and the difference in two sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from varve.backtests.record.cards import ColumnTold, RescoreCard, ScoredTold, StageTold, TableTold
from varve.backtests.results.metric import absent
from varve.backtests.results.paper_scores import Scored
from varve.backtests.studies.rescore.rescore import IN_WORDS, REALISTIC, Column, Rescored

SMALL = 0.0005
"""Changes of total return below 0.05 points are not told."""


class TableRow(NamedTuple):
    """A label and a cell per rule; ``cells`` is empty for the heading of a block."""

    label: str
    cells: tuple[str, ...] = ()


def signed(value: float, form: str) -> str:
    """A number with its sign, a true minus, and none where it is shown as zero."""
    text = f"{value:+{form}}"
    return text[1:] if not any(digit in text for digit in "123456789") else text.replace("-", "−")


def percent(value: float | None) -> str:
    """A fraction as percent with sign and one decimal."""
    return absent("not in the paper") if value is None else f"{signed(100 * value, '.1f')} %"


def size(value: float | None) -> str:
    """A fraction that is never negative, as percent with one decimal."""
    return absent("not in the paper") if value is None else f"{100 * value:.1f} %"


def ratio(value: float | None) -> str:
    """Two decimals."""
    return absent("the returns never move") if value is None else f"{value:.2f}".replace("-", "−")


_FIGURES: tuple[tuple[str, Callable[[Scored], str]], ...] = (
    ("total return", lambda s: percent(s.total_return)),
    ("annual return", lambda s: percent(s.annual_return)),
    ("annual volatility", lambda s: size(s.annual_volatility)),
    ("Sharpe", lambda s: ratio(s.sharpe)),
    ("max drawdown", lambda s: size(s.max_drawdown)),
    ("trades", lambda s: f"{s.trades:,}"),
    ("long/flat/short", lambda s: _shares(s.position)),
)
_COMPARED = _FIGURES[:1] + _FIGURES[3:5]


def table(rescored: Rescored) -> tuple[list[str], list[TableRow]]:
    """Header and rows: the agent, then buying at the first decision and holding, under the same rules."""
    columns = rescored.columns
    rows = [TableRow(rescored.agent)]
    rows += [TableRow(name, tuple(shown(c.agent) for c in columns)) for name, shown in _FIGURES]
    rows.append(TableRow("costs", tuple(_costs(c, rescored.currency) for c in columns)))
    rows.append(TableRow("buy-and-hold"))
    rows += [TableRow(name, tuple(shown(c.buy_and_hold) for c in columns)) for name, shown in _COMPARED]
    return ["", *(column.rule for column in columns)], rows


def _shares(position: Sequence[int]) -> str:
    return "/".join(f"{100 * position.count(side) / len(position):.0f}" for side in (1, 0, -1)) + " %"


def _costs(column: Column, currency: str) -> str:
    if column.costs is not None:
        return f"{column.costs:,.0f} {currency}"
    return "none" if column.rule == "finmem-paper" else "0.1 % a side"


def sentences(rescored: Rescored) -> tuple[str, str]:
    """What the rules make of the same decisions, and where the difference comes from."""
    counts = ", ".join(f"{count} {action}" for action, count in rescored.counts.items())
    scores = [
        f"{percent(c.agent.total_return)} with a Sharpe ratio of {ratio(c.agent.sharpe)} "
        f"under {IN_WORDS[c.rule]}"
        for c in rescored.columns
    ]
    held = _listed([percent(c.buy_and_hold.total_return) for c in rescored.columns])
    first = (
        f"The same {len(rescored.actions)} decisions ({counts}) come to {_listed(scores)}; "
        f"buying at the first of them and holding comes to {held}."
    )
    return first, _difference(rescored)


def _difference(rescored: Rescored) -> str:
    stages = rescored.stages
    if not stages:
        return f"These are {IN_WORDS[REALISTIC]} alone: nothing is beside them to differ from."
    whole = stages[-1].total_return - stages[0].total_return
    way = f"from {stages[0].change} to {IN_WORDS[REALISTIC]}"
    changes = [
        (_CAUSES.get(after.change, after.change), after.total_return - before.total_return)
        for before, after in pairwise(stages)
    ]
    told = [f"{cause} {points(change)}" for cause, change in changes if abs(change) >= SMALL]
    if not told:
        return f"The way {way} changes nothing to speak of ({points(whole)} points)."
    return f"The way {way} makes {points(whole)} points; one change at a time, {_listed(told)}."


_CAUSES = {
    "returns compounded": "compounding returns instead of adding up their logarithms makes",
    "HOLD keeps the position": "letting HOLD keep the position instead of leaving the market makes",
    "SELL closes, no shorts": "letting SELL close instead of selling short makes",
    "filled at the next open": "filling at the next open instead of the close already read makes",
    "filled at the next close": "filling at the next close instead of the one already read makes",
    "whole lots, 1 % cash, dividends": "whole lots, 1 % in cash and dividends make",
    "no fee, fractions of shares": "leaving out its 0.1 % fee and whole shares makes",
    "costs": "half-spread, commission and impact make",
}


def points(change: float) -> str:
    """A difference of fractions in percent points."""
    return signed(100 * change, ".1f")


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def rules_table(rescored: Rescored) -> list[TableRow]:
    """What each of the rules takes a decision to mean."""
    fill = "the next open" if rescored.fill_rule == "next_open" else "the next close"
    told: dict[str, tuple[str, str, str]] = {
        "HOLD": ("flat", "keeps the position", "keeps the position"),
        "SELL": ("short", "sells all", "sells all"),
        "filled at": ("the close already read", "the close already read", fill),
        "size": ("the whole, set anew each day", "10,000, whole shares", "99 % of equity, whole lots"),
        "costs": ("none", "0.1 % a side", "commission, half-spread, impact"),
        "return": ("sum of log returns", "last value ÷ first", "compounded, with dividends"),
        "Sharpe": ("Σ ÷ years ÷ (s·√252)", "mean ÷ σ · √T, T sessions", "mean ÷ s, to a year"),
    }
    places = {"finmem-paper": 0, "finagent-paper": 1, REALISTIC: 2}
    return [
        TableRow(name, tuple(cells[places[column.rule]] for column in rescored.columns))
        for name, cells in told.items()
    ]


def rescore_card(rescored: Rescored) -> RescoreCard:
    """Return what ``rescore.json`` holds; curves have one entry per session, positions one per decision."""
    header, rows = table(rescored)
    return RescoreCard(
        run_id=rescored.run_id,
        run_digest=rescored.run_digest,
        agent=rescored.agent,
        ticker=rescored.ticker,
        synthetic=rescored.synthetic,
        fill_rule=rescored.fill_rule,
        currency=rescored.currency,
        start=rescored.sessions[0].isoformat(),
        end=rescored.sessions[-1].isoformat(),
        decisions=rescored.counts,
        failures=rescored.failures,
        columns=tuple(_column_told(column) for column in rescored.columns),
        stages=tuple(StageTold(change=s.change, total_return=s.total_return) for s in rescored.stages),
        sentences=sentences(rescored),
        table=TableTold(header=tuple(header), rows=tuple((row.label, *row.cells) for row in rows)),
    )


def _column_told(column: Column) -> ColumnTold:
    return ColumnTold(
        rule=column.rule,
        agent=_scored_told(column.agent),
        buy_and_hold=_scored_told(column.buy_and_hold),
        costs=column.costs,
    )


def _scored_told(scored: Scored) -> ScoredTold:
    return ScoredTold(
        total_return=scored.total_return,
        annual_return=scored.annual_return,
        annual_volatility=scored.annual_volatility,
        sharpe=scored.sharpe,
        max_drawdown=scored.max_drawdown,
        trades=scored.trades,
        wealth=scored.wealth,
        position=scored.position,
    )
