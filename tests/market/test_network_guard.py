from __future__ import annotations

import socket

import pytest


def test_a_connection_out_is_refused_and_noted(network_guard: list[str]) -> None:
    with socket.socket() as out, pytest.raises(OSError, match="may not reach the network"):
        out.connect(("192.0.2.1", 80))
    with socket.socket() as out, pytest.raises(OSError, match="may not reach the network"):
        out.connect_ex(("example.org", 80))
    assert len(network_guard) == 2
    network_guard.clear()


def test_loopback_stays_open() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
    ):
        assert client.getpeername() == server.getsockname()
