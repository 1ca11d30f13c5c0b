"""Chat models behind a server that speaks the OpenAI protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.finllm.served.credentials import SEND_KEY_TO, check_key_may_go, leads_away
    from varve.finllm.served.openai import LENGTH_VARIABLE

_HOMES = {
    "SEND_KEY_TO": "credentials",
    "check_key_may_go": "credentials",
    "leads_away": "credentials",
    "LENGTH_VARIABLE": "openai",
}

__all__ = [
    "LENGTH_VARIABLE",
    "SEND_KEY_TO",
    "check_key_may_go",
    "leads_away",
]


__getattr__ = lazy(__name__, _HOMES)
