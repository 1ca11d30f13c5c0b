"""What every agent with a language model has: a model session, memories, the day's documents, usage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from pydantic import (
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from varve.agents.importance import ImportanceJudge
from varve.agents.prompting import Page
from varve.config import FrozenConfig, Settings
from varve.errors import UsageError
from varve.finllm.chat.session import ModelSession
from varve.finllm.replies.decide import DecideReply
from varve.market.observation import Observation
from varve.memory.embed.base import get_embedder
from varve.memory.protocol import Memory, Opening, memory_kind
from varve.memory.state.config import MemorySettings
from varve.memory.state.records import NewMemory
from varve.strategies.base import RunContext, Trader
from varve.types import (
    Decision,
    Document,
    DocumentKind,
    Failure,
    Intent,
    StageNote,
    ToolCall,
    Usage,
)

TIER_OF_KIND: dict[DocumentKind, str] = {"news": "short", "10-Q": "mid", "10-K": "long"}
MAX_STORED_CHARS = 20_000
"""A longer document is remembered by its beginning; the embedder reads no more either."""


class AgentConfig(FrozenConfig):
    """Settings that agents share."""

    max_tool_rounds: int = Field(default=2, ge=0, le=10)
    """Rounds of questions that a decision may ask before it answers."""
    max_tool_calls: int = Field(default=4, ge=1, le=16)
    """Questions of one round."""
    max_news: int = Field(default=10, ge=1, le=50)
    """New documents that a prompt shows: filings first, then the newest."""
    memory_tokens: int = Field(default=80, ge=8)
    """Longest memory in a prompt, in tokens of four characters."""
    news_tokens: int = Field(default=120, ge=8)
    """Longest document in a prompt, in tokens of four characters."""
    closes_shown: int = Field(default=10, ge=2, le=120)
    """Closes that a prompt shows."""
    memory_kind: str = "layered"
    """A registered kind of memory; see: backtest list memories."""
    memory: SerializeAsAny[MemorySettings] = Field(default_factory=dict, validate_default=True)
    """The memory, by the settings of its kind."""

    @field_validator("memory", mode="before")
    @classmethod
    def _of_its_kind(cls, given: object, info: ValidationInfo) -> object:
        """The settings of memory are those of the kind."""
        if isinstance(given, Mapping):
            return memory_kind(info.data.get("memory_kind", "layered")).Config.build(**given)
        return given

    @model_serializer(mode="wrap")
    def _without_the_default_kind(self, write: SerializerFunctionWrapHandler) -> Settings:
        # Runs of before this setting do not have it, and equal settings have to stay equal.
        written: Settings = write(self)
        if written.get("memory_kind") == "layered":
            del written["memory_kind"]
        return written


class Agent(Trader):
    """Base of agents: override :meth:`begin` to open memories and :meth:`decide` to use them.

    ``forms`` are the names of the reply forms that its stages ask for, so that one can tell whether a model
    knows them. An agent whose importance is judged asks for ``rate_importance`` besides.
    """

    Config = AgentConfig
    needs_model: ClassVar[bool] = True
    short_options: ClassVar[tuple[str, ...]] = ("memory_kind",)
    takes_memory: ClassVar[bool] = True
    forms: ClassVar[tuple[str, ...]] = ("decide",)

    def begin(self, context: RunContext) -> None:
        """A run starts, with no memory open yet.

        Raises:
            UsageError: if the run has no model.
        """
        super().begin(context)
        if context.model is None:
            raise UsageError(
                f"the {self.name} agent needs a language model, none given", mend="give --llm scripted"
            )
        self._session = ModelSession(context.model, context.trace, replies=context.replies)
        self._judge: ImportanceJudge | None = None
        if self.config.memory.importance == "judged":
            self._judge = ImportanceJudge(self._session, self.config.news_tokens)
        self._memories: list[Memory] = []
        self._stored_chars = min(MAX_STORED_CHARS, self.config.memory.max_text_chars)
        self._read_until: datetime | None = None

    def open_memory(self, name: str) -> Memory:
        """A memory of this run, empty or with what the run's snapshot holds under that name.

        Raises:
            UsageError: if the snapshot is of another agent or embedder.
        """
        context = self.context
        memory = memory_kind(self.config.memory_kind).open(
            Opening(
                settings=self.config.memory,
                embedder=get_embedder(context.embedder),
                name=name,
                seed=context.seed,
                trace=context.trace,
                run_id=context.run_id,
                folder=context.memory_folder,
                snapshot=context.snapshot,
                judge=self._judge,
                rules=context.rules,
            )
        )
        self._memories.append(memory)
        return memory

    def close_day(self, now: datetime) -> None:
        """End the session in every memory."""
        for memory in self._memories:
            memory.close_session(now)

    def finish(self) -> None:
        """Write memories that are not written yet and let go of the store."""
        for memory in self._memories:
            memory.close()

    def page(self, labels: int, document_memories: dict[str, str] | None = None) -> Page:
        """An empty page for a day's prompts, with the lengths of the settings."""
        return Page(
            labels,
            memory_tokens=self.config.memory_tokens,
            news_tokens=self.config.news_tokens,
            document_memories=document_memories,
        )

    def unread(self, observation: Observation) -> list[Document]:
        """Documents that became readable since this was last asked, oldest first; empty ones left out."""
        since = self._read_until or observation.previous_decision_at
        self._read_until = observation.decision_at
        found = observation.view.documents(observation.instrument.symbol, since=since)
        return [document for document in found if document.text[: self._stored_chars].strip()]

    def memory_of(self, document: Document) -> NewMemory:
        """A document as a memory in the tier of its kind, with its own times."""
        # Half characters, as broken feeds have them, cannot be stored.
        text = document.text.encode("utf-8", "replace").decode("utf-8")
        return NewMemory(
            text=text[: self._stored_chars],
            tier=TIER_OF_KIND[document.kind],
            ticker=document.symbol,
            event_time=document.event_time,
            available_at=document.available_at,
            kind=document.kind,
            metadata={"document": document.id, "cut": len(text) > self._stored_chars},
        )

    def reflect(
        self,
        memory: Memory,
        text: str,
        kind: str,
        *,
        at: datetime,
        event_time: datetime | None = None,
        links: tuple[str, ...] = (),
    ) -> str:
        """Keep the agent's own words in the reflection tier, readable from ``at`` on; the memory's id."""
        item = NewMemory(
            text=text[: self._stored_chars],
            tier="reflection",
            ticker=self.context.instrument.symbol,
            event_time=event_time or at,
            available_at=at,
            kind=kind,
            links=links,
        )
        return memory.add_many([item], now=at)[0]

    def decided(
        self,
        observation: Observation,
        reply: DecideReply | Failure,
        page: Page,
        first_call: int,
        *,
        tool_calls: tuple[ToolCall, ...] = (),
        stages: tuple[StageNote, ...] = (),
    ) -> Decision:
        """A reply as a decision; labels become the ids of memories, a failure has neither orders nor ids.

        Args:
            page: whose labels the reply names.
            first_call: :attr:`calls_so_far` when the day began.
        """
        usage = self.usage_since(first_call)
        if isinstance(reply, Failure):
            return Decision(failure=reply, tool_calls=tool_calls, usage=usage, stages=stages)
        return Decision(
            orders=(Intent(observation.instrument, reply.action),),
            confidence=reply.confidence,
            rationale=page.plain(reply.rationale),
            cited_memories=page.cited(reply.cited_memories),
            tool_calls=tool_calls,
            usage=usage,
            stages=stages,
        )

    @property
    def session(self) -> ModelSession:
        """Calls the model."""
        return self._session

    def usage_since(self, first_call: int) -> Usage:
        """Tokens and calls of the model calls from the trace's ``first_call``-th on."""
        return sum((call.usage for call in self.context.trace.model_calls[first_call:]), Usage())

    @property
    def calls_so_far(self) -> int:
        """Model calls in the trace."""
        return len(self.context.trace.model_calls)
