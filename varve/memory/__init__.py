"""Layered memory on chromadb: tiers, decay, recall, credit, embedders (loaded when used)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from varve.memory.config import TIERS, MemoryConfig
    from varve.memory.embedders import Embedder, HashingEmbedder, get_embedder
    from varve.memory.layered import LayeredMemory
    from varve.memory.records import MemoryRecord, Recalled

_HOMES = {
    "TIERS": "config",
    "Embedder": "embedders",
    "HashingEmbedder": "embedders",
    "LayeredMemory": "layered",
    "MemoryConfig": "config",
    "MemoryRecord": "records",
    "Recalled": "records",
    "get_embedder": "embedders",
}

__all__ = [
    "TIERS",
    "Embedder",
    "HashingEmbedder",
    "LayeredMemory",
    "MemoryConfig",
    "MemoryRecord",
    "Recalled",
    "get_embedder",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"varve.memory has no {name!r}")
    from importlib import import_module

    return getattr(import_module(f"varve.memory.{_HOMES[name]}"), name)
