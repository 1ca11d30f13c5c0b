"""The one step of a trading day, used by backtest, replay and paper trading alike.

Outcomes that have become known are learned, the trader decides on the day's view, the order desk makes
orders of it, the exchange fills them at the next bar, and everything goes into one record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np

from varve.backtests.record.step import StepRecord
from varve.clock import stopwatch
from varve.envs.costs import CostModel
from varve.envs.desk import Desk
from varve.envs.exchange import Exchange
from varve.envs.step import StepResult
from varve.errors import TooManyFailuresError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.strategies.base import Lesson, Trader
from varve.types import RULES, Decision, Instrument, Outcome, Portfolio, Trace

FAILURE_WINDOW, FAILURES_ALLOWED = 50, 5
"""More than 5 failures in the last 50 decisions stop the run."""


class _Pending(NamedTuple):
    """A decision whose horizon is not over; ``fill_index`` is the bar on which it filled."""

    step: int
    decided_at: datetime
    fill_index: int
    fill_price: float
    position: float
    cost_rate: float
    cited: tuple[str, ...]


class Simulation:
    """One trader on one instrument, from bar ``warmup_first`` to bar ``last`` of the data."""

    def __init__(
        self,
        trader: Trader,
        market: MarketData,
        instrument: Instrument,
        exchange: Exchange,
        desk: Desk,
        trace: Trace,
        *,
        costs: CostModel,
        horizon_sessions: int,
        rules: int = RULES,
    ) -> None:
        self.trader, self.market, self.instrument = trader, market, instrument
        self.exchange, self.desk, self.trace = exchange, desk, trace
        self.costs, self.horizon, self.rules = costs, horizon_sessions, rules
        self._data: InstrumentData = market[instrument.symbol]
        self._calendar = get_calendar(instrument.calendar)
        self._pending: deque[_Pending] = deque()
        self._recent: deque[bool] = deque(maxlen=FAILURE_WINDOW)

    def warm_up(self, first: int, last: int) -> Iterator[StepRecord]:
        """Lessons at the sessions of bars ``first`` to ``last`` (excluded), on days with a known outcome.

        At bar i the trader explains bar i − horizon, whose fill was on the bar after it.
        """
        flat = Portfolio(self.instrument.currency, self.exchange.initial_cash, self.exchange.initial_cash)
        for step, index in enumerate(range(first + self.horizon, last)):
            started = stopwatch()
            past_index = index - self.horizon
            past = self.observe(step, past_index, flat)
            present = self.observe(step, index, flat)
            entry = self._entry_price(past_index + 1)
            price_return = self._adjusted_close(index, past_index + 1) / entry - 1.0
            decision = self.trader.warm_up(Lesson(past, present, price_return, self._lesson_cost_rate(index)))
            calls, events = self.trace.drain()
            yield StepRecord(
                phase="warmup",
                step=step,
                session=present.session,
                decision_at=present.decision_at,
                fill_session=None,
                instrument=self.instrument.symbol,
                observation_hash=past.hash,
                decision=decision,
                orders=(),
                fills=(),
                outcomes=(),
                portfolio=flat,
                model_calls=calls,
                memory_events=events,
                seconds=stopwatch() - started,
                became=(),
            )
            self._watch_failures(decision)

    def trade(self, first: int, last: int) -> Iterator[StepRecord]:
        """Decisions after bars ``first`` to ``last`` − 1, each filled on the bar after."""
        for step, index in enumerate(range(first, last)):
            started = stopwatch()
            observation = self.observe(step, index, self.exchange.portfolio)
            outcomes = self._known_outcomes(observation.decision_at)
            for outcome in outcomes:
                self.trader.learn(outcome)
            decision = self.trader.decide(observation)
            orders = self.desk.orders(decision, observation)
            result = self.exchange.step(orders)
            became = self.desk.settle(result)
            self._await_outcome(step, index + 1, observation.decision_at, decision, result)
            calls, events = self.trace.drain()
            yield StepRecord(
                phase="trade",
                step=step,
                session=observation.session,
                decision_at=observation.decision_at,
                fill_session=self._data.bars.session(index + 1),
                instrument=self.instrument.symbol,
                observation_hash=observation.hash,
                decision=decision,
                orders=tuple(orders),
                fills=tuple(result.fills),
                outcomes=outcomes,
                portfolio=self.exchange.portfolio,
                model_calls=calls,
                memory_events=events,
                seconds=stopwatch() - started,
                became=became,
                bar=self.exchange.facts(self.instrument.symbol),
            )
            self._watch_failures(decision)
            if result.terminated:
                return

    def observe(self, step: int, index: int, portfolio: Portfolio) -> Observation:
        """What a trader with that portfolio is shown after bar ``index``."""
        bars = self._data.bars
        session = bars.session(index)
        decision_at = self._calendar.decision_at(session)
        before = None if index == 0 else self._calendar.decision_at(bars.session(index - 1))
        return Observation(
            step=step,
            instrument=self.instrument,
            session=session,
            decision_at=decision_at,
            previous_decision_at=before,
            view=self.market.as_of(decision_at),
            portfolio=portfolio,
        )

    def _await_outcome(
        self, step: int, fill_index: int, decided_at: datetime, decision: Decision, result: StepResult
    ) -> None:
        """Note what the decision led to; a failed one leads to nothing."""
        if decision.failure:
            return
        fills = [fill for fill in result.fills if fill.symbol == self.instrument.symbol]
        cost_rate = self._cost_rate()
        price = self._entry_price(fill_index)
        if fills:
            fill = fills[0]
            price = fill.reference_price
            paid = abs(fill.price - fill.reference_price) * abs(fill.quantity) + fill.commission
            cost_rate = paid / (fill.reference_price * abs(fill.quantity))
        position = self.exchange.portfolio.position(self.instrument.symbol)
        self._pending.append(
            _Pending(step, decided_at, fill_index, price, position, cost_rate, decision.cited_memories)
        )

    def _known_outcomes(self, instant: datetime) -> tuple[Outcome, ...]:
        """Outcomes whose last close is known at ``instant``; each is handed out once."""
        known = []
        while self._pending:
            pending = self._pending[0]
            exit_index = pending.fill_index + self.horizon - 1
            if exit_index >= len(self._data.bars) or self._data.bars.bar(exit_index).end > instant:
                break
            self._pending.popleft()
            known.append(self._outcome(pending, exit_index))
        return tuple(known)

    def _outcome(self, pending: _Pending, exit_index: int) -> Outcome:
        exit_price = self._adjusted_close(exit_index, pending.fill_index)
        sign = (pending.position > 0) - (pending.position < 0)
        reward = sign * (exit_price / pending.fill_price - 1.0) - (pending.cost_rate if sign else 0.0)
        bars = self._data.bars
        return Outcome(
            step=pending.step,
            symbol=self.instrument.symbol,
            decided_at=pending.decided_at,
            available_at=bars.bar(exit_index).end,
            position=pending.position,
            fill_session=bars.session(pending.fill_index),
            fill_price=pending.fill_price,
            exit_session=bars.session(exit_index),
            exit_price=exit_price,
            reward=reward,
            horizon_sessions=self.horizon,
            cited_memories=pending.cited,
        )

    def _entry_price(self, index: int) -> float:
        """What a fill on bar ``index`` is priced at, before costs."""
        bars = self._data.bars
        if self.exchange.fill_rule == "next_open":
            return float(bars.open[index])
        return float(bars.close[index if self.exchange.fill_rule == "next_close" else index - 1])

    def _adjusted_close(self, index: int, basis: int) -> float:
        """The close of bar ``index`` on the split basis of bar ``basis`` (an earlier one)."""
        bars, factor = self._data.bars, 1.0
        for event in self._data.events:
            if event.kind == "split" and bars.session(basis) < event.session <= bars.session(index):
                factor *= event.value
        return float(bars.close[index]) * factor

    def _cost_rate(self) -> float:
        return self.costs.rate(has_volume=self.exchange.has_volume(self.instrument.symbol))

    def _lesson_cost_rate(self, index: int) -> float:
        """The entry cost rate as bars up to ``index`` tell it; rules 1 looked up to the test's first bar."""
        if self.rules < 2:
            return self._cost_rate()
        known = self._data.bars.volume[max(0, index + 1 - self.costs.adv_sessions) : index + 1]
        return self.costs.rate(has_volume=bool(np.nansum(known) > 0))

    def _watch_failures(self, decision: Decision) -> None:
        self._recent.append(decision.failure is not None)
        if sum(self._recent) > FAILURES_ALLOWED:
            last = decision.failure.detail if decision.failure else ""
            raise TooManyFailuresError(
                f"{sum(self._recent)} of the last {len(self._recent)} replies were no decision "
                f"(at most {FAILURES_ALLOWED} of {FAILURE_WINDOW} are allowed); the last: {last}",
                mend="look at the replies in the run's journal.db, or use another --llm",
            )
