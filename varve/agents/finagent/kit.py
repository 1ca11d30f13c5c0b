"""What the stages of a FinAgent's day share, and what is carried from day to day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from langchain_core.messages import SystemMessage

from varve.agents.finagent.charts import Held
from varve.agents.finagent.config import FinAgentConfig
from varve.agents.prompting import Prompts
from varve.finllm.chat.session import ModelSession
from varve.market.observation import Observation
from varve.market.view import MarketView
from varve.memory.protocol import Memory
from varve.memory.state.records import Recalled
from varve.strategies.signals import Signal
from varve.types import Action, Document, Outcome


class Reflection(NamedTuple):
    """What was thought: its memory's id and text, and past thoughts like it as they were recalled."""

    memory_id: str
    text: str
    like: tuple[Recalled, ...] = ()


@dataclass
class Made:
    """A decision of one's own, and its outcome once that is known."""

    session: date
    action: Action
    confidence: int
    position: float
    rationale: str
    outcome: Outcome | None = None


@dataclass
class Kit:
    """One run's tools and carried state, handed to every stage; the agent fills it when a run begins.

    ``intelligence``, ``low`` and ``high`` are the run's three memories. ``unread`` returns the documents
    that became readable since it was last called. ``reflect`` stores the agent's own words and returns
    the memory's id. ``sees`` says whether charts are sent as images; ``blind_because`` says why not.
    ``made`` holds own decisions by step, ``held`` the positions for the trading chart, ``last_low`` and
    ``last_high`` the newest reflections.
    """

    config: FinAgentConfig
    session: ModelSession
    system: SystemMessage
    prompts: Prompts
    intelligence: Memory
    low: Memory
    high: Memory
    signals: Mapping[str, Callable[[MarketView, str], Signal]]
    unread: Callable[[Observation], list[Document]]
    reflect: Callable[..., str]
    sees: bool
    blind_because: str
    made: dict[int, Made] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    last_low: Reflection | None = None
    last_high: Reflection | None = None

    def go_blind(self, because: str) -> None:
        """From here on charts are given as tables."""
        self.sees, self.blind_because = False, because
