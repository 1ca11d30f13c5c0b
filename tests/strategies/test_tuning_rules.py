"""Tuning: a small seeded search that sees the warm-up alone, and follows signals as they could be filled."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from tests.support.finmem_day import SESSIONS
from varve import registry
from varve.errors import SettingError, UnknownNameError, UsageError
from varve.market.data import BarSeries
from varve.market.market_data import MarketData
from varve.market.perturb import scramble_after
from varve.market.worlds import sample_world
from varve.strategies import SignalTrader, tune
from varve.strategies.tuning import followed, positions, sharpe

WORLD = sample_world("TSLA", end=date(2021, 12, 31))
START, LAST = date(2021, 1, 4), date(2021, 6, 30)
TUNABLE = [
    name
    for name in registry.names("strategies")
    if issubclass(registry.load("strategies", name), SignalTrader)
]


def view(data=WORLD, last=LAST):
    index = int(np.searchsorted(data.bars.sessions, np.datetime64(last)))
    return MarketData({"TSLA": data}).as_of(data.bars.bar(index).end)


def tuned(name="macd", data=WORLD, **rest):
    return tune(name, view(data), START, symbol="TSLA", **rest)


@pytest.mark.parametrize("name", TUNABLE)
def test_every_rule_can_be_tuned_and_gets_the_best_of_its_trials(name):
    found = tuned(name, cost_rate=0.00035)
    assert len(found.trials) == 20
    assert found.trials[0].params == {}
    assert len({tuple(trial.params.items()) for trial in found.trials}) == 20
    scores = [-np.inf if trial.score is None else trial.score for trial in found.trials]
    best = found.trials[int(np.argmax(scores))]
    assert found.best == type(found.best).build(**best.params)
    assert len(set(scores)) > 5


@pytest.mark.parametrize("name", TUNABLE)
def test_another_future_leaves_the_search_as_it_was(name):
    # Futures of the same sessions, so that the search can be held against prices of them.
    for seed in (2, 5):
        other = scramble_after(WORLD, view().instant, seed=seed)
        assert (
            view(other, date(2021, 7, 30)).closes("TSLA")[-1]
            != view(last=date(2021, 7, 30)).closes("TSLA")[-1]
        )
        assert tuned(name, other) == tuned(name)
    shorter = replace(WORLD, bars=WORLD.bars.slice(0, view().bar_count("TSLA")))
    assert tuned(name, shorter) == tuned(name)


def test_draws_hang_on_the_seed_alone():
    one, other = tuned(seed=1), tuned(seed=2)
    assert [t.params for t in one.trials] != [t.params for t in other.trials]
    elsewhere = tune("macd", view(last=date(2021, 9, 30)), date(2021, 5, 3), symbol="TSLA", seed=1)
    assert [t.params for t in one.trials] == [t.params for t in elsewhere.trials]


def test_given_settings_stay():
    found = tuned(fixed={"slow": 15})
    assert found.base.slow == found.best.slow == 15
    assert all("slow" not in trial.params for trial in found.trials)
    assert all(trial.params.get("fast", 0) < 15 for trial in found.trials)
    whole = tuned(fixed={"fast": 5, "slow": 15, "signal": 9})
    assert [trial.params for trial in whole.trials] == [{}]


def test_positions_follow_the_last_word():
    actions = np.array([0, 1, 0, 1, -1, 0, -1, 1], dtype=np.int8)
    assert positions(actions).tolist() == [0, 1, 1, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("at_open", "wanted"),
    [
        # signalled after the first bar: bought at 102, sold at 99 after the third
        (True, [104 / 102 - 1, 100 / 104 - 1, 99 / 100 - 1]),
        (False, [0.0, 100 / 104 - 1, 98 / 100 - 1]),
    ],
)
def test_signals_are_filled_where_they_could_be(at_open, wanted):
    closes, opens = [100.0, 104.0, 100.0, 98.0], [100.0, 102.0, 103.0, 99.0]
    bars = BarSeries.from_sessions("XNYS", SESSIONS[:4], closes, open=opens)
    held = np.array([1.0, 1.0, 0.0, 0.0])
    assert followed(held, bars, at_open=at_open, cost_rate=0.0).tolist() == pytest.approx(wanted)
    costly = followed(held, bars, at_open=at_open, cost_rate=0.01)
    assert costly[0] == pytest.approx((1 + wanted[0]) * 0.99 - 1)
    assert costly[1] == pytest.approx(wanted[1])
    assert costly[2] == pytest.approx((1 + wanted[2]) * 0.99 - 1)


def test_sharpe_by_hand():
    assert sharpe(np.array([0.01, -0.01, 0.03]), 252) == pytest.approx(0.01 / 0.02 * 252**0.5)
    assert sharpe(np.zeros(5), 252) is None


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"name": "buy-and-hold"}, UsageError, "no search space"),
        ({"name": "macdd"}, UnknownNameError, "macd"),
        ({"tries": 0}, SettingError, "tries=0"),
        ({"fixed": {"slw": 3}}, SettingError, "slow"),
    ],
)
def test_what_cannot_be_tuned(given, error, words):
    with pytest.raises(error, match=words):
        tuned(**given)


def test_a_short_warm_up_is_refused():
    with pytest.raises(SettingError, match="19 sessions"):
        tune("macd", view(), date(2021, 6, 4), symbol="TSLA")
