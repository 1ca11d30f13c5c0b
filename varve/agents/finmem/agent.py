"""FinMem: profile, layered memory and decision (arXiv 2311.13743); see ``docs/finmem.md``."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, NamedTuple

from langchain_core.messages import HumanMessage

from varve.agents.finmem.config import FinMemConfig
from varve.agents.finmem.dialogue import Dialogue
from varve.agents.finmem.prompting import (
    DayPage,
    cleaned,
    day_message,
    explain_message,
    percent,
    position_text,
    profile_variant,
    query_text,
    render,
    system_message,
)
from varve.agents.tools import TOOL_NAMES, TOOL_SCHEMAS, DayTools
from varve.clock import iso
from varve.errors import UsageError
from varve.finllm.replies import (
    DecideReply,
    ExplainReply,
    decide_tool_schema,
    explain_tool_schema,
    parse_explanation,
    parse_reply,
)
from varve.finllm.session import ModelSession
from varve.market.observation import Observation
from varve.memory.embedders import get_embedder
from varve.memory.layered import LayeredMemory
from varve.memory.records import NewMemory, Recalled
from varve.strategies.base import Lesson, RunContext, Trader
from varve.types import Action, Decision, Document, DocumentKind, Failure, Intent, Outcome, Usage

TIER_OF_KIND: dict[DocumentKind, str] = {"news": "short", "10-Q": "mid", "10-K": "long"}
MAX_STORED_CHARS = 20_000
"""A longer document is remembered by its beginning; the embedder reads no more either."""

OUTCOME_TOKENS = 40
ACTIONS = tuple(Action)


class _Made(NamedTuple):
    """A decision whose outcome is not known yet."""

    memory_id: str
    session: str
    action: Action
    rationale: str


class FinMem(Trader):
    """An agent that reads news and filings into layered memory, recalls, asks, decides and reflects."""

    name: ClassVar[str] = "finmem"
    Config = FinMemConfig
    needs_model: ClassVar[bool] = True
    allows_warm_up: ClassVar[bool] = True
    takes_memory: ClassVar[bool] = True

    def begin(self, context: RunContext) -> None:
        """A run starts with an empty memory, or with what its snapshot holds.

        Raises:
            UsageError: if the run has no model, or the snapshot is of another agent or embedder.
        """
        super().begin(context)
        if context.model is None:
            raise UsageError(
                "the finmem agent needs a language model, none given", mend="give --llm scripted"
            )
        config: FinMemConfig = self.config
        self.memory = LayeredMemory(
            config.memory,
            get_embedder(context.embedder),
            seed=context.seed,
            trace=context.trace,
            folder=context.memory_folder,
            run_id=context.run_id,
            name=self.name,
            snapshot=context.snapshot,
        )
        self._stored_chars = min(MAX_STORED_CHARS, config.memory.max_text_chars)
        self._session = ModelSession(context.model, context.trace, replies=context.replies)
        self._system = {
            (variant, explain): system_message(config, context, variant, explain=explain)
            for variant in ("risk_seeking", "risk_averse")
            for explain in (False, True)
        }
        labels = [f"M{number}" for number in range(1, config.labels + 1)]
        questions = TOOL_SCHEMAS if config.max_tool_rounds else ()
        self._decide_schemas = [*questions, decide_tool_schema(ACTIONS, labels)]
        self._explain_schemas = [explain_tool_schema(labels)]
        self._ingested_until: datetime | None = None
        self._document_memories: dict[str, str] = {}
        self._made: dict[int, _Made] = {}

    def warm_up(self, lesson: Lesson) -> Decision:
        """Explain a past day by what was readable then; what is learned is recallable from today on.

        The memories cited get credit when the price moved by more than the entry cost rate, in either
        direction: they explained a move.

        Raises:
            ModelTransportError: if the model cannot be reached.
        """
        past, now, first_call = lesson.past, lesson.available_at, len(self.context.trace.model_calls)
        page, memories, news = self._page(past)
        horizon = self.context.horizon_sessions
        system = self._system[profile_variant(self.config, past), True]
        prompt = explain_message(self.config, lesson, horizon, memories=memories, news=news)
        talk = Dialogue[ExplainReply](
            self._session,
            self._explain_schemas,
            "warm_up",
            lambda message: parse_explanation(message, known_memory_ids=page.ids),
            lambda: page.cut_items,
        ).run([system, HumanMessage(prompt)])
        usage = self._usage(first_call)
        if isinstance(talk.reply, Failure):
            self.memory.close_session(now)
            return Decision(failure=talk.reply, usage=usage)
        cited = _memory_ids(talk.reply.cited_memories, page)
        rationale = page.plain(talk.reply.rationale)
        text = render(
            "lesson",
            session=iso(past.session),
            ticker=past.instrument.symbol,
            price_return=percent(lesson.price_return),
            horizon=horizon,
            rationale=rationale,
        )
        self._reflect(text, "lesson", event_time=past.decision_at, at=now, links=cited)
        if abs(lesson.price_return) > lesson.cost_rate:
            self.memory.credit(cited, 1.0, now)
        self.memory.close_session(now)
        return Decision(rationale=rationale, cited_memories=cited, usage=usage)

    def learn(self, outcome: Outcome) -> None:
        """Credit what the decision cited by the sign of its reward, and note the outcome beside it."""
        made = self._made.pop(outcome.step, None)
        if outcome.position:
            self.memory.credit(outcome.cited_memories, outcome.reward, outcome.available_at)
        if made is None:
            return
        text = render(
            "outcome",
            session=made.session,
            ticker=outcome.symbol,
            action=made.action.value,
            price_return=percent(outcome.exit_price / outcome.fill_price - 1.0),
            horizon=outcome.horizon_sessions,
            position=position_text(outcome.position),
            reward=percent(outcome.reward),
            rationale=cleaned(made.rationale, OUTCOME_TOKENS)[0],
        )
        at = outcome.available_at
        self._reflect(text, "outcome", event_time=at, at=at, links=(made.memory_id, *outcome.cited_memories))

    def decide(self, observation: Observation) -> Decision:
        """Ingest, recall, ask, decide, reflect.

        Raises:
            ModelTransportError: if the model cannot be reached; nothing of the day is decided then.
        """
        config, first_call = self.config, len(self.context.trace.model_calls)
        page, memories, news = self._page(observation)
        system = self._system[profile_variant(config, observation), False]
        prompt = day_message("decide", config, observation, memories=memories, news=news)
        talk = Dialogue[DecideReply](
            self._session,
            self._decide_schemas,
            "decide",
            lambda message: parse_reply(
                message,
                allowed_actions=ACTIONS,
                known_memory_ids=page.ids,
                tool_names=TOOL_NAMES if config.max_tool_rounds else (),
            ),
            lambda: page.cut_items,
            DayTools(
                observation,
                lambda query, tier: self._recall_lines(page, observation, query, tier),
                page.document_line,
                max_news=4 * config.max_news,
            ),
            config.max_tool_rounds,
            config.max_tool_calls,
        ).run([system, HumanMessage(prompt)])
        usage = self._usage(first_call)
        if isinstance(talk.reply, Failure):
            self.memory.close_session(observation.decision_at)
            return Decision(failure=talk.reply, tool_calls=talk.tool_calls, usage=usage)
        cited, rationale = _memory_ids(talk.reply.cited_memories, page), page.plain(talk.reply.rationale)
        self._remember_decision(observation, talk.reply, rationale, cited)
        self.memory.close_session(observation.decision_at)
        return Decision(
            orders=(Intent(observation.instrument, talk.reply.action),),
            confidence=talk.reply.confidence,
            rationale=rationale,
            cited_memories=cited,
            tool_calls=talk.tool_calls,
            usage=usage,
        )

    def finish(self) -> None:
        """Write memories that are not written yet and let go of the store."""
        self.memory.close()

    def _page(self, observation: Observation) -> tuple[DayPage, str, str]:
        """Take in new documents and recall; the day's page with its sections of memories and news."""
        self._ingest(observation)
        config: FinMemConfig = self.config
        page = DayPage(config, self._document_memories)
        news, shown = page.news(observation)
        hits = self.memory.recall(
            query_text(observation),
            observation.decision_at,
            # Today's documents are memories already and would stand twice: look past them.
            config.top_k + len(shown),
            ticker=observation.instrument.symbol,
        )
        kept = {tier: _without(found, shown)[: config.top_k] for tier, found in hits.items()}
        return page, page.memories(kept), news

    def _ingest(self, observation: Observation) -> None:
        """Store documents that became readable since the last time, each in the tier of its kind."""
        symbol, now = observation.instrument.symbol, observation.decision_at
        since = self._ingested_until or observation.previous_decision_at
        documents = [
            d for d in observation.view.documents(symbol, since=since) if d.text[: self._stored_chars].strip()
        ]
        stored = self.memory.add_many([self._memory_of(document) for document in documents], now=now)
        self._document_memories.update(zip((d.id for d in documents), stored, strict=True))
        self._ingested_until = now

    def _memory_of(self, document: Document) -> NewMemory:
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

    def _recall_lines(self, page: DayPage, observation: Observation, query: str, tier: str) -> list[str]:
        hits = self.memory.recall(
            query,
            observation.decision_at,
            self.config.top_k,
            (tier,),
            ticker=observation.instrument.symbol,
        )
        lines = [page.memory_line(hit.record) for hit in hits[tier]]
        return [line for line in lines if line is not None]

    def _remember_decision(
        self, observation: Observation, reply: DecideReply, rationale: str, cited: tuple[str, ...]
    ) -> None:
        session, at = iso(observation.session), observation.decision_at
        text = render(
            "rationale",
            session=session,
            ticker=observation.instrument.symbol,
            action=reply.action.value,
            confidence=reply.confidence,
            rationale=rationale,
        )
        memory_id = self._reflect(text, "rationale", event_time=at, at=at, links=cited)
        self._made[observation.step] = _Made(memory_id, session, reply.action, rationale)

    def _reflect(
        self, text: str, kind: str, *, event_time: datetime, at: datetime, links: tuple[str, ...]
    ) -> str:
        return self.memory.add(
            text[: self._stored_chars],
            tier="reflection",
            ticker=self.context.instrument.symbol,
            event_time=event_time,
            available_at=at,
            now=at,
            kind=kind,
            links=links,
        )

    def _usage(self, first_call: int) -> Usage:
        calls = self.context.trace.model_calls[first_call:]
        return sum((call.usage for call in calls), Usage())


def _without(hits: list[Recalled], shown: set[str]) -> list[Recalled]:
    return [hit for hit in hits if hit.record.id not in shown]


def _memory_ids(labels: tuple[str, ...], page: DayPage) -> tuple[str, ...]:
    return tuple(dict.fromkeys(page.ids[label] for label in labels))
