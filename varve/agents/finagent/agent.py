"""FinAgent: intelligence, two reflections and tools (arXiv 2402.18485); see ``docs/agents/finagent.md``."""

from __future__ import annotations

from typing import ClassVar

from langchain_core.messages import SystemMessage

from varve.agents.agent import Agent
from varve.agents.finagent.charts import held_at
from varve.agents.finagent.config import FinAgentConfig
from varve.agents.finagent.day import Day
from varve.agents.finagent.decision import Deciding
from varve.agents.finagent.intelligence import Intelligence, PastIntelligence
from varve.agents.finagent.kit import Kit, Made
from varve.agents.finagent.reflections import HighReflection, LowReflection
from varve.agents.finagent.tools import signal_sources
from varve.agents.prompting import Prompts, market_values, trading_values
from varve.finllm.chat.images import sees
from varve.market.observation import Observation
from varve.strategies.base import Lesson, RunContext
from varve.types import Decision, Failure, Outcome


class FinAgent(Agent):
    """An agent that sums up news, reflects on prices and on its own decisions, asks tools, and decides."""

    name: ClassVar[str] = "finagent"
    Config = FinAgentConfig
    allows_warm_up: ClassVar[bool] = True
    default_llm: ClassVar[str] = "nano"
    reads_news: ClassVar[bool] = True
    short_options: ClassVar[tuple[str, ...]] = ("profile", "without", *Agent.short_options)
    forms: ClassVar[tuple[str, ...]] = (
        "summarise_news",
        "summarise_past",
        "explain_moves",
        "review_decisions",
        "decide",
    )
    prompts: ClassVar[Prompts] = Prompts("varve.agents.finagent")

    def begin(self, context: RunContext) -> None:
        """A run starts with three empty memories, or with what its snapshot holds.

        Raises:
            UsageError: if the run has no model, the snapshot is of another agent or embedder, or a
                strategy tells no signal.
        """
        super().begin(context)
        config: FinAgentConfig = self.config
        system = self.prompts.render(
            "system", profile_file=f"profile_{config.profile}.j2", **trading_values(context)
        )
        self.kit = kit = Kit(
            config=config,
            session=self.session,
            system=SystemMessage(system),
            prompts=self.prompts,
            intelligence=self.open_memory("market_intelligence"),
            low=self.open_memory("low_reflection"),
            high=self.open_memory("high_reflection"),
            signals=signal_sources(config.strategies) if config.has("tools") else {},
            unread=self.unread,
            reflect=self.reflect,
            sees=config.has("vision") and context.model is not None and sees(context.model),
            blind_because="" if config.has("vision") else "vision is switched off",
        )
        self._intelligence, self._past = Intelligence(kit), PastIntelligence(kit)
        self._stages = (self._intelligence, self._past, LowReflection(kit), HighReflection(kit))
        self._deciding = Deciding(kit)

    def warm_up(self, lesson: Lesson) -> Decision:
        """Take in a day and reflect on the moves that ended with it; nothing is decided.

        The day is the present one: its news, and moves up to its own close.

        Raises:
            ModelTransportError: if the model cannot be reached.
        """
        day, first_call = self._begin_day(lesson.present), self.calls_so_far
        for stage in self._stages[:3]:
            stage.run(day)
            if stage is self._past:
                self._intelligence.keep(day)
        self.close_day(lesson.available_at)
        done = any(note.state == "done" for note in day.notes)
        return Decision(
            rationale=day.low.text if day.low else "",
            usage=self.usage_since(first_call),
            # A day of which nothing was learned; one failed stage of several is noted and no more.
            failure=day.failures[-1] if day.failures and not done else None,
            stages=tuple(day.notes),
        )

    def learn(self, outcome: Outcome) -> None:
        """Note the outcome beside its decision, for the next review."""
        made = self.kit.made.get(outcome.step)
        if made is not None:
            made.outcome = outcome

    def decide(self, observation: Observation) -> Decision:
        """Sum up, recall, reflect, ask, decide.

        Raises:
            ModelTransportError: if the model cannot be reached; nothing of the day is decided then.
        """
        first_call = self.calls_so_far
        self.kit.held.append(held_at(observation))
        day = self._begin_day(observation)
        for stage in self._stages:
            stage.run(day)
            if stage is self._past:
                # Only now, so that a day's own news is no answer to its own queries.
                self._intelligence.keep(day)
        reply = self._deciding.decide(day)
        self.close_day(observation.decision_at)
        decision = self.decided(
            observation, reply, day.page, first_call, tool_calls=day.tool_calls, stages=tuple(day.notes)
        )
        if not isinstance(reply, Failure):
            self.kit.made[observation.step] = Made(
                observation.session, reply.action, reply.confidence, observation.position, decision.rationale
            )
        return decision

    def _begin_day(self, observation: Observation) -> Day:
        config: FinAgentConfig = self.config
        return Day(
            observation=observation,
            page=self.page(config.labels),
            market=market_values(observation, config.closes_shown),
            now_reflecting=observation.step % config.reflect_every_sessions == 0,
        )
