"""Where a reply can come from instead of the model: the reply cache, or a run's own journal.

One seam for both: :class:`ReplySource`. A session asks it first and goes to the model only where it
has nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatResult

from varve.errors import IntegrityError
from varve.finllm.replies import finish_reason
from varve.types import Usage


@dataclass(frozen=True)
class Asked:
    """One call as it goes into the journal: everything that the model is shown, secrets hidden."""

    stage: str
    attempt: int
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Answered:
    """A reply as it goes into the journal, and what it cost when it was made."""

    reply: Mapping[str, Any]
    usage: Usage


class ReplySource(Protocol):
    """Replies made before."""

    def find(self, asked: Asked) -> Answered | None:
        """The reply to that call, or None where the model has to be asked.

        Raises:
            IntegrityError: if the call is not the one that was recorded in its place.
        """
        ...

    def keep(self, asked: Asked, answered: Answered) -> None:
        """Note a reply of the model that could be used; bad ones are never handed in."""
        ...


def reply_json(reply: AIMessage) -> dict[str, Any]:
    """A reply as plain JSON: content, tool calls, bad tool calls, finish reason, refusal."""
    return {
        "content": reply.content,
        "tool_calls": [
            {"id": call["id"], "name": call["name"], "args": call["args"]} for call in reply.tool_calls
        ],
        "invalid_tool_calls": [
            {key: call.get(key) for key in ("id", "name", "args", "error")}
            for call in reply.invalid_tool_calls
        ],
        "finish_reason": finish_reason(reply),
        "refusal": reply.additional_kwargs.get("refusal"),
    }


def message_of(answered: Answered) -> AIMessage:
    """The reply again, such that :func:`reply_json` gives the same and it parses the same.

    Raises:
        IntegrityError: if it has not the form of a recorded reply.
    """
    reply, usage = answered.reply, answered.usage
    tokens = usage.input_tokens + usage.output_tokens
    counted = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=tokens
    )
    try:
        return AIMessage(
            content=reply["content"],
            tool_calls=[{**call, "type": "tool_call"} for call in reply["tool_calls"]],
            invalid_tool_calls=[
                {**call, "type": "invalid_tool_call"} for call in reply["invalid_tool_calls"]
            ],
            usage_metadata=counted if tokens else None,
            response_metadata={"finish_reason": reply["finish_reason"]},
            additional_kwargs={"refusal": reply["refusal"]} if reply.get("refusal") else {},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"a recorded reply cannot be read: {type(error).__name__}: {error}",
            mend="it was changed after it was written; use the original file",
        ) from error


class RecordedModel(BaseChatModel):
    """Stands where a model would when every reply is recorded; it has none of its own."""

    @property
    def _llm_type(self) -> str:
        return "varve-recorded"

    def bind_tools(self, tools: Any, *, tool_choice: str | None = None, **kwargs: Any) -> Any:
        """Itself; the tools are part of what was recorded."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise IntegrityError("a call was made that the record does not hold; a replay asks no model")
