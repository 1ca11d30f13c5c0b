"""The Gymnasium environment: clean by Gymnasium's own checker, and nothing but an adapter."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.envs.costs import get_costs
from varve.envs.exchange import Exchange
from varve.envs.sizing import AllIn, get_sizer
from varve.envs.trading_env import ACTIONS, TradingEnv
from varve.errors import SettingError
from varve.market import MarketData, Observation
from varve.market.worlds import sample_world
from varve.types import Decision, Intent

DATA = sample_world("TSLA")


def test_gymnasium_has_no_complaint():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # of the libraries' calls of each other
        check_env(TradingEnv(DATA, episode_sessions=30), skip_render_check=True)
        check_env(gym.make("varve/Trading-v0", ticker="ETH-USD").unwrapped, skip_render_check=True)


def test_observations_share_no_memory_and_are_in_the_space():
    env = TradingEnv(DATA)
    first, _ = env.reset(seed=1)
    kept = first.copy()
    second, *_ = env.step(1)
    second[:] = 5
    third, *_ = env.step(0)
    assert np.array_equal(first, kept)
    assert not np.shares_memory(second, third)
    assert env.observation_space.contains(third)


def test_the_end_of_data_truncates_and_an_episode_has_its_length():
    env = TradingEnv(DATA, episode_sessions=25)
    env.reset(seed=3)
    ends = [env.step(0)[2:4] for _ in range(25)]
    assert ends == [(False, False)] * 24 + [(False, True)]


def test_equal_seeds_start_on_equal_days_and_others_elsewhere():
    env = TradingEnv(DATA, episode_sessions=25)
    days = [env.reset(seed=seed)[1]["session"] for seed in (1, 1, 2, 3, 4)]
    assert days[0] == days[1]
    assert len(set(days)) > 2


def test_text_comes_on_demand_and_shows_no_later_fact():
    env = TradingEnv(DATA, text_observations=True)
    _, info = env.reset(seed=0)
    assert info["session"] in info["observation"]
    assert "observation" not in TradingEnv(DATA).reset(seed=0)[1]


def test_bad_settings_and_actions_are_refused():
    with pytest.raises(SettingError, match="lookback 5000"):
        TradingEnv(DATA, lookback=5000)
    env = TradingEnv(DATA)
    env.reset(seed=0)
    with pytest.raises(SettingError, match="0 to 3"):
        env.step(9)


@settings(max_examples=25, deadline=None)
@given(
    actions=st.lists(st.integers(0, 3), min_size=5, max_size=60),
    sizer=st.sampled_from(["all_in", "fraction", "finmem_unit"]),
    shorting=st.booleans(),
)
def test_the_environment_and_the_exchange_fill_alike(actions, sizer, shorting):
    made = get_sizer(sizer) if sizer == "finmem_unit" else get_sizer(sizer, shorting=shorting)
    env = TradingEnv(DATA, sizer=made, lookback=5)
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    market = MarketData({"TSLA": DATA})
    exchange = Exchange(
        market, ("TSLA",), costs=get_costs("retail"), initial_cash=100_000.0, shorting=made.allows_short
    )
    exchange.reset(first=5)
    for action in actions:
        at = exchange.decision_at
        seen = Observation(
            0, DATA.instrument, exchange.session, at, None, market.as_of(at), exchange.portfolio
        )
        exchange.step(made.orders(Decision((Intent(DATA.instrument, ACTIONS[action]),)), seen))
    assert env.exchange.fills == exchange.fills
    assert env.exchange.equity_curve == exchange.equity_curve


def test_a_discrete_all_in_long_earns_the_reward_of_the_bar():
    env = TradingEnv(DATA, costs="zero", sizer=AllIn(weight=1.0))
    env.reset(seed=0)
    env.step(1)
    held = env.exchange.ledger.positions["TSLA"]
    before = env.exchange.equity
    close = DATA.bars.close[env.exchange.index]
    _, reward, *_ = env.step(0)
    gain = held * (DATA.bars.close[env.exchange.index] - close)
    assert reward == pytest.approx(gain / before, abs=1e-12)
