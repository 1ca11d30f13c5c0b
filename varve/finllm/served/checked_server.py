"""A chat model behind an OpenAI-compatible server, wary of what the server answers.

Needs the package ``langchain-openai``; loaded by :mod:`varve.finllm.served.openai` alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.tool import invalid_tool_call
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from openai import APIResponseValidationError, DefaultAsyncHttpxClient, DefaultHttpxClient

from varve.errors import ModelTransportError
from varve.finllm.langchain import More, Tool
from varve.finllm.replies.untrusted import clean
from varve.types import JsonObject, Reply, ToolSchema

_SHOWN_TOKENS = 40


class ServedModel(ChatOpenAI):
    """``ChatOpenAI`` with two differences.

    Bound tools must be called (``tool_choice="required"``), which is what makes servers constrain
    the reply to the schemas. And a body that is no chat completion is a transport fault, while tool
    arguments that are no JSON object are a bad reply; langchain raises a mixture for both.
    """

    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: ToolSchema | str | bool | None = "required",
        **kwargs: More,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with ``tools`` bound, one of which it has to call."""
        return super().bind_tools(tools, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: More,
    ) -> ChatResult:
        try:
            return super()._generate(messages, stop=stop, run_manager=run_manager, **kwargs)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise _malformed(f"a body that is no JSON ({error})") from error
        # What a library stumbles over in a body is the server's fault, whatever it is.
        except (
            APIResponseValidationError, ValueError, TypeError, LookupError, AttributeError, RecursionError,
        ) as error:  # fmt: skip
            raise _malformed(f"a body that cannot be read ({type(error).__name__}: {error})") from error

    def _create_chat_result(self, response: More, generation_info: JsonObject | None = None) -> ChatResult:
        plain = response.model_dump(warnings=False) if hasattr(response, "model_dump") else response
        choice = _only_choice(plain)
        message = dict(choice["message"])
        calls = message.get("tool_calls") or []
        good = [call for call in calls if _is_object(call["function"].get("arguments"))]
        checked = {
            "id": plain.get("id"),
            "model": plain.get("model"),
            "usage": _usage(plain.get("usage")),
            "choices": [
                {
                    "message": {**message, "role": "assistant", "tool_calls": good},
                    "finish_reason": choice.get("finish_reason"),
                }
            ],
        }
        result = super()._create_chat_result(checked, generation_info)
        reply = result.generations[0].message
        if isinstance(reply, AIMessage):
            reply.invalid_tool_calls = [
                invalid_tool_call(
                    name=str(call["function"].get("name")),
                    args=str(call["function"].get("arguments")),
                    id=call.get("id"),
                    error="no JSON object",
                )
                for call in calls
                if not _is_object(call["function"].get("arguments"))
            ]
            if message.get("refusal"):
                reply.additional_kwargs["refusal"] = message["refusal"]
        return result


def straight_clients() -> dict[str, Any]:
    """Clients that go where they are sent and no further: nobody gave a key to what a server points to."""
    proxy = os.environ.get("OPENAI_PROXY") or None
    return {
        "http_client": DefaultHttpxClient(follow_redirects=False, proxy=proxy),
        "http_async_client": DefaultAsyncHttpxClient(follow_redirects=False, proxy=proxy),
    }


def _only_choice(plain: object) -> Reply:
    """The first choice of a body, its shape checked.

    Raises:
        ModelTransportError: if the body is no chat completion.
    """
    if not isinstance(plain, dict):
        raise _malformed(f"text instead of a chat completion: {plain!r}")
    if plain.get("error"):
        raise _malformed(f"an error in a body of status 200: {plain['error']!r}")
    choices = plain.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise _malformed(f"a body without choices and message: {plain!r}")
    calls = message.get("tool_calls")
    content = message.get("content")
    if not isinstance(content, str | None) or not isinstance(calls, list | None):
        raise _malformed(f"a message of unknown shape: {message!r}")
    for call in calls or []:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _malformed(f"a tool call of unknown shape: {call!r}")
    return choice


def _is_object(given: object) -> bool:
    """Whether a call's arguments are a JSON object, or nothing, as for tools without parameters."""
    if not given:
        return True
    try:
        return isinstance(given, str | bytes) and isinstance(json.loads(given, strict=False), dict)
    except (ValueError, TypeError, RecursionError):
        return False


def _usage(given: object) -> dict[str, int] | None:
    if not isinstance(given, dict):
        return None
    asked, answered = given.get("prompt_tokens"), given.get("completion_tokens")
    if not isinstance(asked, int) or not isinstance(answered, int):
        return None
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def _malformed(what: str) -> ModelTransportError:
    return ModelTransportError(f"the server answered with {clean(what, _SHOWN_TOKENS)[0]}")
