"""Run one backtest: check everything first, then simulate into the journal, then derive the results."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varve import registry
from varve.backtests.config import RunConfig, Window, after_knowledge, resolve_window
from varve.backtests.record.differences import JournalReplies, check_step
from varve.backtests.record.folder import RUN_SCHEMA_VERSION, RunFolder, create_run_folder, software
from varve.backtests.record.inputs import visible_until, write_inputs
from varve.backtests.record.journal import Journal, JournaledStep
from varve.backtests.record.trials import TrialRegistry, note_result
from varve.backtests.simulate.from_record import sole_writer
from varve.backtests.simulate.rule_search import Search, search, trials_of_search
from varve.backtests.simulate.starting_memory import begin_window, keep_with_run, kept_snapshot, memory_entry
from varve.backtests.simulate.trading_day import Simulation, StepRecord
from varve.clock import Clock, iso, wall_clock
from varve.config import FrozenConfig
from varve.envs.costs import get_costs
from varve.envs.exchange import Exchange
from varve.envs.sizing import get_sizer
from varve.errors import UnknownNameError, VarveError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData, MarketData, instrument_json
from varve.strategies.base import RunContext, Trader
from varve.types import FillRule, Trace

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from varve.finllm.chat.reply_source import ReplySource
    from varve.memory.disk.snapshot import Snapshot

OnStart = Callable[["Prepared", RunFolder], None]
OnStep = Callable[[StepRecord, int, int], None]
"""Called after each step with the record, how many steps are done, and of how many."""


@dataclass(frozen=True)
class Prepared:
    """A run with every name looked up and every setting checked, before anything is written."""

    config: RunConfig
    trader_class: type[Trader]
    trader_config: FrozenConfig
    data: InstrumentData
    label: str
    window: Window
    model: BaseChatModel | None
    snapshot: Snapshot | None = None
    search: Search | None = None

    @property
    def fill_rule(self) -> FillRule:
        """When orders fill."""
        return "same_close" if self.config.fill == "same_close" else self.data.provenance.fill_rule

    @property
    def total_steps(self) -> int:
        """Lessons and decisions of the run."""
        lessons = max(0, self.window.first - self.window.warmup_first - self.config.horizon_sessions)
        return lessons + self.window.last - self.window.first


def find_trader(name: str) -> type[Trader]:
    """The agent or strategy of that name.

    Raises:
        UnknownNameError: if neither has it; near names are suggested.
    """
    for group in ("agents", "strategies"):
        if name in registry.names(group):
            found: type[Trader] = registry.load(group, name)
            return found
    raise UnknownNameError("agent", name, [*registry.names("agents"), *registry.names("strategies")])


def prepare(config: RunConfig) -> Prepared:
    """Look up and check everything that a run needs; writes nothing.

    Raises:
        VarveError: naming what was given, what was expected and what mends it.
    """
    from varve.finllm.chat.open_model import deciding, open_model
    from varve.market.select import load_market
    from varve.memory.embed.base import get_embedder

    trader_class = find_trader(config.agent)
    trader_config = trader_class.Config.build(**config.settings)
    get_costs(config.costs)
    get_sizer(config.sizer)
    get_embedder(config.embedder)
    model = open_model(config.llm, seed=config.seed) if trader_class.needs_model else None
    if model is not None:
        model = deciding(model, config.decide, config.abstain_below, config.abstain_as)
    loaded = load_market(
        config.ticker,
        mode=config.data,
        start=config.warmup_start or config.start,
        end=config.end,
        world=config.world,
        world_seed=config.world_seed,
    )
    data = loaded.data
    learns = trader_class.allows_warm_up
    window = resolve_window(after_knowledge(config, data), data.bars, warm_up=learns or config.tune)
    searched = None
    if config.tune:
        searched = search(config, data, window)
        trader_config = searched.found.best
        window = window if learns else replace(window, warmup_first=window.first)
    snapshot = kept_snapshot(config)
    if snapshot is not None:
        window = begin_window(config, snapshot, trader_class, data, window)
    calendar = get_calendar(data.instrument.calendar)
    decided_until = calendar.decision_at(data.bars.session(window.last - 1))
    data = visible_until(data, window.last, decided_until, news=config.news)
    return Prepared(
        config, trader_class, trader_config, data, loaded.label, window, model, snapshot, searched
    )


def make_simulation(prepared: Prepared, trader: Trader, trace: Trace) -> Simulation:
    """The simulation of a trader under the run's data, costs, cash and fills."""
    config, data = prepared.config, prepared.data
    costs = get_costs(config.costs)
    sizer = get_sizer(config.sizer)
    market = MarketData({data.instrument.symbol: data})
    exchange = Exchange(
        market,
        (data.instrument.symbol,),
        costs=costs,
        initial_cash=config.initial_cash,
        fill_rule=prepared.fill_rule,
        start=data.bars.session(prepared.window.first),
        end=data.bars.session(prepared.window.last),
        shorting=sizer.allows_short,
    )
    return Simulation(
        trader,
        market,
        data.instrument,
        exchange,
        sizer,
        trace,
        costs=costs,
        horizon_sessions=config.horizon_sessions,
    )


def run_backtest(
    config: RunConfig,
    *,
    on_start: OnStart | None = None,
    on_step: OnStep | None = None,
    bundle: bool = True,
    use_cache: bool = True,
    clock: Clock = wall_clock,
) -> RunFolder:
    """Run a backtest into a new folder under ``VARVE_HOME/runs`` and derive its results.

    Args:
        bundle: keep the facts that were seen in the run folder.
        use_cache: take replies from the reply cache and keep new ones there.

    Raises:
        VarveError: before anything is written if the settings do not fit; later (a model away, a
            full disk, too many failures) with every finished step kept and ``run.json`` saying why.
    """
    prepared = prepare(config)
    registry = TrialRegistry(clock=clock)
    registry.check()
    folder = create_run_folder(config, clock())
    with sole_writer(folder):
        manifest = _manifest(prepared, folder, clock, bundle=bundle)
        folder.write({**manifest, "trial": registry.begin(manifest)})
        if prepared.search is not None:
            registry.add(trials_of_search(manifest))
        if bundle:
            write_inputs(folder.inputs, prepared.data)
        if prepared.snapshot is not None:
            keep_with_run(folder, prepared.snapshot)
        complete(folder, prepared, on_start=on_start, on_step=on_step, use_cache=use_cache, clock=clock)
    return folder


def complete(
    folder: RunFolder,
    prepared: Prepared,
    *,
    recorded: Sequence[JournaledStep] = (),
    on_start: OnStart | None = None,
    on_step: OnStep | None = None,
    use_cache: bool = True,
    clock: Clock = wall_clock,
) -> None:
    """Simulate a run to its end, journal what is not recorded yet, and derive the results.

    Args:
        recorded: the steps in the journal already; each is made again and must be equal.
    """
    from varve.backtests.derive import derive

    if on_start:
        on_start(prepared, folder)
    try:
        with cached_replies(prepared, use_cache) as cached:
            _simulate_into_journal(prepared, folder, recorded, cached, on_step)
        # What is killed before it has its results is not finished, and can be resumed.
        done = {"status": "finished", "finished_at": iso(clock())}
        metrics = derive(folder, data=prepared.data, then=done)
    except (VarveError, KeyboardInterrupt) as error:
        reason = str(error) or "interrupted"
        folder.update(status="stopped", reason=reason, finished_at=iso(clock()))
        raise
    note_result(folder, metrics, clock=clock)


@contextmanager
def cached_replies(prepared: Prepared, wanted: bool) -> Iterator[ReplySource | None]:
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
        shorting=simulation.sizer.allows_short,
        trace=trace,
        model=prepared.model,
        memory_folder=memory_folder,
        embedder=prepared.config.embedder,
        snapshot=prepared.snapshot,
        replies=replies,
    )
    trader.begin(context)
    window = prepared.window
    try:
        yield from simulation.warm_up(window.warmup_first, window.first)
        yield from simulation.trade(window.first, window.last)
    finally:
        trader.finish()


def _simulate_into_journal(
    prepared: Prepared,
    folder: RunFolder,
    recorded: Sequence[JournaledStep],
    cached: ReplySource | None,
    on_step: OnStep | None,
) -> None:
    # A copied folder may have another name than its run.
    run_id = folder.read()["run_id"]
    journal = Journal(folder.journal, run_id=run_id)
    steps = steps_of(
        prepared,
        memory_folder=folder.memory,
        run_id=run_id,
        trace=Trace(),
        replies=JournalReplies(recorded, cached),
    )
    try:
        for done, record in enumerate(steps, start=1):
            if done <= len(recorded):
                check_step(record, recorded[done - 1])
            else:
                journal.append(record)
            if on_step:
                on_step(record, done, prepared.total_steps)
    finally:
        steps.close()
        journal.close()


def run_baseline(prepared: Prepared, name: str, **settings: Any) -> list[StepRecord]:
    """A strategy on the same data, fills and costs, sized ``all_in``; nothing is written."""
    trader_class = find_trader(name)
    lean = replace(
        prepared,
        trader_class=trader_class,
        trader_config=trader_class.Config.build(**settings),
        model=None,
        snapshot=None,
        config=prepared.config.model_copy(update={"agent": name, "sizer": "all_in", "settings": settings}),
        window=replace(prepared.window, warmup_first=prepared.window.first),
    )
    return simulate(lean)


def knowledge_entry(prepared: Prepared) -> dict[str, Any] | None:
    """What ``run.json`` says of how much of the window the model may have read about; None without one."""
    from varve.finllm.chat.model_cards import knowledge_of

    if prepared.model is None:
        return None
    bars, window = prepared.data.bars, prepared.window
    return knowledge_of(
        prepared.config.llm,
        bars.session(window.first),
        bars.session(window.last),
        synthetic=prepared.data.provenance.synthetic,
    )


def _manifest(prepared: Prepared, folder: RunFolder, clock: Clock, *, bundle: bool) -> dict[str, Any]:
    from varve.finllm.chat.open_model import model_identity

    data, window = prepared.data, prepared.window
    return {
        "schema_version": RUN_SCHEMA_VERSION,
        "run_id": folder.run_id,
        "status": "running",
        "reason": None,
        "started_at": iso(clock()),
        "finished_at": None,
        "data_label": prepared.label,
        "synthetic": data.provenance.synthetic,
        "config": prepared.config.model_dump(mode="json"),
        "config_hash": prepared.config.identity(),
        "agent_settings": prepared.trader_config.model_dump(mode="json"),
        "tuning": None if prepared.search is None else prepared.search.json(),
        "costs": get_costs(prepared.config.costs).model_dump(mode="json"),
        "fill_rule": prepared.fill_rule,
        "instrument": instrument_json(data.instrument),
        "provenance": asdict(data.provenance),
        "data_hash": data.content_hash,
        "bundle": bundle,
        "window": {
            "warmup_start": iso(data.bars.session(window.warmup_first)),
            "start": iso(data.bars.session(window.first)),
            "end": iso(data.bars.session(window.last)),
            "warmup_sessions": window.first - window.warmup_first,
            "sessions": window.last - window.first + 1,
        },
        "model": None if prepared.model is None else model_identity(prepared.model),
        "knowledge": knowledge_entry(prepared),
        "memory": memory_entry(prepared.snapshot, data, window),
        "seed": prepared.config.seed,
        "software": software(),
    }
