"""When an outcome is known: at the close of the last session of its horizon, and not before nor after."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from tests.support.helpers import prepared
from varve.backtests.simulate.steps import simulate
from varve.market.calendars import get_calendar


@pytest.mark.parametrize("ticker", ["TSLA", "ETH-USD"])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_an_outcome_covers_its_horizon_s_sessions_and_comes_with_the_next_decision(ticker, horizon):
    run = prepared("sma-cross", ticker, horizon_sessions=horizon)
    records = [record for record in simulate(run) if record.phase == "trade"]
    bars = run.data.bars
    place = {bars.session(i): i for i in range(len(bars))}
    fill_of = {record.step: record.fill_session for record in records}
    told = [(record, outcome) for record in records for outcome in record.outcomes]
    assert [outcome.step for _, outcome in told] == list(range(len(records) - horizon))
    for record, outcome in told:
        exit_index = place[outcome.fill_session] + horizon - 1
        assert outcome.fill_session == fill_of[outcome.step]
        assert (outcome.exit_session, outcome.horizon_sessions) == (bars.session(exit_index), horizon)
        assert outcome.exit_price == bars.close[exit_index]
        assert outcome.available_at == bars.bar(exit_index).end <= record.decision_at
        assert record.session == outcome.exit_session
        assert record.decision_at == get_calendar(run.data.instrument.calendar).decision_at(
            outcome.exit_session
        )
        assert record.step == outcome.step + horizon


def test_a_horizon_that_ends_behind_the_data_gives_no_outcome():
    run = prepared("sma-cross", start=None, end=None)
    beyond = len(run.data.bars) - run.window.first
    run = prepared("sma-cross", start=None, end=None, horizon_sessions=beyond)
    records = list(simulate(run))
    assert len(records) == run.window.last - run.window.first
    assert all(record.outcomes == () for record in records)


@pytest.mark.parametrize("rules", [1, 2])
def test_a_lesson_does_not_know_whether_there_will_be_volume(rules):
    """Rules 1 looked up to the first session of the test; a run keeps the rules that it began with."""
    run = replace(prepared(), rules=rules)
    bars, first = run.data.bars, run.window.first

    def rate_of_first_lesson(volume):
        class Notes(run.trader_class):
            rates: ClassVar[list] = []

            def warm_up(self, lesson):
                self.rates.append(lesson.cost_rate)
                return super().warm_up(lesson)

        data = replace(run.data, bars=replace(bars, volume=volume))
        simulate(replace(run, trader_class=Notes, data=data))
        return Notes.rates[0]

    later = bars.volume.copy()
    later[: first - 5] = np.nan
    never = np.full(len(bars), np.nan)
    assert (rate_of_first_lesson(later) == rate_of_first_lesson(never)) == (rules == 2)
