"""Models behind a server, against the shipped fake that misbehaves on purpose."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from varve.config import canonical_json
from varve.errors import ModelError, ModelTransportError, SettingError, UnknownNameError, UsageError
from varve.finllm.chat.open_model import model_identity, open_model
from varve.finllm.chat.session import ModelSession
from varve.finllm.replies.decide import DecideReply, ToolRequests, decide_tool_schema, parse_reply
from varve.finllm.served.openai import make_openai
from varve.testing import model_server as fake
from varve.testing.model_server import FakeModelServer
from varve.types import Action, Failure, FailureReason, Trace, Usage

pytest.importorskip("langchain_openai")

KEY = "sk-test-abcdefghijklmnop"
ACTIONS = (Action.BUY, Action.HOLD, Action.SELL)
SCHEMA = decide_tool_schema(ACTIONS, ["M1"])


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("VARVE_MODEL_TIMEOUT_S", "5")
    return KEY


def talk(server: FakeModelServer, trace: Trace | None = None) -> ModelSession:
    model = open_model(f"openai:fake@{server.base_url}", seed=7)
    return ModelSession(model, Trace() if trace is None else trace, sleep=lambda seconds: None)


def ask(server: FakeModelServer, trace: Trace | None = None) -> DecideReply | ToolRequests | Failure:
    message = talk(server, trace).invoke([HumanMessage("today")], [SCHEMA], stage="decide")
    return parse_reply(message, allowed_actions=ACTIONS, known_memory_ids=("M1",), tool_names=("news",))


def test_a_decision_over_the_wire() -> None:
    trace = Trace()
    with FakeModelServer([fake.decide(action="BUY", confidence=80, cited_memories=["M1"])]) as server:
        found = ask(server, trace)
        (request,) = server.requests
    assert found == DecideReply(Action.BUY, 80, "Nothing new.", ("M1",))
    assert trace.model_calls[0].usage == Usage(100, 10, 1)
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    sent = request.body
    assert (sent["model"], sent["temperature"], sent["seed"]) == ("fake", 0.0, 7)
    assert sent["tools"] == [SCHEMA]
    assert sent["tool_choice"] == "required"
    assert sent["max_completion_tokens"] == 1024


@pytest.mark.parametrize("behaviour", ["500", "429", "close", "malformed", "not_a_completion"])
def test_a_server_that_recovers_is_forgiven(behaviour: str) -> None:
    with FakeModelServer([behaviour, behaviour, "ok"]) as server:
        assert isinstance(ask(server), DecideReply)
        assert len(server.requests) == 3


@pytest.mark.parametrize("behaviour", ["500", "429", "close", "malformed", "not_a_completion"])
def test_a_server_that_does_not_recover_stops_the_run(behaviour: str) -> None:
    trace = Trace()
    with FakeModelServer([behaviour]) as server:
        with pytest.raises(ModelTransportError, match="5 tries") as caught:
            ask(server, trace)
        assert len(server.requests) == 5
    assert trace.model_calls == []
    assert KEY not in str(caught.value)


def test_a_server_that_hangs_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VARVE_MODEL_TIMEOUT_S", "0.2")
    with FakeModelServer(["hang"]) as server:
        with pytest.raises(ModelTransportError, match=r"5 tries.*[Tt]imed? ?out"):
            ask(server)
        assert len(server.requests) == 5


def test_a_server_that_is_away_stops_the_run() -> None:
    with FakeModelServer() as server:
        session = talk(server)
    with pytest.raises(ModelTransportError, match="Connection error"):
        session.invoke([HumanMessage("today")], stage="decide")


@pytest.mark.parametrize(
    ("behaviour", "status", "mend"),
    [("401", 401, "OPENAI_API_KEY"), ("404", 404, "/v1"), ("400", 400, "tool calls")],
)
def test_a_refusal_stops_at_once(behaviour: str, status: int, mend: str) -> None:
    with FakeModelServer([behaviour]) as server:
        with pytest.raises(ModelError, match=f"HTTP {status}") as caught:
            ask(server)
        assert len(server.requests) == 1
    assert mend in str(caught.value)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("empty", FailureReason.EMPTY_REPLY),
        ("nonsense", FailureReason.UNPARSABLE),
        ("unknown_memory", FailureReason.UNKNOWN_MEMORY),
        ("wrong_action", FailureReason.UNKNOWN_ACTION),
        ("cut", FailureReason.TOKEN_LIMIT),
        ("bad_json", FailureReason.UNPARSABLE),
        (fake.calls(("decide", "[1, 2]")), FailureReason.UNPARSABLE),
        (fake.calls(("decide", '"BUY"')), FailureReason.UNPARSABLE),
        (fake.calls(("decide", "9" * 5000)), FailureReason.UNPARSABLE),
        (fake.calls(("decide", "[" * 100_000)), FailureReason.UNPARSABLE),
        (fake.calls(("decide", "null")), FailureReason.UNPARSABLE),
        (fake.calls(("decide", "")), FailureReason.BAD_ARGUMENTS),
        (fake.calls(("decide", '{"action": "BUY", "confidence": NaN}')), FailureReason.BAD_ARGUMENTS),
        (fake.completion({"content": None, "refusal": "no advice"}), FailureReason.EMPTY_REPLY),
    ],
)
def test_a_bad_reply_is_a_failure_and_is_recorded(behaviour: Any, reason: FailureReason) -> None:
    trace = Trace()
    with FakeModelServer([behaviour]) as server:
        found = ask(server, trace)
        assert len(server.requests) == 1
    assert isinstance(found, Failure)
    assert found.reason is reason
    (noted,) = trace.model_calls
    canonical_json(dict(noted.reply)).encode()


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"choices": []},
        {"choices": None},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": 3}}]},
        {"choices": [{"message": {"tool_calls": [{"id": "1"}]}}]},
        {"choices": [{"message": {"tool_calls": "decide"}}]},
        {"error": {"message": "out of memory"}},
        "text",
    ],
)
def test_a_body_of_the_wrong_shape_is_a_fault_of_the_server(body: Any) -> None:
    with (
        FakeModelServer([fake.Behaviour(json.dumps(body).encode())]) as server,
        pytest.raises(ModelTransportError),
    ):
        ask(server)


def test_an_error_in_a_good_body_is_repeated_to_the_user() -> None:
    body = {"error": {"message": "out of memory"}}
    with (
        FakeModelServer([fake.Behaviour(json.dumps(body).encode())]) as server,
        pytest.raises(ModelTransportError, match=r"an error in a body of status 200.*out of memory"),
    ):
        ask(server)


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_a_web_page_is_a_fault_of_the_server(content_type: str) -> None:
    page = fake.Behaviour(b"<html>\xff log in</html>", headers={"content-type": content_type})
    with FakeModelServer([page]) as server, pytest.raises(ModelTransportError):
        ask(server)


@pytest.mark.parametrize("usage", [None, "many", {"prompt_tokens": None}, {"prompt_tokens": "3"}])
def test_a_strange_count_of_tokens_breaks_nothing(usage: Any) -> None:
    body = json.loads(fake.calls(("decide", {"action": "HOLD", "confidence": 5, "rationale": "x"})).body)
    body["usage"] = usage
    trace = Trace()
    with FakeModelServer([fake.Behaviour(json.dumps(body).encode())]) as server:
        assert isinstance(ask(server, trace), DecideReply)
    assert trace.model_calls[0].usage == Usage(0, 0, 1)


def test_a_key_that_the_server_repeats_is_written_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    trace = Trace()
    with FakeModelServer(
        [fake.decide(rationale=f"your key is {KEY}"), fake.status(401, f"bad key {KEY}")]
    ) as server:
        session = talk(server, trace)
        reply = session.invoke([HumanMessage("today")], [SCHEMA], stage="decide")
        with pytest.raises(ModelError) as caught:
            session.invoke([HumanMessage("today")], [SCHEMA], stage="decide")
    noted = trace.model_calls[0]
    written = [list(noted.messages), list(noted.tools), dict(noted.reply), model_identity(session.model)]
    assert KEY not in canonical_json([*written, reply.model_dump(mode="json")])
    assert KEY not in str(caught.value)
    assert KEY not in repr(session.model)
    assert KEY not in caplog.text


def test_without_a_key_a_placeholder_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with FakeModelServer() as server:
        ask(server)
        assert server.requests[0].headers["authorization"] == "Bearer none"


def test_identity_names_the_model_and_changes_with_the_settings() -> None:
    spec = "openai:qwen@http://localhost:8000/v1"
    first, again, other = (model_identity(open_model(spec, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first["name"] == spec
    assert first["fingerprint"] != other["fingerprint"]
    assert first["settings"]["seed"] == 0
    json.dumps(first, allow_nan=False)


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "gpt",
        "@http://localhost/v1",
        "gpt@",
        "gpt@localhost:8000",
        "gpt@ftp://x",
        "gpt@http://:80",
        "gpt@http://h:99999",
    ],
)
def test_a_malformed_spec_shows_the_form(argument: str) -> None:
    with pytest.raises(UsageError, match="openai") as caught:
        open_model(f"openai:{argument}" if argument else "openai")
    assert "openai:qwen3-8b@http://localhost:8000/v1" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://me:hunter2secret@h/v1", "http://h/v1?key=hunter2secret", "http://h/v1#hunter2secret"]
)
def test_an_address_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_model(f"openai:m@{url}")
    assert "hunter2secret" not in str(caught.value)


def test_a_model_name_may_hold_an_at_sign() -> None:
    assert (
        model_identity(make_openai("claude@2024@http://h/v1", seed=0))["settings"]["model"] == "claude@2024"
    )


@pytest.mark.parametrize("bad", ["sk with blank", "sk-é", "sk\nX-Other: 1"])
def test_a_key_that_cannot_be_sent_is_refused_without_repeating_it(
    bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as caught:
        make_openai("m@http://h/v1", seed=0)
    assert bad not in str(caught.value)


@pytest.mark.parametrize("bad", ["0", "-1", "soon", "nan", "inf"])
@pytest.mark.parametrize("variable", ["VARVE_MODEL_TIMEOUT_S", "VARVE_MODEL_MAX_TOKENS"])
def test_a_bad_environment_setting_is_named(variable: str, bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, bad)
    with pytest.raises(SettingError, match=variable):
        make_openai("m@http://h/v1", seed=0)


def test_an_unknown_model_suggests_near_names() -> None:
    with pytest.raises(UnknownNameError, match="openai") as caught:
        open_model("opneai:m@http://h/v1")
    assert "did you mean 'openai'" in str(caught.value)


@pytest.mark.parametrize("spec", ["", ":", "open ai", "openai:a b"])
def test_a_spec_that_is_none_shows_the_form(spec: str) -> None:
    with pytest.raises(UsageError, match="expected nano, scripted, hf:"):
        open_model(spec)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "varve.finllm.served.checked_server", raising=False)
    monkeypatch.setitem(sys.modules, "langchain_openai", None)
    with pytest.raises(UsageError, match="langchain-openai") as caught:
        make_openai("m@http://h/v1", seed=0)
    assert "pip install 'varve[http]'" in str(caught.value)


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = (
        "import sys, varve.finllm; "
        "heavy = [m for m in ('langchain_core', 'openai', 'torch', 'pandas') if m in sys.modules]; "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
