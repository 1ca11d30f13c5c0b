"""A fake model server on this machine: the OpenAI chat-completions protocol, misbehaving on purpose.

For tests of anything that talks to a model server::

    with FakeModelServer(["500", "ok"]) as server:
        model = open_model(f"openai:fake@{server.base_url}")
        ...
        assert len(server.requests) == 2

Behaviours are used up one per request, in order; the last one goes on for ever. It listens on
127.0.0.1 only.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from varve.errors import UnknownNameError
from varve.types import Arguments, Json, JsonObject, Message

UNKNOWN_MEMORY = "no-such-memory"
Asked = dict[str, Any]
"""The JSON of a request."""
_DECISION: JsonObject = {
    "action": "HOLD",
    "confidence": 50,
    "rationale": "Nothing new.",
    "cited_memories": [],
}
_TOOL_REPLIES = ("decide", "explain")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One answer: a status and a body, or something worse.

    ``hang_s`` waits that many seconds first (or until the server stops); ``close`` closes the
    connection without a word.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_s: float = 0.0
    close: bool = False


Answer = Behaviour | str | Callable[[Asked], Behaviour]
"""A behaviour, the name of one (see ``BEHAVIOURS``), or what makes one from the request's JSON."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request that the server got; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Asked


def completion(message: Message, finish_reason: str = "stop") -> Behaviour:
    """A well-formed chat completion with this assistant message."""
    body = {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 0,
        "model": "fake",
        "choices": [
            {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", **message}}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
    return Behaviour(json.dumps(body).encode())


def calls(*tools: tuple[str, Arguments | str], finish_reason: str = "tool_calls") -> Behaviour:
    """Calls of tools, each a name with its arguments; arguments as text go out as they are."""
    made: list[JsonObject] = [
        {
            "id": f"call_{index}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(dict(given)),
            },
        }
        for index, (name, given) in enumerate(tools)
    ]
    return completion({"content": None, "tool_calls": made}, finish_reason)


def decide(**arguments: Json) -> Callable[[Asked], Behaviour]:
    """A good reply: HOLD at 50 %, changed by ``arguments``; in warm-up an explanation."""

    def answer(request: Asked) -> Behaviour:
        name = _asked_for(request)
        given = {**_DECISION, **arguments}
        if name != "decide":
            given = {key: given[key] for key in ("rationale", "cited_memories")}
        return calls((name, given))

    return answer


def text(content: str) -> Behaviour:
    """A reply in plain text."""
    return completion({"content": content})


def status(code: int, message: str = "told to fail", **headers: str) -> Behaviour:
    """An HTTP error in OpenAI's form; header names with ``_`` for ``-``."""
    body = {"error": {"message": message, "type": "fake", "code": None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Behaviour(json.dumps(body).encode(), code, named)


def hang(seconds: float = 3600.0) -> Behaviour:
    """Silence for so long, then an error that nobody waits for."""
    return Behaviour(b"{}", 503, hang_s=seconds)


def _cut(request: Asked) -> Behaviour:
    return calls((_asked_for(request), '{"action": "BU'), finish_reason="length")


def _bad_json(request: Asked) -> Behaviour:
    return calls((_asked_for(request), '{"action": BUY, '))


def _asked_for(request: Asked) -> str:
    offered = [tool.get("function", {}).get("name") for tool in request.get("tools") or []]
    return next((name for name in _TOOL_REPLIES if name in offered), "decide")


BEHAVIOURS: dict[str, Behaviour | Callable[[Asked], Behaviour]] = {
    "ok": decide(),
    "500": status(500),
    "429": status(429),
    "hang": hang(),
    "close": Behaviour(close=True),
    "empty": text(""),
    "nonsense": text("The moon is in the seventh house, therefore perhaps."),
    "unknown_memory": decide(cited_memories=[UNKNOWN_MEMORY]),
    "wrong_action": decide(action="YOLO"),
    "cut": _cut,
    "bad_json": _bad_json,
    "malformed": Behaviour(b'{"choices": [{"mess'),
    "not_a_completion": Behaviour(b'{"hello": "world"}'),
    "401": status(401, "no such key"),
    "404": status(404, "no such model"),
    "400": status(400, "tool choice requires --enable-auto-tool-choice"),
}


class FakeModelServer:
    """A server of its own port, running while the ``with`` block does.

    Args:
        behaviours: what to answer, one per request, the last for ever; ``ok`` where empty.

    Raises:
        UnknownNameError: if a behaviour has no such name.
    """

    def __init__(self, behaviours: Sequence[Answer] = ()) -> None:
        self._answers = [_named(one) for one in behaviours] or [BEHAVIOURS["ok"]]
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self._requests: list[Request] = []

    @property
    def base_url(self) -> str:
        """Where it listens, with ``/v1``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request so far, in order of arrival."""
        with self._lock:
            return tuple(self._requests)

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: Request) -> Behaviour:
        """Note a request and say how to answer it; a hang is waited out here."""
        with self._lock:
            chosen = self._answers[min(len(self._requests), len(self._answers) - 1)]
            self._requests.append(request)
        behaviour = chosen if isinstance(chosen, Behaviour) else chosen(request.body)
        if behaviour.hang_s:
            self._stopped.wait(behaviour.hang_s)
        return behaviour


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _named(one: Answer) -> Behaviour | Callable[[Asked], Behaviour]:
    if not isinstance(one, str):
        return one
    if one not in BEHAVIOURS:
        raise UnknownNameError("behaviour", one, BEHAVIOURS)
    return BEHAVIOURS[one]


def _handler(fake: FakeModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            behaviour = fake.answer(Request(self.path, headers, json.loads(raw)))
            self.close_connection = True
            if behaviour.close:
                return
            try:
                self._send(behaviour)
            except ConnectionError:
                return  # whoever asked did not wait for the answer

        def _send(self, behaviour: Behaviour) -> None:
            self.send_response(behaviour.status)
            named = {"content-type": "application/json", **behaviour.headers}
            for name, value in {**named, "connection": "close"}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(behaviour.body)))
            self.end_headers()
            self.wfile.write(behaviour.body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: tests read the requests instead."""

    return Handler
