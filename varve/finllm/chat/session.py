"""One conversation with a chat model: every call recorded, passing faults tried again.

A fault of the exchange never becomes a reply: after the last try the run stops, and no decision was
recorded for the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langsmith.run_helpers import tracing_context
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt

from varve.clock import stopwatch
from varve.errors import ModelError, ModelTransportError
from varve.finllm.chat.faults import Fault, fault_of, hide, mend_of, secrets_of
from varve.finllm.chat.images import REFUSED, REFUSING_STATUS, ImageRefusedError, take_images
from varve.finllm.chat.reply_records import message_of, reply_json
from varve.finllm.chat.reply_source import Answered, Asked, ReplySource
from varve.finllm.replies.decide import finish_reason
from varve.types import ModelCall, ToolSchema, Trace, Usage

MAX_WAIT_S = 30.0

_Schemas = tuple[ToolSchema, ...]
_Tried = tuple[AIMessage, float] | Fault
"""A reply with its seconds, or what went wrong."""


def doubling(tried: int) -> float:
    """Seconds to wait after the ``tried``-th failed try: 0.5, 1, 2, 4 ... at most 30."""
    return float(min(MAX_WAIT_S, 0.5 * 2 ** (tried - 1)))


class ModelSession:
    """Calls a chat model and notes each call in a trace.

    Args:
        model: any langchain chat model that can bind tools.
        trace: where each exchange goes, exactly as it went, secrets hidden.
        tries: how often a call is tried in all while the fault may pass.
        backoff: seconds to wait after the n-th failed try, n from 1; a longer wait that the server
            asks for (``Retry-After``) is kept up to 30 s.
        sleep: waits that many seconds; ``time.sleep`` where None.
        watch: a monotonic clock in seconds, for the timings in the trace only.
        replies: asked before the model (the reply cache, a run's journal); None where there is none.
    """

    def __init__(
        self,
        model: BaseChatModel,
        trace: Trace,
        *,
        tries: int = 5,
        backoff: Callable[[int], float] = doubling,
        sleep: Callable[[float], None] | None = None,
        watch: Callable[[], float] = stopwatch,
        replies: ReplySource | None = None,
    ) -> None:
        self.model, self.trace = model, trace
        self._tries, self._backoff, self._watch = tries, backoff, watch
        self._sleep = time.sleep if sleep is None else sleep
        self._secrets = secrets_of(model)
        self._replies = replies
        self._unkept: tuple[Asked, Answered] | None = None
        self._bound: tuple[tuple[int, ...], tuple[object, ...], _Schemas, _Schemas] | None = None

    def invoke(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[BaseTool | ToolSchema] = (),
        *,
        stage: str,
        attempt: int = 0,
        cut_items: int = 0,
        only: str | None = None,
    ) -> AIMessage:
        """The model's reply to ``messages`` with ``tools`` bound; one ``ModelCall`` is recorded.

        Args:
            tools: the last is the one that ends the conversation, those before it are questions.
            stage: what the call is for (``decide``, ``warm_up``), for the journal.
            attempt: 0 for the first ask, 1 for the re-ask after a bad reply.
            cut_items: how many items of the prompt were cut to their length; lines that the model
                itself had to leave out for its context are added.
            only: the one tool that may be called now; models that cannot be told so may call any.

        Returns:
            The reply as recorded: secrets hidden, half characters replaced, and tool calls numbered
            by place (``call00301``: message 3, call 1) so that equal replies give equal records.

        Raises:
            ModelTransportError: after the last try of a fault that may pass.
            ImageRefusedError: if the server refused a question with an image; the call is recorded.
            ModelError: at once for a fault that another try does not mend.
        """
        schemas, shown = self._schemas(tools)
        asked = self._asked(messages, shown, stage, attempt)
        found = None if self._replies is None else self._replies.find(asked)
        if found is None:
            reply, seconds = self._tried(messages, schemas, only, images=bool(asked.images))
            reply = self._settled(reply, len(messages))
        else:
            reply, seconds = message_of(found), 0.0
        answered = Answered(reply_json(reply), _usage(reply))
        self._unkept = (asked, answered) if found is None else None
        self._note(asked, answered, seconds, cut_items, cached=found is not None)
        if asked.images and finish_reason(reply) == REFUSED:
            raise ImageRefusedError(
                f"{self._name} took no image: {reply.additional_kwargs.get('refusal', '')}",
                mend="set VARVE_MODEL_VISION=false, and it is shown tables",
            )
        return reply

    def _note(
        self, asked: Asked, answered: Answered, seconds: float, cut_items: int, *, cached: bool
    ) -> None:
        self.trace.model_calls.append(
            ModelCall(
                stage=asked.stage,
                messages=asked.messages,
                tools=asked.tools,
                reply=answered.reply,
                usage=answered.usage,
                attempt=asked.attempt,
                seconds=seconds,
                cut_items=cut_items,
                cached=cached,
                images=asked.images,
            )
        )

    def accept(self) -> None:
        """The latest reply could be used: it may serve other runs. A reply never accepted never does."""
        if self._replies is not None and self._unkept is not None:
            self._replies.keep(*self._unkept)
        self._unkept = None

    def _schemas(self, tools: Sequence[BaseTool | ToolSchema]) -> tuple[_Schemas, _Schemas]:
        """The schemas as they are bound, and as they go into the journal; most agents bind the same daily."""
        given = tuple(map(id, tools))
        if self._bound is None or self._bound[0] != given:
            schemas = tuple(convert_to_openai_tool(tool) for tool in tools)
            shown = tuple(_plain(schema, self._secrets) for schema in schemas)
            # The tools are kept too: an id is one only as long as its object lives.
            self._bound = (given, tuple(tools), schemas, shown)
        return self._bound[2:]

    def _asked(self, messages: Sequence[BaseMessage], schemas: _Schemas, stage: str, attempt: int) -> Asked:
        plain = convert_to_openai_messages(list(messages))
        assert isinstance(plain, list)
        named, images = take_images(plain)
        return Asked(
            stage,
            attempt,
            tuple(_plain(message, self._secrets) for message in named),
            schemas,
            images,
        )

    def _tried(
        self, messages: Sequence[BaseMessage], schemas: _Schemas, only: str | None, *, images: bool
    ) -> tuple[AIMessage, float]:
        """The reply and the seconds of the try that brought it; a refused image is a reply that says so."""
        retrying = Retrying(
            retry=retry_if_result(lambda found: isinstance(found, Fault) and found.passing),
            stop=stop_after_attempt(self._tries),
            wait=self._wait,
            sleep=self._sleep,
            retry_error_callback=_last_result,
        )
        found: _Tried = retrying(self._attempt, messages, schemas, only, images)
        if not isinstance(found, Fault):
            return found
        # Raised out here so that the first error, which may quote a key, is not chained to it.
        if not found.passing:
            raise ModelError(f"{self._name} cannot answer: {found.detail}", mend=mend_of(found))
        raise ModelTransportError(
            f"{self._name} did not answer in {self._tries} tries; the last: {found.detail}",
            mend="check that its server is up, then go on with: backtest run --resume RUN; "
            "no decision was recorded for this step",
        )

    def _attempt(
        self, messages: Sequence[BaseMessage], schemas: _Schemas, only: str | None, images: bool
    ) -> _Tried:
        """One try: the reply with its seconds, or what went wrong."""
        started = self._watch()
        try:
            return self._ask(messages, schemas, only), self._watch() - started
        except Exception as error:
            fault = fault_of(error, self._secrets)
            if fault is None:
                raise
        if images and fault.status in REFUSING_STATUS:
            refused = AIMessage(
                "",
                response_metadata={"finish_reason": REFUSED},
                additional_kwargs={"refusal": fault.detail},
            )
            return refused, self._watch() - started
        return fault

    def _ask(self, messages: Sequence[BaseMessage], schemas: _Schemas, only: str | None) -> AIMessage:
        """One exchange: the only place that a reply comes from."""
        bound: Runnable[LanguageModelInput, AIMessage] = self.model
        if schemas:
            more: dict[str, str] = {}
            if getattr(self.model, "takes_final", False):
                more = {"tool_choice": only or "any", "final": schemas[-1]["function"]["name"]}
            bound = self.model.bind_tools(list(schemas), **more)
        # Prompts go to the model alone, also where the environment switches langchain's tracing on.
        with tracing_context(enabled=False):
            reply = bound.invoke(list(messages))
        if not isinstance(reply, AIMessage):
            raise ModelError(f"{self._name} answered with a {type(reply).__name__}, an AIMessage expected")
        return reply

    def _wait(self, state: RetryCallState) -> float:
        """Seconds before the next try: longer each time, and at least what the server asks for."""
        fault = _last_result(state)
        assert isinstance(fault, Fault)
        return max(self._backoff(state.attempt_number), min(fault.retry_after or 0.0, MAX_WAIT_S))

    def _settled(self, reply: AIMessage, place: int) -> AIMessage:
        """The reply as it may be kept and sent again."""
        content = _plain(reply.content, self._secrets)
        calls, bad = _plain(reply.tool_calls, self._secrets), _plain(reply.invalid_tool_calls, self._secrets)
        for index, call in enumerate([*calls, *bad]):
            # Nine letters and digits: the only form that every served model takes back.
            call["id"] = f"call{place % 1000:03d}{index % 100:02d}"
        refusal = _plain(reply.additional_kwargs.get("refusal"), self._secrets)
        return AIMessage(
            content=content,
            tool_calls=calls,
            invalid_tool_calls=bad,
            usage_metadata=reply.usage_metadata,
            response_metadata=_plain(reply.response_metadata, self._secrets),
            additional_kwargs={"refusal": refusal} if refusal else {},
        )

    @property
    def _name(self) -> str:
        return f"the model {self.model.name or self.model._llm_type}"


def _last_result(state: RetryCallState) -> _Tried:
    assert state.outcome is not None
    found: _Tried = state.outcome.result()
    return found


def _usage(reply: AIMessage) -> Usage:
    counted = reply.usage_metadata
    if counted is None:
        return Usage(calls=1)
    return Usage(counted["input_tokens"], counted["output_tokens"], 1)


def _plain(value: object, secrets: tuple[str, ...]) -> Any:
    """``value`` as JSON that UTF-8 can hold: no secrets, no half characters, no NaN, only text as keys."""
    if isinstance(value, str):
        return hide(value.encode("utf-8", "replace").decode("utf-8"), secrets)
    if isinstance(value, dict):
        return {str(_plain(str(key), secrets)): _plain(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, secrets) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
