"""FinMem: profile, layered memory and decision (arXiv 2311.13743); see ``docs/agents/finmem.md``."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, NamedTuple

from varve.agents.agent import Agent
from varve.agents.finmem.config import FinMemConfig
from varve.agents.finmem.prompting import (
    decide_message,
    explain_message,
    memory_sections,
    news_section,
    profile_variant,
    query_text,
    render,
    system_message,
)
from varve.agents.prompting import Page, cleaned, labels_of, percent, position_text
from varve.agents.stage import Budget, Stage
from varve.agents.tools import TOOL_SCHEMAS, DayTools
from varve.clock import iso
from varve.finllm.replies.decide import DecideReply
from varve.finllm.replies.forms import DecideForm, ExplainForm
from varve.market.observation import Observation
from varve.memory.state.records import Recalled
from varve.strategies.base import Lesson, RunContext
from varve.types import Action, Decision, Failure, Outcome

OUTCOME_TOKENS = 40


class _Made(NamedTuple):
    """A decision whose outcome is not known yet."""

    memory_id: str
    session: str
    action: Action
    rationale: str
    scored: bool = False


class FinMem(Agent):
    """An agent that reads news and filings into layered memory, recalls, asks, decides and reflects."""

    name: ClassVar[str] = "finmem"
    Config = FinMemConfig
    allows_warm_up: ClassVar[bool] = True
    default_llm: ClassVar[str] = "nano"
    reads_news: ClassVar[bool] = True
    short_options: ClassVar[tuple[str, ...]] = ("profile", *Agent.short_options)
    forms: ClassVar[tuple[str, ...]] = ("decide", "explain")

    def begin(self, context: RunContext) -> None:
        """A run starts with an empty memory, or with what its snapshot holds.

        Raises:
            UsageError: if the run has no model, or the snapshot is of another agent or embedder.
        """
        super().begin(context)
        config: FinMemConfig = self.config
        self.memory = self.open_memory(self.name)
        self._system = {
            (variant, explain): system_message(config, context, variant, explain=explain)
            for variant in ("risk_seeking", "risk_averse")
            for explain in (False, True)
        }
        labels = labels_of(config.labels)
        budget = Budget(config.max_tool_rounds, config.max_tool_calls)
        self._decide = Stage("decide", DecideForm(), labels, TOOL_SCHEMAS, budget)
        self._explain = Stage("warm_up", ExplainForm(), labels)
        self._document_memories: dict[str, str] = {}
        self._made: dict[int, _Made] = {}

    def warm_up(self, lesson: Lesson) -> Decision:
        """Explain a past day by what was readable then; what is learned is recallable from today on.

        The memories cited get credit when the price moved by more than the entry cost rate, in either
        direction: they explained a move.

        Raises:
            ModelTransportError: if the model cannot be reached.
        """
        past, now, first_call = lesson.past, lesson.available_at, self.calls_so_far
        page, memories, news = self._page(past)
        horizon = self.context.horizon_sessions
        system = self._system[profile_variant(self.config, past), True]
        prompt = explain_message(self.config, lesson, horizon, memories=memories, news=news)
        talk = self._explain.ask(self._session, system, prompt, page)
        usage = self.usage_since(first_call)
        if isinstance(talk.reply, Failure):
            self.close_day(now)
            return Decision(failure=talk.reply, usage=usage)
        cited = page.cited(talk.reply.cited_memories)
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
        self.close_day(now)
        return Decision(rationale=rationale, cited_memories=cited, usage=usage)

    def learn(self, outcome: Outcome) -> None:
        """Credit what the decision cited by the sign of its reward, and note the outcome beside it."""
        made = self._made.pop(outcome.step, None)
        if outcome.position and outcome.cited_memories:
            # Where the actions were weighed, all that was shown is cited and shares one credit.
            share = 1 / len(outcome.cited_memories) if made is not None and made.scored else 1.0
            self.memory.credit(outcome.cited_memories, outcome.reward, outcome.available_at, share=share)
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
        config, first_call = self.config, self.calls_so_far
        page, memories, news = self._page(observation)
        system = self._system[profile_variant(config, observation), False]
        prompt = decide_message(config, observation, memories=memories, news=news)
        tools = DayTools(
            observation,
            lambda query, tier: self._recall_lines(page, observation, query, tier),
            page.document_line,
            max_news=4 * config.max_news,
        )
        talk = self._decide.ask(self._session, system, prompt, page, tools=tools)
        decision = self.decided(observation, talk.reply, page, first_call, tool_calls=talk.tool_calls)
        if not isinstance(talk.reply, Failure):
            self._remember_decision(observation, talk.reply, decision.rationale, decision.cited_memories)
        self.close_day(observation.decision_at)
        return decision

    def _page(self, observation: Observation) -> tuple[Page, str, str]:
        """Take in new documents and recall; the day's page with its sections of memories and news."""
        self._ingest(observation)
        config: FinMemConfig = self.config
        page = self.page(config.labels, self._document_memories)
        documents = page.chosen(observation.new_documents(), config.max_news)
        news = news_section(page, documents, sentiment=config.sentiment)
        shown = {self._document_memories[d.id] for d in documents if d.id in self._document_memories}
        hits = self.memory.recall(
            query_text(observation),
            observation.decision_at,
            # Today's documents are memories already and would stand twice: look past them.
            config.top_k + len(shown),
            ticker=observation.instrument.symbol,
        )
        kept = {tier: _without(found, shown)[: config.top_k] for tier, found in hits.items()}
        return page, memory_sections(page, kept), news

    def _ingest(self, observation: Observation) -> None:
        """Store documents that became readable since the last time, each in the tier of its kind."""
        documents = self.unread(observation)
        items = [self.memory_of(document) for document in documents]
        stored = self.memory.add_many(items, now=observation.decision_at)
        self._document_memories.update(zip((d.id for d in documents), stored, strict=True))

    def _recall_lines(self, page: Page, observation: Observation, query: str, tier: str) -> list[str]:
        hits = self.memory.recall(
            query,
            observation.decision_at,
            self.config.top_k,
            (tier,),
            ticker=observation.instrument.symbol,
        )
        return page.memory_lines([hit.record for hit in hits[tier]])

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
        self._made[observation.step] = _Made(memory_id, session, reply.action, rationale, reply.scored)

    def _reflect(
        self, text: str, kind: str, *, event_time: datetime, at: datetime, links: tuple[str, ...]
    ) -> str:
        return self.reflect(self.memory, text, kind, at=at, event_time=event_time, links=links)


def _without(hits: list[Recalled], shown: set[str]) -> list[Recalled]:
    return [hit for hit in hits if hit.record.id not in shown]
