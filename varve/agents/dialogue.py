"""One conversation about one day: questions, the reply, and at most one re-ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from varve.agents.tools import DayTools, tool_name
from varve.finllm.chat.session import ModelSession
from varve.finllm.replies.decide import ToolRequests, reask_messages
from varve.finllm.replies.untrusted import CHARACTERS_PER_TOKEN, clean
from varve.types import Failure, FailureReason, ToolCall, ToolSchema

Reply = TypeVar("Reply")
ERROR_TOKENS = 80


@dataclass(frozen=True)
class Talk(Generic[Reply]):
    """What came of a conversation: the reply or the failure, and the questions asked on the way."""

    reply: Reply | Failure
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass
class Dialogue(Generic[Reply]):
    """How a day is talked over with the model.

    Args:
        session: calls the model; its transport errors pass through.
        schemas: the tools bound, the same in every call; the last ends the conversation.
        stage: for the journal.
        parse: reads a reply; is asked anew each time, since tool answers may show more memories.
        cut_items: how many lines were cut so far.
        tools: answers questions; None where there are none to ask.
        max_rounds, max_calls: rounds of questions, and questions in each.
        max_tokens: of all answers together, four characters each; None for no bound.
    """

    session: ModelSession
    schemas: Sequence[ToolSchema]
    stage: str
    parse: Callable[[AIMessage], Reply | ToolRequests | Failure]
    cut_items: Callable[[], int]
    tools: DayTools | None = None
    max_rounds: int = 0
    max_calls: int = 0
    max_tokens: int | None = None

    def run(self, messages: Sequence[BaseMessage]) -> Talk[Reply]:
        """Talk until there is a reply; the first that cannot be used is asked again once, the next is final.

        Raises:
            ModelTransportError: if the model cannot be reached.
        """
        said = list(messages)
        asked: list[ToolCall] = []
        rounds = attempt = 0
        while True:
            may_ask = self.tools is not None and rounds < self.max_rounds
            message = self.session.invoke(
                said,
                self.schemas,
                stage=self.stage,
                attempt=attempt,
                cut_items=self.cut_items(),
                only=None if may_ask else tool_name(self.schemas[-1]),
            )
            found = self.parse(message)
            if isinstance(found, ToolRequests):
                if self.tools is not None and may_ask:
                    self.session.accept()
                    rounds += 1
                    said.append(message)
                    said += self._answers(self.tools, found, asked)
                    continue
                found = Failure(
                    FailureReason.TOO_MANY_ROUNDS,
                    f"another question after {rounds} of at most {self.max_rounds} rounds; decide now",
                )
            if not isinstance(found, Failure):
                self.session.accept()
                return Talk(found, tuple(asked))
            if attempt:
                return Talk(replace(found, attempts=attempt + 1), tuple(asked))
            attempt += 1
            said += reask_messages(message, found)

    def _answers(self, tools: DayTools, requests: ToolRequests, asked: list[ToolCall]) -> list[ToolMessage]:
        answers = []
        for place, request in enumerate(requests.calls):
            if place < self.max_calls:
                call = self._within(tools.call(request.name, request.arguments), asked)
                asked.append(call)
                told = call.result if call.error is None else _error(call.error)
            else:
                # Servers refuse a conversation in which a call stays without an answer.
                told = _error(f"at most {self.max_calls} questions a round; this one was not asked")
            answers.append(ToolMessage(told, tool_call_id=request.id))
        return answers

    def _within(self, call: ToolCall, asked: list[ToolCall]) -> ToolCall:
        """The call, or an error in its place where its answer is longer than what is left of the budget."""
        if self.max_tokens is None:
            return call
        left = CHARACTERS_PER_TOKEN * self.max_tokens - sum(len(one.result) for one in asked)
        if len(call.result) <= left:
            return call
        words = f"the answer is longer than what is left of the {self.max_tokens} tokens for answers"
        return replace(call, result="", error=f"{words}; ask for less, or decide")


def _error(text: str) -> str:
    return f"error: {clean(text, ERROR_TOKENS)[0]}"
