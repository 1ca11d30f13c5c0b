"""Look up and check everything that a run needs, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from varve import registry
from varve.backtests.config import RunConfig
from varve.backtests.record.inputs import visible_until
from varve.backtests.simulate.rule_search import Search, search
from varve.backtests.simulate.starting_memory import begin_window, kept_snapshot
from varve.backtests.simulate.window import Window, after_knowledge, resolve_window
from varve.config import FrozenConfig
from varve.envs.costs import CostModel, get_costs
from varve.envs.desk import Desk
from varve.envs.sizing import Sizer, get_sizer
from varve.errors import UnknownNameError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.market.frequency import missing_sentence
from varve.strategies.base import Trader
from varve.types import RULES, FillRule

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from varve.memory.disk.snapshot import Snapshot


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
    rules: int = RULES
    """The rules by which it trades and remembers; an old run keeps its own."""

    @property
    def fill_rule(self) -> FillRule:
        """When orders fill."""
        return "same_close" if self.config.fill == "same_close" else self.data.provenance.fill_rule

    @property
    def costs(self) -> CostModel:
        """What trading costs."""
        return get_costs(self.config.costs, **self.config.cost_settings)

    @property
    def sizer(self) -> Sizer:
        """How much is traded."""
        return get_sizer(self.config.sizer, **self.config.sizer_settings)

    @property
    def desk(self) -> Desk:
        """A new order desk; runs of before rules 2 forgot what was capped."""
        return Desk(self.sizer, self.data.instrument, works_off=None if self.rules >= 2 else False)

    @property
    def total_steps(self) -> int:
        """Lessons and decisions of the run."""
        lessons = max(0, self.window.first - self.window.warmup_first - self.config.horizon_sessions)
        return lessons + self.window.last - self.window.first


def on_other_data(prepared: Prepared, data: InstrumentData) -> Prepared:
    """The run on data that differs from its own after some instant; it then ends where that data ends.

    A run's data ends with its window, so the data, the window and the settings say one and the same end.
    """
    last, window = len(data.bars) - 1, prepared.window
    return replace(
        prepared,
        data=data,
        # A future that begins in the warm-up may end there; an account needs two bars.
        window=replace(window, first=min(window.first, last - 1), last=last),
        config=prepared.config.model_copy(update={"end": data.bars.session(last)}),
    )


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


def check_trading(config: RunConfig) -> tuple[type[Trader], FrozenConfig]:
    """The trader of a run with its settings; those of its sizer and costs are checked with them.

    Raises:
        UnknownNameError: for an agent, a sizer or a cost preset that there is not.
        SettingError: for a setting of one of them that is unknown or cannot be used.
    """
    trader_class = find_trader(config.agent)
    trader_config = trader_class.Config.build(**config.agent_settings)
    get_costs(config.costs, **config.cost_settings)
    get_sizer(config.sizer, **config.sizer_settings)
    return trader_class, trader_config


def prepare(config: RunConfig) -> Prepared:
    """Look up and check everything that a run needs; writes nothing.

    Raises:
        VarveError: naming what was given, what was expected and what mends it.
    """
    from varve.finllm.chat.open_model import deciding, open_model
    from varve.market.select import load_market
    from varve.memory.embed.base import get_embedder

    trader_class, trader_config = check_trading(config)
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
    missing = missing_sentence(data, window.warmup_first, window.last)
    label = f"{loaded.label}; in this run {missing}" if missing else loaded.label
    calendar = get_calendar(data.instrument.calendar)
    decided_until = calendar.decision_at(data.bars.session(window.last - 1))
    data = visible_until(data, window.last, decided_until, news=config.news)
    return Prepared(config, trader_class, trader_config, data, label, window, model, snapshot, searched)
