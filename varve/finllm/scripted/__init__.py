"""The stand-in without weights: it reads the same prompts and answers by a fixed rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.finllm.scripted.prompt_reader import (
        DECISION,
        ITEM,
        MOVE,
        MOVED,
        REWARD,
        SECTION,
        SESSION,
        TICKER,
    )

_HOMES = {
    "DECISION": "prompt_reader",
    "ITEM": "prompt_reader",
    "MOVE": "prompt_reader",
    "MOVED": "prompt_reader",
    "REWARD": "prompt_reader",
    "SECTION": "prompt_reader",
    "SESSION": "prompt_reader",
    "TICKER": "prompt_reader",
}

__all__ = [
    "DECISION",
    "ITEM",
    "MOVE",
    "MOVED",
    "REWARD",
    "SECTION",
    "SESSION",
    "TICKER",
]


__getattr__ = lazy(__name__, _HOMES)
