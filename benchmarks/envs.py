"""Environment and exchange steps per second, one ticker, costs on."""

from statistics import median

import numpy as np

from varve.clock import stopwatch
from varve.envs.costs import get_costs
from varve.envs.exchange import Exchange
from varve.envs.trading_env import TradingEnv
from varve.market import MarketData
from varve.market.worlds import sample_world
from varve.types import Order

STEPS, REPEATS = 60_000, 3


def _exchange_steps() -> float:
    data = sample_world("TSLA")
    exchange = Exchange(MarketData({"TSLA": data}), ("TSLA",), costs=get_costs("retail"), initial_cash=1e5)
    buy, sell = (Order("TSLA", 50.0),), (Order("TSLA", -50.0),)
    started = stopwatch()
    for i in range(STEPS):
        if exchange.done:
            exchange.reset()
        exchange.step(buy if i % 20 == 0 else sell if i % 20 == 10 else ())
    return STEPS / (stopwatch() - started)


def _env_steps() -> float:
    env = TradingEnv(sample_world("TSLA"))
    actions = np.random.default_rng(0).integers(0, 4, STEPS).tolist()
    env.reset(seed=0)
    started = stopwatch()
    for action in actions:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return STEPS / (stopwatch() - started)


def run() -> list[tuple[str, float, str]]:
    """Name, value and unit of each figure."""
    return [
        (
            "exchange steps, an order every tenth",
            median(_exchange_steps() for _ in range(REPEATS)),
            "steps/s",
        ),
        ("environment steps, random actions", median(_env_steps() for _ in range(REPEATS)), "steps/s"),
    ]
