"""The same decisions under other rules: those of the papers beside realistic ones. No model is called.

Decisions come from a run's journal and prices from its inputs, so a copied run folder is enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from varve.backtests.record.folder import RunFolder
from varve.backtests.record.rows import StepRow
from varve.backtests.results.metrics import compute_metrics
from varve.backtests.results.paper_scores import SCORING, Scored, carried
from varve.backtests.results.returns import bars_per_year
from varve.backtests.results.tables import recorded_trading
from varve.backtests.results.track import Track, split_factors, track_of_records
from varve.backtests.simulate.prepare import Prepared
from varve.backtests.simulate.steps import make_simulation
from varve.errors import UnknownNameError
from varve.market.data import Floats
from varve.market.observation import Observation
from varve.strategies.base import RunContext, Trader
from varve.types import Action, Decision, Intent, Trace

REALISTIC = "varve"
RULES = ("finmem-paper", "finagent-paper", REALISTIC)
IN_WORDS = {
    "finmem-paper": "FinMem's rules",
    "finagent-paper": "FinAgent's rules",
    REALISTIC: "realistic rules",
}
"""What each rule is called in words."""


class Stage(NamedTuple):
    """A rule changed on the way from a paper's rules to realistic ones; ``total_return`` a fraction."""

    change: str
    total_return: float


@dataclass(frozen=True, slots=True)
class Column:
    """One rule's view of the agent's decisions and of buying at the first of them; costs in currency."""

    rule: str
    agent: Scored
    buy_and_hold: Scored
    costs: float | None = None


@dataclass(frozen=True)
class Rescored:
    """A run under several rules.

    ``sessions``: shape (n + 1,); ``actions``: the recorded ones, shape (n,), a failed decision being
    HOLD. ``stages``: from the first paper's rules among the columns to realistic ones, one change at a
    time, the first being the paper's score itself; empty without a paper's rules.
    """

    run_id: str
    run_digest: str | None
    agent: str
    ticker: str
    label: str
    synthetic: bool
    fill_rule: str
    currency: str
    sessions: tuple[date, ...]
    actions: tuple[Action, ...]
    failures: int
    columns: tuple[Column, ...]
    stages: tuple[Stage, ...]

    def column(self, rule: str) -> Column | None:
        """The column of that rule, where it was asked for."""
        return next((column for column in self.columns if column.rule == rule), None)

    @property
    def counts(self) -> dict[str, int]:
        """How often each action was decided."""
        found = Counter(self.actions)
        return {action.value: found[action] for action in Action if found[action]}


class _Recorded(Trader):
    """Gives the actions of a record again; None where a decision failed, which keeps the position."""

    def __init__(self, actions: Sequence[Action | None]) -> None:
        super().__init__()
        self._actions = actions

    def decide(self, observation: Observation) -> Decision:
        action = self._actions[observation.step]
        return Decision() if action is None else Decision(orders=(Intent(observation.instrument, action),))


def rescore(folder: RunFolder, rules: Sequence[str] = RULES) -> Rescored:
    """Score a run's recorded decisions under each of ``rules``; the realistic ones are always among them.

    Splits are undone for the papers' rules, which know none; dividends count under the realistic ones
    alone, as the papers score prices.

    Raises:
        UnknownNameError: for a rule that does not exist.
        BadFileError: if the run's folder is not whole, or holds no decision.
    """
    for rule in rules:
        if rule not in RULES:
            raise UnknownNameError("scoring rule", rule, RULES)
    trading = recorded_trading(folder)
    run, prepared = trading.run, _realistic(trading.prepared)
    decided = [_action(row) for row in trading.steps]
    actions = tuple(action or Action.HOLD for action in decided)
    first, last = prepared.window.first, prepared.window.last
    sessions = tuple(prepared.data.bars.session(i) for i in range(first, last + 1))
    factors = np.asarray(split_factors(sessions, prepared.data.events))
    closes = prepared.data.bars.close[first : last + 1] / factors
    opens = prepared.data.bars.open[first : last + 1] / factors
    bought: list[Action | None] = [Action.BUY] * len(actions)
    held = [Action.BUY] * len(actions)
    columns = [
        Column(rule, SCORING[rule](closes.tolist(), actions), SCORING[rule](closes.tolist(), held))
        for rule in RULES
        if rule in rules and rule != REALISTIC
    ]
    columns.append(_realistic_column(prepared, _traded(prepared, decided), _traded(prepared, bought)))
    free = _traded(_without_costs(prepared), decided)
    return Rescored(
        run_id=run.run_id,
        run_digest=run.run_digest,
        agent=run.config.agent,
        ticker=run.config.ticker,
        label=run.data_label,
        synthetic=run.synthetic,
        fill_rule=prepared.fill_rule,
        currency=prepared.data.instrument.currency,
        sessions=sessions,
        actions=actions,
        failures=sum(row.failure is not None for row in trading.steps),
        columns=tuple(columns),
        stages=_stages(columns, closes, opens, prepared.fill_rule, actions, _total(free)),
    )


def _stages(
    columns: Sequence[Column],
    closes: Floats,
    opens: Floats,
    fill_rule: str,
    actions: tuple[Action, ...],
    free: float,
) -> tuple[Stage, ...]:
    """Total returns on the way from a paper's rules to realistic ones, one change at a time."""
    paper, real = columns[0], columns[-1]
    if paper is real:
        return ()
    sides = np.asarray(carried(actions), dtype=np.float64)
    long = np.maximum(sides, 0.0)
    change = closes[1:] / closes[:-1] - 1
    # What is paid where a position is taken: the next open, or the next close.
    entry, fill = closes[1:], "close"
    if fill_rule == "next_open":
        entry, fill = np.where(np.isnan(opens), closes, opens)[1:], "open"
    before = np.concatenate([[0.0], long[:-1]])
    filled = (1 + before * (entry / closes[:-1] - 1)) * (1 + long * (closes[1:] / entry - 1))
    if paper.rule == "finmem-paper":
        ways = [
            Stage("returns compounded", _compounded(1 + np.asarray(paper.agent.position) * change)),
            Stage("HOLD keeps the position", _compounded(1 + sides * change)),
            Stage("SELL closes, no shorts", _compounded(1 + long * change)),
        ]
    else:
        ways = [Stage("no fee, fractions of shares", _compounded(1 + long * change))]
    return (
        Stage(IN_WORDS[paper.rule], paper.agent.total_return),
        *ways,
        Stage(f"filled at the next {fill}", _compounded(filled)),
        Stage("whole lots, 1 % cash, dividends", free),
        Stage("costs", real.agent.total_return),
    )


def _compounded(growth: Floats) -> float:
    return float(np.prod(growth)) - 1.0


def _action(row: StepRow) -> Action | None:
    return None if row.decision.action is None else Action(row.decision.action)


def _realistic(prepared: Prepared) -> Prepared:
    """All of the account, at retail costs: as the run's settings have them where those are its costs."""
    costs = prepared.config.cost_settings if prepared.config.costs == "retail" else {}
    return _under(prepared, costs="retail", sizer="all_in", fill="auto", settings={"costs": costs})


def _without_costs(prepared: Prepared) -> Prepared:
    return _under(prepared, costs="zero", settings={})


def _under(prepared: Prepared, **changes: Any) -> Prepared:
    return replace(prepared, config=prepared.config.model_copy(update=changes))


def _traded(prepared: Prepared, actions: Sequence[Action | None]) -> Track:
    trader, trace, window = _Recorded(actions), Trace(), prepared.window
    trader.begin(RunContext("rescore", prepared.data.instrument, prepared.fill_rule))
    records = list(make_simulation(prepared, trader, trace).trade(window.first, window.last))
    return track_of_records("rescored", records, prepared)


def _total(track: Track) -> float:
    return track.equity[-1] / track.equity[0] - 1.0


def _realistic_column(prepared: Prepared, agent: Track, held: Track) -> Column:
    per_year = bars_per_year(agent, prepared.data.instrument.calendar)
    costs = sum(f.commission + (f.price - f.reference_price) * f.quantity for f in agent.fills)
    return Column(REALISTIC, _scored(agent, per_year), _scored(held, per_year), costs)


def _scored(track: Track, per_year: float) -> Scored:
    figures = compute_metrics(track, per_year)
    return Scored(
        total_return=figures.total_return,
        annual_return=figures.annual_return,
        annual_volatility=figures.annual_volatility,
        sharpe=figures.sharpe,
        max_drawdown=-figures.max_drawdown,
        wealth=tuple(value / track.equity[0] for value in track.equity),
        position=tuple(int(np.sign(quantity)) for quantity in track.position[1:]),
    )
