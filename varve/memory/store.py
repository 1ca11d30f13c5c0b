"""The durable store of memories: chromadb, one client per folder and process, one collection per tier.

Writes come in batches and replace whole rows, so that writing a batch twice changes nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from varve.errors import StorageError
from varve.memory.config import TIERS
from varve.memory.embedders import Embedder, Vectors

SCHEMA_VERSION = 1
_BATCH = 2000
"""Rows per write; chromadb refuses more than a few thousand."""


class StoredRow(NamedTuple):
    """One memory as it lies in the store; ``state`` holds every scalar of record and tier."""

    id: str
    tier: str
    text: str
    vector: Vectors
    state: Mapping[str, Any]


class MemoryStore:
    """Memories of one run under one folder.

    Raises:
        StorageError: if the folder cannot be opened or written, or holds memories of another embedder.
    """

    def __init__(self, folder: Path, *, run_id: str, memory: str, embedder: Embedder) -> None:
        self._folder, self._run, self._memory, self._embedder = folder, run_id, memory, embedder

    def write(self, rows: Sequence[StoredRow], removed: Mapping[str, Sequence[str]]) -> None:
        """Put ``rows`` into their tiers and take ``removed`` (tier to ids) out of theirs."""
        by_tier: dict[str, list[StoredRow]] = {}
        for row in rows:
            by_tier.setdefault(row.tier, []).append(row)
        try:
            for tier in TIERS:
                gone, fresh = list(removed.get(tier, ())), by_tier.get(tier, [])
                if not gone and not fresh:
                    continue
                collection = self._collection(tier)
                for first in range(0, len(gone), _BATCH):
                    collection.delete(ids=gone[first : first + _BATCH])
                for first in range(0, len(fresh), _BATCH):
                    batch = fresh[first : first + _BATCH]
                    collection.upsert(
                        ids=[row.id for row in batch],
                        embeddings=np.stack([row.vector for row in batch]),
                        documents=[row.text for row in batch],
                        metadatas=[{"state": json.dumps(row.state, sort_keys=True)} for row in batch],
                    )
        except _store_errors() as error:
            raise self._unusable(error) from error

    def read(self) -> list[StoredRow]:
        """Every memory of the run, by tier and id."""
        rows: list[StoredRow] = []
        try:
            for tier in TIERS:
                found = self._collection(tier).get(include=["embeddings", "documents", "metadatas"])
                every = zip(
                    found["ids"], found["documents"], found["embeddings"], found["metadatas"], strict=True
                )
                rows += [
                    StoredRow(i, tier, text, np.asarray(vector, np.float32), json.loads(meta["state"]))
                    for i, text, vector, meta in every
                ]
        except _store_errors() as error:
            raise self._unusable(error) from error
        return sorted(rows, key=lambda row: (TIERS.index(row.tier), row.id))

    def _collection(self, tier: str) -> Any:
        client = _client(self._folder)
        collection = client.get_or_create_collection(
            f"{self._run}.{self._memory}.{tier}",
            metadata={"fingerprint": self._embedder.fingerprint, "schema": SCHEMA_VERSION},
            configuration={"hnsw": {"space": "cosine"}},
            embedding_function=None,
        )
        kept = (collection.metadata or {}).get("fingerprint", self._embedder.fingerprint)
        if kept != self._embedder.fingerprint:
            raise StorageError(
                f"memories of run {self._run} were embedded by {kept!r}, not {self._embedder.fingerprint!r}",
                mend="use the embedder of the run",
            )
        return collection

    def _unusable(self, error: Exception) -> StorageError:
        return StorageError(
            f"memory store {self._folder} cannot be used: {error}",
            mend="free disk space or set VARVE_HOME to a folder that can be written; the journal is whole",
        )


@cache
def _client(folder: Path) -> Any:
    import chromadb
    from chromadb.config import Settings

    try:
        folder.mkdir(parents=True, exist_ok=True)
        return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
    except _store_errors() as error:
        raise StorageError(
            f"memory store {folder} cannot be opened: {error}",
            mend="set VARVE_HOME to a folder that can be written",
        ) from error


def _store_errors() -> tuple[type[Exception], ...]:
    from chromadb.errors import ChromaError

    return (OSError, sqlite3.Error, ValueError, ChromaError)
