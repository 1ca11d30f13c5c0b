"""Layered memory: tiers with their own clocks, exact recall, credit, chromadb on disk (loaded when used)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.memory.check import Memory, check_memory
    from varve.memory.config import MemoryConfig, TierConfig
    from varve.memory.embedders import Embedder, HashingEmbedder, get_embedder
    from varve.memory.flat import FlatWindow
    from varve.memory.labels import Labelled, LabelledQuery
    from varve.memory.layered import LayeredMemory
    from varve.memory.records import (
        CreditReport,
        MemoryRecord,
        NewMemory,
        Recalled,
        SessionReport,
        citation,
        of_citation,
    )

_HOMES = {
    "CreditReport": "records",
    "Embedder": "embedders",
    "FlatWindow": "flat",
    "HashingEmbedder": "embedders",
    "Labelled": "labels",
    "LabelledQuery": "labels",
    "LayeredMemory": "layered",
    "Memory": "check",
    "MemoryConfig": "config",
    "MemoryRecord": "records",
    "NewMemory": "records",
    "Recalled": "records",
    "SessionReport": "records",
    "TierConfig": "config",
    "check_memory": "check",
    "citation": "records",
    "get_embedder": "embedders",
    "of_citation": "records",
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
