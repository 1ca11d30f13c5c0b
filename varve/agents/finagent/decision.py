"""The decision: everything that the day's stages found, the profile, the account, guidance and tools."""

from __future__ import annotations

from typing import ClassVar

from varve.agents.finagent.day import Day, DayStage
from varve.agents.finagent.kit import Kit, Reflection
from varve.agents.finagent.reflections import reflection_lines
from varve.agents.finagent.tools import FinAgentTools, tool_schemas
from varve.agents.prompting import labels_of
from varve.agents.stage import Budget
from varve.finllm.replies.decide import DecideReply
from varve.finllm.replies.forms import DecideForm
from varve.finllm.replies.untrusted import section
from varve.memory.protocol import Memory
from varve.memory.state.records import citation
from varve.types import Failure


class Deciding(DayStage[DecideReply]):
    """The last stage of a day, which cannot be switched off."""

    name: ClassVar[str] = "decide"

    def __init__(self, kit: Kit) -> None:
        config = kit.config
        asks, called = config.has("tools"), config.signals == "called"
        self._schemas = tool_schemas(config.strategies, called=called) if asks else []
        self._pasted = asks and not called
        rounds = config.max_tool_rounds if asks else 0
        budget = Budget(rounds, config.max_tool_calls, config.tool_tokens)
        super().__init__(kit, DecideForm(), labels_of(config.labels), self._schemas, budget)
        self._rounds = rounds

    def decide(self, day: Day) -> DecideReply | Failure:
        """Ask for the day's decision.

        Raises:
            ModelTransportError: if the model cannot be reached.
        """
        tools = FinAgentTools(
            day.observation,
            lambda query, tier: self._recall(day, query, tier),
            day.page.document_line,
            max_news=2 * self.config.max_news,
            schemas=self._schemas,
            signals=self.kit.signals,
        )
        return self.ask(
            day,
            tools=tools,
            rounds=self._rounds,
            intelligence=day.intelligence(),
            low=_reflections(day, "WHY_PRICES_MOVED", self.kit.low, day.low),
            high=_reflections(day, "REVIEW_OF_DECISIONS", self.kit.high, day.high),
            guidance=self._guidance(day),
            signals=section("SIGNALS", tools.signal_lines()) if self._pasted else "",
        )

    def _guidance(self, day: Day) -> str:
        """The newest expert guidance that was readable; empty where there is none, or it is switched off."""
        if not self.config.has("guidance"):
            return ""
        found = day.observation.guidance(self.config.max_guidance)
        return section("GUIDANCE", [day.page.document_line(one) for one in found]) if found else ""

    def _recall(self, day: Day, query: str, tier: str) -> list[str]:
        """Past intelligence of a tier, or reflections of both levels."""
        kit, symbol = self.kit, day.observation.instrument.symbol
        lines = []
        for memory in (kit.low, kit.high) if tier == "reflection" else (kit.intelligence,):
            hits = memory.recall(
                query, day.observation.decision_at, self.config.top_k, (tier,), ticker=symbol
            )
            lines += [day.page.memory_line(hit.record, citation(memory.name, hit.id)) for hit in hits[tier]]
        return [line for line in lines if line is not None]


def _reflections(day: Day, name: str, memory: Memory, reflection: Reflection | None) -> str:
    return "" if reflection is None else section(name, reflection_lines(day, memory, reflection))
