from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langsmith.utils import tracing_is_enabled
from pydantic import Field, SecretStr

from varve.config import canonical_json
from varve.errors import ModelError, ModelTransportError
from varve.finllm.chat.session import ModelSession, doubling
from varve.finllm.replies.decide import decide_tool_schema
from varve.types import Action, Trace, Usage

KEY = "sk-very-secret-0123456789"


class Told(BaseChatModel):
    """Says what it is told: messages are given back, exceptions raised."""

    says: list[Any]
    key: SecretStr = SecretStr(KEY)
    bound: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "told"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        self.bound.append(tools)
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return ChatResult(generations=[ChatGeneration(message=said)])


class StatusError(Exception):
    def __init__(self, status_code: int, message: str = "told to", **headers: str) -> None:
        self.status_code = status_code
        self.response = httpx.Response(
            status_code, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        super().__init__(message)


GOOD = AIMessage(
    "because",
    tool_calls=[{"name": "decide", "args": {"action": "BUY"}, "id": "random-id"}],
    usage_metadata={"input_tokens": 11, "output_tokens": 7, "total_tokens": 18},
    response_metadata={"finish_reason": "tool_calls"},
)
ASKED = [SystemMessage("rules"), HumanMessage("today")]
SCHEMA = decide_tool_schema([Action.BUY], ["M1"])


def session(*says: Any, **settings: Any) -> tuple[ModelSession, Trace, list[float]]:
    waits: list[float] = []
    trace = Trace()
    return ModelSession(Told(says=list(says)), trace, sleep=waits.append, **settings), trace, waits


def test_a_call_is_recorded_as_it_went() -> None:
    ticks = iter([10.0, 12.5])
    talk, trace, _ = session(GOOD, watch=lambda: next(ticks))
    reply = talk.invoke(ASKED, [SCHEMA], stage="decide", attempt=1, cut_items=3)
    (noted,) = trace.model_calls
    assert noted.stage == "decide"
    assert noted.messages == ({"role": "system", "content": "rules"}, {"role": "user", "content": "today"})
    assert noted.tools == (SCHEMA,)
    assert noted.reply == {
        "content": "because",
        "tool_calls": [{"id": "call00200", "name": "decide", "args": {"action": "BUY"}}],
        "invalid_tool_calls": [],
        "finish_reason": "tool_calls",
        "refusal": None,
    }
    assert noted.usage == Usage(11, 7, 1)
    assert (noted.attempt, noted.cut_items, noted.seconds) == (1, 3, 2.5)
    assert reply.tool_calls[0]["id"] == "call00200"


def test_tools_are_bound_as_plain_schemas() -> None:
    @tool
    def news(days: int) -> str:
        """Headlines of the last days."""
        return str(days)

    talk, trace, _ = session(GOOD)
    talk.invoke(ASKED, [news, SCHEMA], stage="decide")
    assert isinstance(talk.model, Told)
    assert [one["function"]["name"] for one in talk.model.bound[0]] == ["news", "decide"]
    assert [one["function"]["name"] for one in trace.model_calls[0].tools] == ["news", "decide"]


def test_tool_rounds_go_into_the_record() -> None:
    talk, trace, _ = session(GOOD, AIMessage("done"))
    reply = talk.invoke(ASKED, [SCHEMA], stage="decide")
    answered = [*ASKED, reply, ToolMessage("no news", tool_call_id=reply.tool_calls[0]["id"])]
    talk.invoke(answered, [SCHEMA], stage="decide")
    recorded = trace.model_calls[1].messages
    assert recorded[2]["tool_calls"][0]["id"] == recorded[3]["tool_call_id"] == "call00200"
    assert trace.model_calls[1].usage == Usage(0, 0, 1)


@pytest.mark.parametrize(
    "fault",
    [
        StatusError(500),
        StatusError(503),
        StatusError(429),
        ConnectionResetError("gone"),
        TimeoutError("slow"),
        httpx.ConnectError("refused"),
        ModelTransportError("malformed body"),
    ],
)
def test_a_passing_fault_is_tried_again(fault: Exception) -> None:
    talk, trace, waits = session(fault, fault, GOOD)
    assert talk.invoke(ASKED, stage="decide").text == "because"
    assert waits == [0.5, 1.0]
    assert len(trace.model_calls) == 1


def test_after_five_tries_the_run_stops_and_nothing_is_recorded() -> None:
    talk, trace, waits = session(*[StatusError(500)] * 5, GOOD)
    with pytest.raises(ModelTransportError, match=r"5 tries.*HTTP 500") as caught:
        talk.invoke(ASKED, stage="decide")
    assert waits == [0.5, 1.0, 2.0, 4.0]
    assert trace.model_calls == []
    assert "backtest run --resume RUN" in str(caught.value)
    assert caught.value.exit_code == 4


def test_the_server_may_ask_to_wait_longer_but_not_for_ever() -> None:
    faults = [StatusError(429, retry_after=after) for after in ("7", "9999", "Fri, 31 Dec 1999", "nan")]
    talk, _, waits = session(*faults, GOOD)
    talk.invoke(ASKED, stage="decide")
    assert waits == [7.0, 30.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("status", "mend"), [(401, "OPENAI_API_KEY"), (403, "OPENAI_API_KEY"), (404, "/v1"), (400, "tool calls")]
)
def test_other_http_errors_stop_at_once_and_name_what_mends_them(status: int, mend: str) -> None:
    talk, trace, waits = session(StatusError(status), GOOD)
    with pytest.raises(ModelError, match=f"HTTP {status}") as caught:
        talk.invoke(ASKED, stage="decide")
    assert not isinstance(caught.value, ModelTransportError)
    assert mend in str(caught.value)
    assert waits == []
    assert trace.model_calls == []


def test_a_fault_of_code_is_not_dressed_up() -> None:
    talk, _, waits = session(KeyError("typo"))
    with pytest.raises(KeyError, match="typo"):
        talk.invoke(ASKED, stage="decide")
    assert waits == []


@pytest.mark.parametrize("status", [401, 500])
def test_no_error_repeats_a_key_that_the_server_repeats(status: int) -> None:
    talk, _, _ = session(*[StatusError(status, f"bad key {KEY}")] * 5)
    with pytest.raises(ModelError) as caught:
        talk.invoke(ASKED, stage="decide")
    assert KEY not in str(caught.value)
    assert "hidden" in str(caught.value)
    chained = [caught.value.__cause__, caught.value.__context__]
    assert not any(KEY in str(one) for one in chained)


def test_no_record_and_no_reply_holds_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "sk-from-the-environment"
    monkeypatch.setenv("OPENAI_API_KEY", other)
    said = AIMessage(f"{KEY} {other}", tool_calls=[{"name": KEY, "args": {KEY: [other]}, "id": KEY}])
    talk, trace, _ = session(said)
    reply = talk.invoke([HumanMessage(f"{KEY}{other}")], stage="decide")
    text = canonical_json([dict(m) for m in trace.model_calls[0].messages]) + canonical_json(
        dict(trace.model_calls[0].reply)
    )
    for secret in (KEY, other):
        assert secret not in text
        assert secret not in reply.model_dump_json()


def test_what_utf8_or_json_cannot_hold_is_replaced() -> None:
    args = {"confidence": float("nan"), "rationale": "half \ud800", "deep": [float("inf")]}
    talk, trace, _ = session(AIMessage("\udfff", tool_calls=[{"name": "decide", "args": args, "id": "1"}]))
    talk.invoke(ASKED, stage="decide")
    canonical_json(dict(trace.model_calls[0].reply)).encode("utf-8")
    assert trace.model_calls[0].reply["tool_calls"][0]["args"]["confidence"] == "nan"


def test_invalid_calls_are_recorded() -> None:
    bad = {"name": "decide", "args": "{", "id": "x", "error": "no JSON object", "type": "invalid_tool_call"}
    talk, trace, _ = session(AIMessage("", invalid_tool_calls=[bad]))
    reply = talk.invoke(ASKED, stage="decide")
    assert reply.invalid_tool_calls[0]["args"] == "{"
    assert trace.model_calls[0].reply["invalid_tool_calls"] == [
        {"id": "call00200", "name": "decide", "args": "{", "error": "no JSON object"}
    ]


def test_prompts_go_nowhere_else_where_tracing_is_switched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bool] = []

    class Watching(Told):
        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            seen.append(bool(tracing_is_enabled()))
            return super()._generate(*args, **kwargs)

    model = Watching(says=[GOOD])
    monkeypatch.setattr("langsmith._internal._context._GLOBAL_TRACING_ENABLED", "local")
    assert tracing_is_enabled()
    ModelSession(model, Trace()).invoke(ASKED, stage="decide")
    assert seen == [False]


def test_waits_double_up_to_half_a_minute() -> None:
    assert [doubling(n) for n in (1, 2, 3, 4, 10)] == [0.5, 1.0, 2.0, 4.0, 30.0]


def test_a_record_is_plain_json() -> None:
    talk, trace, _ = session(GOOD)
    talk.invoke(ASKED, [SCHEMA], stage="decide")
    noted = trace.model_calls[0]
    record = [list(noted.messages), list(noted.tools), noted.reply]
    assert json.loads(json.dumps(record, allow_nan=False)) == record
