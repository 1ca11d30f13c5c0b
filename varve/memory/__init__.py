"""Layered memory: tiers with their own clocks, exact recall, credit, chromadb on disk (loaded when used)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.memory.conformance import check_memory
    from varve.memory.embed.base import Embedder, get_embedder
    from varve.memory.embed.hashing import HashingEmbedder
    from varve.memory.flat import FlatWindow
    from varve.memory.labels import Labelled, LabelledQuery
    from varve.memory.layered import LayeredMemory
    from varve.memory.protocol import Memory
    from varve.memory.state.config import MemoryConfig, TierConfig
    from varve.memory.state.records import (
        CreditReport,
        MemoryRecord,
        NewMemory,
        Recalled,
        SessionReport,
        citation,
        of_citation,
    )

_HOMES = {
    "CreditReport": "state.records",
    "Embedder": "embed.base",
    "FlatWindow": "flat",
    "HashingEmbedder": "embed.hashing",
    "Labelled": "labels",
    "LabelledQuery": "labels",
    "LayeredMemory": "layered",
    "Memory": "protocol",
    "MemoryConfig": "state.config",
    "MemoryRecord": "state.records",
    "NewMemory": "state.records",
    "Recalled": "state.records",
    "SessionReport": "state.records",
    "TierConfig": "state.config",
    "check_memory": "conformance",
    "citation": "state.records",
    "get_embedder": "embed.base",
    "of_citation": "state.records",
}

__all__ = [
    "CreditReport",
    "Embedder",
    "FlatWindow",
    "HashingEmbedder",
    "Labelled",
    "LabelledQuery",
    "LayeredMemory",
    "Memory",
    "MemoryConfig",
    "MemoryRecord",
    "NewMemory",
    "Recalled",
    "SessionReport",
    "TierConfig",
    "check_memory",
    "citation",
    "get_embedder",
    "of_citation",
]


__getattr__ = lazy(__name__, _HOMES)
