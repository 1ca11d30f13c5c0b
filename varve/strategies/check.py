"""Conformance of a trader: what every registered strategy and agent must hold, in one place.

:func:`check_strategy` trades a sample world for some sessions and raises at the first thing that does
not hold; ``varve.agents.check.check_agent`` adds what only a language-model agent can get wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING

from varve.envs.costs import get_costs
from varve.envs.exchange import Exchange
from varve.envs.sizing import get_sizer
from varve.errors import IntegrityError, VarveError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.market.perturb import FUTURES, scramble_after
from varve.strategies.base import Lesson, RunContext, Trader
from varve.types import Action, Decision, MemoryEvent, ModelCall, Outcome, Portfolio, Trace

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Factory = Callable[[], Trader]
ModelFactory = Callable[[], "BaseChatModel"]

HORIZON_SESSIONS = 5
SESSIONS, WARM_UP_SESSIONS, HISTORY = 40, 20, 80
"""Decisions and lessons of one check, and the bar after which the first decision falls."""

CUTS = (4, 19, 34)
"""After how many decisions the future is another."""

COST_RATE = 0.0005


@dataclass(frozen=True)
class CheckedStep:
    """One lesson or decision of a check, and what it left in the trace (timings set to 0).

    ``observation`` is the decision's, or the past day of a lesson; ``now`` is the instant at which it was
    made, later than that for a lesson.
    """

    observation: Observation
    now: datetime
    decision: Decision
    model_calls: tuple[ModelCall, ...]
    memory_events: tuple[MemoryEvent, ...]


def check_strategy(factory: Factory, *, ticker: str = "TSLA", model: ModelFactory | None = None) -> None:
    """Raise unless the traders that ``factory`` makes hold the contract, on a sample world.

    Checked: equal runs decide equally, also after an earlier run of the same object; decisions up to an
    instant do not hang on anything after it, nor on where the data ends; an observation is left as it
    was; decisions are valid (:func:`check_decision`); lessons give no orders.

    Args:
        factory: makes a fresh trader.
        ticker: of the sample world.
        model: makes the language model for traders that need one; the scripted one where None.

    Raises:
        IntegrityError: naming the trader, the session and what does not hold.
    """
    name = type(factory()).name or type(factory()).__name__
    data = check_data(ticker)
    first = rollout(factory(), data, model=model)
    trader = factory()
    rollout(trader, data, model=model, sessions=7)
    compare(name, "two runs with equal settings", first, rollout(trader, data, model=model))
    lessons = len(first) - SESSIONS
    for cut in CUTS:
        instant = first[lessons + cut].observation.decision_at
        # A trader that looks one bar ahead shows it at the cut alone, and only if what it looks for turned.
        for seed in range(FUTURES):
            scrambled = scramble_after(data, instant, seed=seed)
            try:
                other = rollout(factory(), scrambled, model=model, sessions=cut + 1)
            except Exception as error:
                if isinstance(error, VarveError):
                    raise
                raise _broken(
                    name,
                    first[lessons + cut],
                    f"on another future it stops with {type(error).__name__}: {error}",
                ) from error
            compare(name, f"another future after {instant}", first[: len(other)], other)
    shorter = rollout(factory(), _ending_early(data, SESSIONS // 2), model=model, sessions=SESSIONS // 2)
    compare(name, "an earlier end of the data", first[: len(shorter)], shorter)
    for step in first:
        check_decision(name, step)


def check_data(ticker: str) -> InstrumentData:
    """The part of a sample world that a check runs on: news, filings, and a year's turn."""
    from varve.market.worlds import sample_world

    return sample_world(ticker, end=date(2021, 2, 26))


def _ending_early(data: InstrumentData, sessions: int) -> InstrumentData:
    """The data without what lies after the horizon of so many decisions."""
    last = HISTORY + sessions + HORIZON_SESSIONS
    end = get_calendar(data.instrument.calendar).decision_at(data.bars.session(last))
    documents = tuple(document for document in data.documents if document.available_at <= end)
    return replace(data, bars=data.bars.slice(0, last + 1), documents=documents)


def check_decision(name: str, step: CheckedStep) -> None:
    """Raise unless a decision is one: known actions, steps of 5 %, no orders with a failure.

    Raises:
        IntegrityError: saying what is wrong with which session's decision.
    """
    decision, symbol = step.decision, step.observation.instrument.symbol
    wrong = None
    if decision.failure is not None and decision.orders:
        wrong = "it carries orders beside a failure"
    elif decision.failure is not None and decision.cited_memories:
        wrong = "it cites memories beside a failure"
    elif any(not isinstance(intent.action, Action) for intent in decision.orders):
        wrong = f"an action is not one of {', '.join(Action)}"
    elif any(intent.instrument.symbol != symbol for intent in decision.orders):
        wrong = f"an order is not for {symbol}"
    elif len(decision.orders) > 1:
        wrong = "it carries more than one order for the instrument"
    elif decision.confidence is not None and not _is_confidence(decision.confidence):
        wrong = f"confidence {decision.confidence!r} is no integer percent in steps of 5"
    if wrong:
        raise _broken(name, step, wrong)


def compare(name: str, between: str, one: Sequence[CheckedStep], other: Sequence[CheckedStep]) -> None:
    """Raise at the first step in which two runs differ.

    Raises:
        IntegrityError: naming what differs.
    """
    for a, b in zip(one, other, strict=True):
        for part in ("decision", "model_calls", "memory_events"):
            if getattr(a, part) != getattr(b, part):
                raise _broken(name, a, f"its {part.replace('_', ' ')} differ between {between}")


def rollout(
    trader: Trader,
    data: InstrumentData,
    *,
    model: ModelFactory | None = None,
    sessions: int = SESSIONS,
    seed: int = 0,
) -> list[CheckedStep]:
    """Lessons, then decisions, filled by the exchange at retail costs and sized ``all_in``.

    Raises:
        IntegrityError: if the trader changes an observation or gives orders in a lesson.
    """
    trace = Trace()
    context = RunContext(
        run_id="check",
        instrument=data.instrument,
        fill_rule=data.provenance.fill_rule,
        seed=seed,
        horizon_sessions=HORIZON_SESSIONS,
        trace=trace,
        model=_model(model) if trader.needs_model else None,
    )
    trader.begin(context)
    course = _Course(trader, data, trace)
    steps = course.lessons() if trader.allows_warm_up else []
    steps += course.decisions(sessions)
    trader.finish()
    return steps


class _Course:
    """One run of a check, over bars ``HISTORY`` and on."""

    def __init__(self, trader: Trader, data: InstrumentData, trace: Trace) -> None:
        self.trader, self.data, self.trace = trader, data, trace
        self.market = MarketData({data.instrument.symbol: data})
        self.calendar = get_calendar(data.instrument.calendar)
        self.name = trader.name or type(trader).__name__

    def observe(self, step: int, index: int, portfolio: Portfolio) -> Observation:
        """The observation after bar ``index``."""
        bars = self.data.bars
        decision_at = self.calendar.decision_at(bars.session(index))
        return Observation(
            step=step,
            instrument=self.data.instrument,
            session=bars.session(index),
            decision_at=decision_at,
            previous_decision_at=self.calendar.decision_at(bars.session(index - 1)),
            view=self.market.as_of(decision_at),
            portfolio=portfolio,
        )

    def lessons(self) -> list[CheckedStep]:
        """Warm-up on the sessions before the first decision."""
        flat = Portfolio(self.data.instrument.currency, 100_000.0, 100_000.0)
        steps = []
        for step in range(WARM_UP_SESSIONS - HORIZON_SESSIONS):
            index = HISTORY - WARM_UP_SESSIONS + step
            past = self.observe(step, index, flat)
            present = self.observe(step, index + HORIZON_SESSIONS, flat)
            closes = self.data.bars.close
            change = float(closes[index + HORIZON_SESSIONS] / closes[index + 1]) - 1.0
            lesson = Lesson(past, present, change, COST_RATE)
            steps.append(self._told(past, partial(self.trader.warm_up, lesson), lesson.available_at))
            if steps[-1].decision.orders:
                raise _broken(self.name, steps[-1], "a lesson gave orders")
        return steps

    def decisions(self, count: int) -> list[CheckedStep]:
        """Decisions on consecutive sessions, each with the outcomes known by then."""
        symbol, bars = self.data.instrument.symbol, self.data.bars
        exchange = Exchange(
            self.market,
            (symbol,),
            costs=get_costs("retail"),
            initial_cash=100_000.0,
            start=bars.session(HISTORY),
            end=bars.session(HISTORY + count),
        )
        sizer, steps, waiting = get_sizer("all_in"), list[CheckedStep](), list[Outcome]()
        for step in range(count):
            observation = self.observe(step, HISTORY + step, exchange.portfolio)
            due = [outcome for outcome in waiting if outcome.available_at <= observation.decision_at]
            waiting = [outcome for outcome in waiting if outcome not in due]
            steps.append(self._told(observation, partial(self._day, observation, due)))
            decision = steps[-1].decision
            exchange.step(() if decision.failure else sizer.orders(decision, observation))
            if decision.failure is None:
                waiting.append(self._outcome(observation, decision, exchange.portfolio.position(symbol)))
        return steps

    def _day(self, observation: Observation, due: list[Outcome]) -> Decision:
        for outcome in due:
            self.trader.learn(outcome)
        return self.trader.decide(observation)

    def _outcome(self, observation: Observation, decision: Decision, position: float) -> Outcome:
        """What came of a decision, from closes alone: close enough for a check, and known no earlier."""
        bars, index = self.data.bars, HISTORY + observation.step
        fill, last = index + 1, min(index + HORIZON_SESSIONS, len(self.data.bars) - 1)
        sign = (position > 0) - (position < 0)
        entry, exit_price = float(bars.close[fill]), float(bars.close[last])
        return Outcome(
            step=observation.step,
            symbol=observation.instrument.symbol,
            decided_at=observation.decision_at,
            available_at=bars.bar(last).end,
            position=position,
            fill_session=bars.session(fill),
            fill_price=entry,
            exit_session=bars.session(last),
            exit_price=exit_price,
            reward=sign * (exit_price / entry - 1.0) - (COST_RATE if sign else 0.0),
            horizon_sessions=HORIZON_SESSIONS,
            cited_memories=decision.cited_memories,
        )

    def _told(
        self, observation: Observation, act: Callable[[], Decision], now: datetime | None = None
    ) -> CheckedStep:
        """Let the trader act and note everything; the observation must come out as it went in."""
        before = _fingerprint(observation)
        decision = act()
        calls, events = self.trace.drain()
        told = tuple(replace(call, seconds=0.0) for call in calls)
        step = CheckedStep(observation, now or observation.decision_at, decision, told, events)
        if _fingerprint(observation) != before:
            raise _broken(self.name, step, "it changed the observation")
        return step


def _fingerprint(observation: Observation) -> list[object]:
    # A fresh object, since an observation keeps its hash once it is reckoned.
    view, symbol = observation.view, observation.instrument.symbol
    return [replace(observation).hash, view.instant, view.closes(symbol).tobytes()]


def _model(factory: ModelFactory | None) -> BaseChatModel:
    if factory is not None:
        return factory()
    # Only here: strategies must not pull in a language-model package.
    from varve.finllm.chat.open_model import open_model

    return open_model("scripted", seed=0)


def _is_confidence(value: object) -> bool:
    return type(value) is int and 0 <= value <= 100 and value % 5 == 0


def _broken(name: str, step: CheckedStep, wrong: str) -> IntegrityError:
    return IntegrityError(
        f"trader {name!r} breaks the contract on {step.observation.session}: {wrong}",
        mend="see varve.strategies.base.Trader for what a trader must hold",
    )
