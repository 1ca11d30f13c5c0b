"""Buy-and-hold, random and SMA crossover: what they decide, and by what."""

from dataclasses import replace

import pytest

from tests.support.finmem_day import ACME, market, observe
from varve.errors import SettingError
from varve.strategies import BuyAndHold, RandomTrader, RunContext, SmaCross
from varve.types import Action


def begun(trader, **context):
    trader.begin(RunContext("test", ACME, **context))
    return trader


def action(trader, observation):
    (intent,) = trader.decide(observation).orders
    assert intent.instrument is ACME
    return intent.action


def test_buy_and_hold_buys_while_flat_and_then_holds():
    trader = begun(BuyAndHold())
    assert action(trader, observe(market(), 5)) is Action.BUY
    assert action(trader, observe(market(), 6, position=2)) is Action.HOLD


def actions(seed, probability, count=400, position=0.0):
    trader = begun(RandomTrader(RandomTrader.Config.build(flip_probability=probability)), seed=seed)
    observation = observe(market(), 5, position=position)
    return [action(trader, replace(observation, step=step)) for step in range(count)]


def test_random_flips_as_often_as_told():
    flips = sum(a is not Action.HOLD for a in actions(0, 0.25))
    assert 75 <= flips <= 125
    assert set(actions(0, 0.0)) == {Action.HOLD}
    assert set(actions(0, 1.0)) == {Action.BUY}
    assert set(actions(0, 1.0, position=3)) == {Action.SELL}


def test_random_draws_by_seed_and_step_alone():
    assert actions(3, 0.5) == actions(3, 0.5)
    assert actions(3, 0.5)[:50] == actions(3, 0.5, count=50)
    assert actions(3, 0.5) != actions(4, 0.5)
    held = [a is Action.HOLD for a in actions(3, 0.5, position=1)]
    assert held == [a is Action.HOLD for a in actions(3, 0.5)]


RISING, FALLING = [100.0 + i for i in range(40)], [100.0 - i for i in range(40)]


@pytest.mark.parametrize(
    ("closes", "position", "shorting", "expected"),
    [
        (RISING, 0, False, Action.BUY),
        (RISING, 2, False, Action.HOLD),
        (RISING, -2, True, Action.BUY),
        (FALLING, 2, False, Action.SELL),
        (FALLING, 0, False, Action.HOLD),
        (FALLING, 0, True, Action.SELL),
        (FALLING, -2, True, Action.HOLD),
    ],
)
def test_sma_cross_wants_the_side_of_the_fast_average(closes, position, shorting, expected):
    trader = begun(SmaCross(SmaCross.Config.build(fast=3, slow=10)), shorting=shorting)
    assert action(trader, observe(market(closes=closes), 30, position=position)) is expected


def test_sma_cross_holds_without_enough_closes():
    trader = begun(SmaCross(SmaCross.Config.build(fast=3, slow=10)))
    assert action(trader, observe(market(closes=RISING), 8)) is Action.HOLD
    assert action(trader, observe(market(closes=RISING), 9)) is Action.BUY


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (SmaCross.Config, {"fast": 50, "slow": 10}),
        (SmaCross.Config, {"fst": 5}),
        (RandomTrader.Config, {"flip_probability": 1.5}),
    ],
)
def test_settings_that_cannot_be_used(config, settings):
    with pytest.raises(SettingError):
        config.build(**settings)
