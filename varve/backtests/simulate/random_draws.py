"""What luck alone gets: many random traders of a run's turnover on its bars, costs and fills."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from varve.backtests.simulate.prepare import Prepared
from varve.backtests.simulate.steps import baseline_of, make_simulation
from varve.market.data import Floats
from varve.strategies.base import RunContext
from varve.strategies.random import RandomTrader, flips
from varve.types import Trace

DRAWS = 100


class LuckRange(NamedTuple):
    """Total returns, fractions, between which 95 of 100 random traders end.

    ``below`` of ``draws`` random traders end below the run itself.
    """

    low: float
    high: float
    below: int
    draws: int


def luck_range(prepared: Prepared, changes: int, total_return: float) -> LuckRange | None:
    """Let 100 random traders trade as often as the run did; None for a run that never traded.

    Args:
        prepared: the run; its baselines' sizing holds here too.
        changes: how many times it traded.
        total_return: what it came to, a fraction.
    """
    sessions = prepared.window.last - prepared.window.first
    if not changes:
        return None
    chance = min(1.0, changes / sessions)
    ends = np.sort(_total_returns(baseline_of(prepared, "random", flip_probability=chance), chance))
    # 95 of 100 in the middle: the three highest and the two lowest are left out.
    low, high = float(ends[2]), float(ends[DRAWS - 4])
    return LuckRange(low, high, int((ends < total_return).sum()), DRAWS)


def _total_returns(prepared: Prepared, chance: float) -> Floats:
    """Each draw's end, with a run's own exchange and order desk; days without an order are cut short."""
    trader = RandomTrader(prepared.trader_config)
    simulation = make_simulation(prepared, trader, Trace())
    exchange, desk, window = simulation.exchange, simulation.desk, prepared.window
    ends = []
    for seed in range(DRAWS):
        exchange.reset()
        desk.reset()
        trader.begin(
            RunContext(
                run_id="luck", instrument=simulation.instrument, fill_rule=exchange.fill_rule, seed=seed
            )
        )
        for step, index in enumerate(range(window.first, window.last)):
            if desk.left or desk.waiting or flips(seed, step, chance):
                observation = simulation.observe(step, index, exchange.portfolio)
                result = exchange.step(desk.orders(trader.decide(observation), observation))
                desk.settle(result)
            else:
                result = exchange.step()
            if result.terminated:
                break
        ends.append(exchange.equity / exchange.initial_cash - 1.0)
    return np.asarray(ends)
