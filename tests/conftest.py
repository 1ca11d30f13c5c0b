"""Fixtures for every test: shared data, a home of one's own, and no way to the network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
DEAD_PROXY = "http://127.0.0.1:9"

_attempts: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden file anew")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real prices and news that is not part of the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs real data in ../shared/data beside the repository, which is absent")
    return SHARED_DATA


@pytest.fixture
def varve_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty VARVE_HOME for this test alone."""
    folder = tmp_path / "varve_home"
    folder.mkdir()
    monkeypatch.setenv("VARVE_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _scripted_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that name no model are decided by the scripted stand-in: quick, and the same on any machine."""
    from varve.backtests import config as settings

    monkeypatch.setattr(settings, "default_llm_of", lambda agent: "scripted")


@pytest.fixture
def backtest(
    varve_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process; gives exit code, standard output and standard error."""

    from varve.cli import app as cli

    def run(*arguments: object, traceback: bool = False) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["backtest", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out = capsys.readouterr()
        assert traceback or "Traceback" not in out.err + out.out
        return code, out.out, out.err

    return run


def _leaves_this_machine(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return False
    host = str(address[0])
    if host in ("", "localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


@pytest.fixture(scope="session", autouse=True)
def _no_way_out() -> Iterator[None]:
    """Refuse connections that leave this machine, and point every client that asks at a dead proxy.

    The proxy is for clients that do not use Python's sockets (curl) and for subprocesses.
    """
    patch = pytest.MonkeyPatch()

    def guarded(name: str) -> None:
        original = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any) -> Any:
            if _leaves_this_machine(self.family, address):
                _attempts.append(f"{name} to {address!r}")
                raise OSError(f"a test may not reach the network: {address!r}")
            return original(self, address)

        patch.setattr(socket.socket, name, connect)

    guarded("connect")
    guarded("connect_ex")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        patch.setenv(name, DEAD_PROXY)
        patch.setenv(name.upper(), DEAD_PROXY)
    for name in ("no_proxy", "NO_PROXY"):
        patch.setenv(name, "127.0.0.1,localhost,::1")
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def network_guard() -> Iterator[list[str]]:
    """Fail the test that tried to leave this machine, even where its code swallowed the error."""
    _attempts.clear()
    yield _attempts
    tried = list(_attempts)
    _attempts.clear()
    if tried:
        pytest.fail(f"the test tried to reach the network: {', '.join(tried)}")
