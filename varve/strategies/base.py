"""The one contract of everything that decides: strategies without and agents with a language model.

The runner calls, in this order: :meth:`Trader.begin` once; at each warm-up session
:meth:`Trader.warm_up`; at each trading session first :meth:`Trader.learn` for every outcome that has
become known, then :meth:`Trader.decide`; and :meth:`Trader.finish` once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from varve.config import FrozenConfig
from varve.market.observation import Observation
from varve.types import RULES, Action, Decision, FillRule, Instrument, Intent, Outcome, Trace

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from varve.finllm.chat.reply_source import ReplySource
    from varve.memory.disk.snapshot import Snapshot


@dataclass(frozen=True)
class RunContext:
    """What a run lends its trader.

    Args:
        run_id: names the run; never enters a decision.
        instrument: what is traded.
        fill_rule: when orders fill; for the prompt's wording, not for prices.
        seed: of the trader's own randomness.
        horizon_sessions: sessions after which an outcome is known.
        shorting: whether SELL when flat opens a short position.
        trace: takes what belongs into the journal (model calls, memory events).
        model: the language model, None for traders that need none.
        memory_folder: where memories are kept on disk; None keeps them in this process only.
        embedder: name of the registered embedder.
        snapshot: what memories begin with; None for nothing.
        replies: where replies made before come from; hand it to the model session.
        rules: by which memory moves and purges; hand it to the memory.
    """

    run_id: str
    instrument: Instrument
    fill_rule: FillRule = "next_open"
    seed: int = 0
    horizon_sessions: int = 5
    shorting: bool = False
    trace: Trace = field(default_factory=Trace)
    model: BaseChatModel | None = None
    memory_folder: Path | None = None
    embedder: str = "hashing"
    snapshot: Snapshot | None = None
    replies: ReplySource | None = None
    rules: int = RULES


@dataclass(frozen=True)
class Lesson:
    """A past day with its outcome, for warm-up: what was seen then, and what came of the price.

    ``past`` is the observation of ``horizon_sessions`` sessions ago, cut at its own instant;
    ``present`` is today's. ``price_return`` = exit close ÷ entry price − 1 over the horizon, a
    fraction, known at ``present.decision_at``. ``cost_rate`` is the entry cost as a fraction.
    """

    past: Observation
    present: Observation
    price_return: float
    cost_rate: float

    @property
    def available_at(self) -> datetime:
        """When the lesson can be learned: today's decision."""
        return self.present.decision_at


class Trader(ABC):
    """Base of strategies and agents; override :meth:`decide` at least.

    ``Config`` is the class of the trader's own settings (``--set key=value``); ``needs_model`` tells
    the runner to open the language model; ``allows_warm_up`` that lessons are of use;
    ``takes_memory`` that its memory can begin with a snapshot. ``default_llm`` is the model of a run that
    names none; where an agent needs a model and has no default, such a run is refused. ``reads_news`` says
    that it reads news and filings, so that a run on data without any can say so. ``short_options`` are
    settings that have an option of their own on the command line: ``profile`` is set by ``--profile``,
    ``without`` by ``--without``.
    """

    Config: ClassVar[type[FrozenConfig]] = FrozenConfig
    name: ClassVar[str] = ""
    needs_model: ClassVar[bool] = False
    allows_warm_up: ClassVar[bool] = False
    takes_memory: ClassVar[bool] = False
    default_llm: ClassVar[str | None] = None
    reads_news: ClassVar[bool] = False
    short_options: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: FrozenConfig | None = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    def begin(self, context: RunContext) -> None:
        """A run starts; forget everything of an earlier one."""
        self.context = context

    def warm_up(self, lesson: Lesson) -> Decision:
        """Learn from a past day; the reply carries rationale, usage or failure, and never orders."""
        return Decision()

    def learn(self, outcome: Outcome) -> None:  # noqa: B027 (a hook, not a duty)
        """The outcome of an earlier decision has become known."""

    @abstractmethod
    def decide(self, observation: Observation) -> Decision:
        """Decide from what is visible.

        Raises:
            ModelTransportError: if the model cannot be reached; no decision is recorded then.
        """

    def finish(self) -> None:  # noqa: B027 (a hook, not a duty)
        """The run is over; write what is held back."""

    def _single(self, action: Action, rationale: str = "") -> Decision:
        """A decision for the run's one instrument."""
        return Decision(orders=(Intent(self.context.instrument, action),), rationale=rationale)
