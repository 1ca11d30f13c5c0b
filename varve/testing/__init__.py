"""Fakes that ship with the package: a model server, Yahoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.testing.model_server import FakeModelServer
    from varve.testing.yahoo import FakeYahooClient

_HOMES = {
    "FakeModelServer": "model_server",
    "FakeYahooClient": "yahoo",
}

__all__ = [
    "FakeModelServer",
    "FakeYahooClient",
]


__getattr__ = lazy(__name__, _HOMES)
