"""The steps of a prepared run, one by one or all in memory; nothing is written."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from varve.backtests.record.step import StepRecord
from varve.backtests.simulate.prepare import Prepared, find_trader
from varve.backtests.simulate.trading_day import Simulation
from varve.envs.exchange import Exchange
from varve.market.market_data import MarketData
from varve.strategies.base import RunContext, Trader
from varve.types import Json, Trace

if TYPE_CHECKING:
    from varve.finllm.chat.reply_cache import CachedReplies
    from varve.finllm.chat.reply_source import ReplySource


def make_simulation(prepared: Prepared, trader: Trader, trace: Trace) -> Simulation:
    """The simulation of a trader under the run's data, costs, cash and fills."""
    config, data = prepared.config, prepared.data
    costs, desk = prepared.costs, prepared.desk
    market = MarketData({data.instrument.symbol: data})
    exchange = Exchange(
        market,
        (data.instrument.symbol,),
        costs=costs,
        initial_cash=config.initial_cash,
        fill_rule=prepared.fill_rule,
        start=data.bars.session(prepared.window.first),
        end=data.bars.session(prepared.window.last),
        shorting=desk.sizer.allows_short,
    )
    return Simulation(
        trader,
        market,
        data.instrument,
        exchange,
        desk,
        trace,
        costs=costs,
        horizon_sessions=config.horizon_sessions,
        rules=prepared.rules,
    )


@contextmanager
def cached_replies(prepared: Prepared, wanted: bool) -> Iterator[CachedReplies | None]:
    """The reply cache as this run's model sees it; None where it is not used."""
    if not wanted or prepared.model is None or prepared.model.cache is False:
        yield None
        return
    from varve.finllm.chat.open_model import model_identity
    from varve.finllm.chat.reply_cache import CachedReplies, ReplyCache

    with ReplyCache() as cache:
        yield CachedReplies(cache, model_identity(prepared.model))


def simulate(prepared: Prepared, *, replies: ReplySource | None = None) -> list[StepRecord]:
    """All steps of a run, in memory; nothing is written."""
    return list(steps_of(prepared, memory_folder=None, run_id="memory", trace=Trace(), replies=replies))


def steps_of(
    prepared: Prepared,
    *,
    memory_folder: Path | None,
    run_id: str,
    trace: Trace,
    replies: ReplySource | None = None,
) -> Generator[StepRecord, None, None]:
    """Steps of a run one by one, lessons first.

    Args:
        memory_folder: where the agent's memories are kept; None keeps them in this process.
        run_id: names the memories; never enters a decision.
        trace: takes what each step notes.
        replies: asked before the model; None asks the model alone.
    """
    trader = prepared.trader_class(prepared.trader_config)
    simulation = make_simulation(prepared, trader, trace)
    context = RunContext(
        run_id=run_id,
        instrument=prepared.data.instrument,
        fill_rule=prepared.fill_rule,
        seed=prepared.config.seed,
        horizon_sessions=prepared.config.horizon_sessions,
        shorting=simulation.desk.sizer.allows_short,
        trace=trace,
        model=prepared.model,
        memory_folder=memory_folder,
        embedder=prepared.config.embedder,
        snapshot=prepared.snapshot,
        replies=replies,
        rules=prepared.rules,
    )
    trader.begin(context)
    window = prepared.window
    try:
        yield from simulation.warm_up(window.warmup_first, window.first)
        yield from simulation.trade(window.first, window.last)
    finally:
        trader.finish()


def run_baseline(prepared: Prepared, name: str, **settings: Json) -> list[StepRecord]:
    """The steps of :func:`baseline_of`; nothing is written."""
    return simulate(baseline_of(prepared, name, **settings))


def baseline_of(prepared: Prepared, name: str, **settings: Json) -> Prepared:
    """A strategy on a run's data, fills and costs.

    It is sized ``all_in``, or as the run is where the run's sizer trades fixed units: what trades a share
    at a time is no measure of what is fully invested. What was capped is worked off where the run does it.
    """
    config, sizer = prepared.config, prepared.sizer
    tables = config.trading_settings
    if getattr(sizer, "fixed_unit", False):
        chosen = config.sizer
    else:
        chosen = "all_in"
        tables["sizer"] = {} if getattr(sizer, "work_off", True) else {"work_off": False}
    changes = {"agent": name, "sizer": chosen, "settings": {**settings, **tables}}
    trader_class = find_trader(name)
    return replace(
        prepared,
        trader_class=trader_class,
        trader_config=trader_class.Config.build(**settings),
        model=None,
        snapshot=None,
        config=config.model_copy(update=changes),
        window=replace(prepared.window, warmup_first=prepared.window.first),
    )
