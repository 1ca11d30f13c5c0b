"""An embedder that looks into a run's store first: what is stored there is not embedded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from varve.memory.disk.chroma import ChromaStore
from varve.memory.embed.base import Embedder, Vectors
from varve.memory.state.columns import Vector


class KnownVectors:
    """``embedder``, with the vectors of some texts at hand already (each of its dimension and length 1)."""

    def __init__(self, embedder: Embedder, known: Mapping[str, Vector]) -> None:
        self._embedder, self._known = embedder, known
        self.name, self.fingerprint = embedder.name, embedder.fingerprint
        self.dimension = embedder.dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape (len(texts), dimension), float32, each row of length 1."""
        made = np.empty((len(texts), self.dimension), np.float32)
        missing = [i for i, text in enumerate(texts) if text not in self._known]
        if missing:
            made[missing] = self._embedder.embed([texts[i] for i in missing])
        for i, text in enumerate(texts):
            if text in self._known:
                made[i] = self._known[text]
        return made


def with_stored(embedder: Embedder, folder: Path, run_id: str, name: str) -> KnownVectors:
    """``embedder`` with the vectors of a memory's store; with none where nothing is stored.

    Raises:
        StorageError, IntegrityError: if the store is there and cannot be read.
        UsageError: if another process writes to it.
    """
    store = ChromaStore(folder, run_id, name, writes=False)
    try:
        stored = store.read()
    finally:
        store.close()
    if stored is None or stored.checkpoint.get("embedder") != embedder.fingerprint:
        return KnownVectors(embedder, {})
    rows = [row for rows in stored.rows.values() for row in rows]
    return KnownVectors(embedder, {row.text: row.vector for row in rows if row.vector is not None})
