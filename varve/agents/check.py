"""Conformance of an agent: the contract of every trader, and what a language model adds to it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Self

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from varve.clock import parse_iso
from varve.errors import IntegrityError
from varve.memory.history import name_of
from varve.memory.state.records import citation
from varve.strategies.check import CheckedStep, Factory, ModelFactory, check_data, check_strategy, rollout

REFLECTIONS = ("rationale", "outcome", "lesson", "low_reflection", "high_reflection")
NONSENSE = "The moon is in the seventh house, therefore perhaps."


class NonsenseModel(BaseChatModel):
    """Answers everything with the same sentence, which is no reply."""

    @property
    def _llm_type(self) -> str:
        return "varve-nonsense"

    def bind_tools(self, tools: object, **kwargs: object) -> Self:
        """Tools are of no use to it."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(NONSENSE))])


def check_agent(factory: Factory, *, ticker: str = "TSLA", model: ModelFactory | None = None) -> None:
    """Raise unless the agents that ``factory`` makes hold the contract, on a sample world.

    All of :func:`~varve.strategies.check.check_strategy` (prompts, replies and memory events included in
    what must be equal), and: it cites only memories that it has; what is not yet available is never
    recalled; a reply that cannot be used is asked again once in every stage, then the day fails without
    orders, without citations and without a memory of its own.

    Args:
        factory: makes a fresh agent.
        ticker: of the sample world.
        model: makes the language model; the scripted one where None.

    Raises:
        IntegrityError: naming the agent, the session and what does not hold.
    """
    check_strategy(factory, ticker=ticker, model=model)
    name, data = factory().name, check_data(ticker)
    _check_memories(name, rollout(factory(), data, model=model))
    if factory().needs_model:
        _check_failures(name, rollout(factory(), data, model=NonsenseModel, sessions=5))


def _check_memories(name: str, steps: list[CheckedStep]) -> None:
    available: dict[str, datetime] = {}
    # A run with several memories cites each by name and id.
    several = len({name_of(event) for step in steps for event in step.memory_events}) > 1
    for step in steps:
        for event in step.memory_events:
            memory = name_of(event)
            cited = citation(memory, event.memory_id) if several else event.memory_id
            if event.kind == "added":
                available[cited] = parse_iso(event.data["available_at"])
            elif event.kind == "merged":
                copy = parse_iso(event.data["available_at"])
                available[cited] = min(available[cited], copy)
            elif event.kind == "recalled":
                ids = [hit[0] for hits in event.data["found"].values() for hit in hits]
                ids = [citation(memory, one) if several else one for one in ids]
                early = [one for one in ids if one not in available or available[one] > event.at]
                if early or event.at > step.now:
                    raise _broken(name, step, f"it recalled as of {event.at}, and {early} too early")
        unknown = [one for one in step.decision.cited_memories if one not in available]
        if unknown:
            raise _broken(name, step, f"it cites {unknown}, which it does not have")


def _check_failures(name: str, steps: list[CheckedStep]) -> None:
    for step in steps:
        decision = step.decision
        kept = [e for e in step.memory_events if e.kind == "added" and e.data["kind"] in REFLECTIONS]
        said = [e for e in step.memory_events if NONSENSE in str(e.data.get("text", ""))]
        if decision.failure is None:
            raise _broken(name, step, "nonsense was taken for a decision")
        if decision.orders or decision.cited_memories:
            raise _broken(name, step, "a failure carries orders or citations")
        for stage, calls in Counter(call.stage for call in step.model_calls).items():
            if calls != 2:
                raise _broken(name, step, f"a bad reply led to {calls} calls of {stage}, 2 expected")
        attempts = decision.failure.attempts
        if attempts != 2:
            raise _broken(name, step, f"its failure tells of {attempts} attempts, 2 expected")
        if kept or said:
            raise _broken(name, step, "a failure was stored in memory")


def _broken(name: str, step: CheckedStep, wrong: str) -> IntegrityError:
    return IntegrityError(f"agent {name!r} breaks the contract on {step.observation.session}: {wrong}")
