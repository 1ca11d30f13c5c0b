"""Replies as records and back, and the model that stands where every reply is recorded."""

from __future__ import annotations

from typing import Self

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatResult

from varve.errors import IntegrityError
from varve.finllm.chat.reply_source import Answered, Identity
from varve.finllm.replies.decide import finish_reason
from varve.types import JsonObject


def reply_json(reply: AIMessage) -> JsonObject:
    """A reply as plain JSON: content, tool calls, bad tool calls, finish reason, refusal.

    ``cut_items`` is there where the model had to leave lines of the prompt out.
    """
    cut = reply.response_metadata.get("cut_items")
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
        **({"cut_items": cut} if cut else {}),
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
            response_metadata={
                "finish_reason": reply["finish_reason"],
                **({"cut_items": reply["cut_items"]} if reply.get("cut_items") else {}),
            },
            additional_kwargs={"refusal": reply["refusal"]} if reply.get("refusal") else {},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"a recorded reply cannot be read: {type(error).__name__}: {error}",
            mend="it was changed after it was written; use the original file",
        ) from error


def recorded_model(identity: Identity | None) -> RecordedModel:
    """What stands for the model that a run record tells of."""
    return RecordedModel(name="recorded", vision=bool(identity and identity.get("vision")))


class RecordedModel(BaseChatModel):
    """Stands where a model would when every reply is recorded; it has none of its own.

    ``vision`` is whether the recorded model was sent images, so that it is asked the same again.
    """

    vision: bool = False

    @property
    def _llm_type(self) -> str:
        return "varve-recorded"

    def bind_tools(self, tools: object, *, tool_choice: str | None = None, **kwargs: object) -> Self:
        """Itself; the tools are part of what was recorded."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> ChatResult:
        raise IntegrityError("a call was made that the record does not hold; a replay asks no model")
