"""The fake server itself: other tests believe it."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from varve.errors import UnknownNameError
from varve.testing import model_server as fake
from varve.testing.model_server import BEHAVIOURS, FakeModelServer


def post(server: FakeModelServer, *tools: str, timeout: float = 5.0) -> httpx.Response:
    offered = [{"type": "function", "function": {"name": name}} for name in tools]
    body = {"model": "m", "messages": [], "tools": offered}
    return httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=timeout, trust_env=False)


def called(response: httpx.Response) -> dict[str, Any]:
    function: dict[str, Any] = response.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    return function


def test_behaviours_are_used_in_order_and_the_last_stays() -> None:
    with FakeModelServer(["500", "429", "ok"]) as server:
        assert [post(server).status_code for _ in range(4)] == [500, 429, 200, 200]
        assert len(server.requests) == 4


def test_it_answers_what_it_is_asked_for() -> None:
    with FakeModelServer() as server:
        assert called(post(server, "news", "decide"))["name"] == "decide"
        assert called(post(server, "explain"))["name"] == "explain"
        assert "action" not in called(post(server, "explain"))["arguments"]


def test_an_answer_can_be_made_from_the_request() -> None:
    with FakeModelServer([lambda body: fake.text(f"{body['model']}!")]) as server:
        assert post(server).json()["choices"][0]["message"]["content"] == "m!"


def test_a_hang_ends_with_the_server() -> None:
    started = time.perf_counter()
    with FakeModelServer(["hang"]) as server, pytest.raises(httpx.ReadTimeout):
        post(server, timeout=0.1)
    assert time.perf_counter() - started < 3


def test_a_closed_connection_says_nothing() -> None:
    with FakeModelServer(["close"]) as server, pytest.raises(httpx.RemoteProtocolError):
        post(server)


def test_it_listens_on_this_machine_alone() -> None:
    with FakeModelServer() as server:
        assert server.base_url.startswith("http://127.0.0.1:")


def test_an_unknown_behaviour_is_named() -> None:
    with pytest.raises(UnknownNameError, match="nonsens"):
        FakeModelServer(["nonsens"])


@pytest.mark.parametrize("name", sorted(set(BEHAVIOURS) - {"hang", "close"}))
def test_every_behaviour_answers(name: str) -> None:
    with FakeModelServer([name]) as server:
        assert post(server, "decide").status_code >= 200
