"""Text to vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.memory.embed.base import Embedder, Vectors, checked_vectors, get_embedder
    from varve.memory.embed.hashing import HashingEmbedder

_HOMES = {
    "Embedder": "base",
    "HashingEmbedder": "hashing",
    "Vectors": "base",
    "checked_vectors": "base",
    "get_embedder": "base",
}

__all__ = [
    "Embedder",
    "HashingEmbedder",
    "Vectors",
    "checked_vectors",
    "get_embedder",
]


__getattr__ = lazy(__name__, _HOMES)
