"""Chat models behind a server that speaks the OpenAI protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.finllm.served.openai import LENGTH_VARIABLE

_HOMES = {
    "LENGTH_VARIABLE": "openai",
}

__all__ = [
    "LENGTH_VARIABLE",
]


__getattr__ = lazy(__name__, _HOMES)
