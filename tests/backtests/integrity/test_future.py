"""Scrambling everything after an instant leaves everything up to it as it was, for whatever is registered."""

from dataclasses import replace

import pytest

from tests.support.helpers import prepared, with_data
from varve import registry
from varve.backtests.simulate.steps import simulate
from varve.market.calendars import get_calendar
from varve.market.perturb import FUTURES, scramble_after
from varve.types import Action, Decision, Intent

TRADERS = [*registry.names("agents"), *registry.names("strategies")]


def what_was_known(record, instant):
    """All of a step that lies at or before ``instant``, without timings."""
    calls = tuple(replace(call, seconds=0.0) for call in record.model_calls)
    known = [
        record.phase, record.step, record.session, record.observation_hash, record.decision, record.orders,
        record.outcomes, calls, record.memory_events,
    ]  # fmt: skip
    known += [fill for fill in record.fills if fill.filled_at <= instant]
    return known


def assert_no_foresight(run, cut_session_index):
    """Everything decided up to the cut is the same in two worlds that differ only after it."""
    data = run.data
    calendar = get_calendar(data.instrument.calendar)
    instant = calendar.decision_at(data.bars.session(cut_session_index))
    before = simulate(run)
    decided = [r for r in before if r.decision_at <= instant]
    assert len(decided) > 5
    for seed in range(FUTURES):
        after = simulate(with_data(run, scramble_after(data, instant, seed=seed)))
        for one, other in zip(decided, after[: len(decided)], strict=True):
            assert what_was_known(one, instant) == what_was_known(other, instant), (seed, one.session)
        # The two worlds do part after the cut; a rule that never trades there is no less tested.
        assert [r.observation_hash for r in before] != [r.observation_hash for r in after]


@pytest.mark.parametrize("ticker", ["TSLA", "ETH-USD"])
@pytest.mark.parametrize("agent", TRADERS)
def test_no_registered_trader_sees_the_future(agent, ticker):
    run = prepared(agent, ticker)
    assert_no_foresight(run, run.window.first + 30)


@pytest.mark.parametrize("agent", TRADERS)
def test_a_split_and_a_dividend_ahead_are_not_seen(agent):
    from datetime import date

    run = prepared(
        agent, "TSLA", start=date(2022, 7, 1), end=date(2022, 9, 30), warmup_start=date(2022, 6, 1)
    )
    split = next(e for e in run.data.events if e.kind == "split")
    day_before = max(i for i in range(len(run.data.bars)) if run.data.bars.session(i) < split.session)
    assert_no_foresight(run, day_before)


class Peeker:
    """Wraps a trader's decide so that it buys when tomorrow's close is higher: the test must catch it."""

    def __init__(self, data):
        self.closes = dict(zip(data.bars.sessions.astype(object), data.bars.close, strict=True))
        self.sessions = list(self.closes)

    def decide(self, trader, observation):
        tomorrow = self.sessions[self.sessions.index(observation.session) + 1]
        up = self.closes[tomorrow] > self.closes[observation.session]
        action = Action.BUY if up else Action.SELL
        return Decision(orders=(Intent(trader.context.instrument, action),))


def test_the_test_catches_a_trader_that_reads_tomorrow():
    run = prepared("buy-and-hold")
    plain = run.trader_class

    def cheating(data):
        peeker = Peeker(data)
        cheater = type("Cheater", (plain,), {"decide": lambda self, o: peeker.decide(self, o)})
        return replace(with_data(run, data), trader_class=cheater)

    instant = get_calendar("XNYS").decision_at(run.data.bars.session(run.window.first + 30))
    before = simulate(cheating(run.data))
    differing = [
        one.session
        for seed in range(FUTURES)
        for one, other in zip(
            before, simulate(cheating(scramble_after(run.data, instant, seed=seed))), strict=False
        )
        if one.decision_at <= instant and one.decision != other.decision
    ]
    assert differing
