"""The vector cache: what an embedder made of a text, kept for other runs.

One SQLite file in write-ahead mode, ``VARVE_HOME/cache/vectors.db``; any number of processes may use
it. A vector is found by the embedder's fingerprint and the text's SHA-256, so another model, or the
same one with other weights, never finds it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from varve.config import home
from varve.memory.embed.base import Embedder, Vectors
from varve.sqlite import Kind, SqliteFile

_SCHEMA = """
CREATE TABLE vectors (
    embedder TEXT NOT NULL, text_sha256 BLOB NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (embedder, text_sha256)
) STRICT;
"""
_HASHED = """
ALTER TABLE vectors ADD COLUMN sha256 BLOB NOT NULL DEFAULT x'';
UPDATE vectors SET sha256 = vector_hash(embedder, text_sha256, vector);
"""
"""From schema 2 on: a hash of each vector. It finds damage, not forgery; old vectors are believed once."""


def _vector_hash(embedder: str, text_sha256: bytes, vector: bytes) -> bytes:
    """SHA-256 over what stands in a row."""
    return hashlib.sha256(b"\0".join((embedder.encode("utf-8", "replace"), text_sha256, vector))).digest()


_MEND_DAMAGED = "move the file away; its vectors are made again when they are needed"
_KIND = Kind(
    name="the vector cache",
    migrations=(_SCHEMA, _HASHED),
    functions={"vector_hash": _vector_hash},
    mend_open="check VARVE_HOME and the free disk space",
    mend_damaged=_MEND_DAMAGED,
    mend_newer=f"use the newer Varve that wrote it, or {_MEND_DAMAGED}",
)
_AT_ONCE = 500
_INSERT = """
INSERT INTO vectors VALUES (?, ?, ?, ?)
ON CONFLICT (embedder, text_sha256) DO UPDATE SET vector = excluded.vector, sha256 = excluded.sha256
WHERE vectors.sha256 != vector_hash(vectors.embedder, vectors.text_sha256, vectors.vector)
   OR length(vectors.vector) != length(excluded.vector)
"""


def vector_cache_path() -> Path:
    """The vector cache of this ``VARVE_HOME``."""
    return home() / "cache" / "vectors.db"


class VectorCache:
    """The cache file; made where it is not there. May be used from several threads.

    Raises:
        StorageError: if it cannot be opened, read or written.
        IntegrityError: if it was written by a newer schema, or is no vector cache.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = vector_cache_path() if path is None else path
        self._file = SqliteFile(self.path, _KIND, make_folder=True)

    def get(self, fingerprint: str, keys: Sequence[bytes], dimension: int) -> dict[bytes, Vectors]:
        """The kept vectors of an embedder, by :func:`text_hash`; those not there or damaged are left out."""
        found: dict[bytes, Vectors] = {}
        for first in range(0, len(keys), _AT_ONCE):
            part = keys[first : first + _AT_ONCE]
            query = f"""SELECT text_sha256, vector, sha256 FROM vectors
                        WHERE embedder = ? AND text_sha256 IN ({", ".join("?" * len(part))})"""
            with self._file.failing("read"):
                rows = self._file.db.execute(query, [fingerprint, *part]).fetchall()
            for key, blob, sha256 in rows:
                whole = sha256 == _vector_hash(fingerprint, key, blob) and len(blob) == 4 * dimension
                vector = np.frombuffer(blob, "<f4") if whole else None
                if vector is not None and abs(float(vector @ vector) - 1.0) < 1e-3:
                    found[key] = vector
        return found

    def put(self, fingerprint: str, vectors: dict[bytes, Vectors]) -> None:
        """Keep vectors by :func:`text_hash`, in one transaction; the first of a text stays, if whole."""
        blobs = {key: vector.astype("<f4").tobytes() for key, vector in vectors.items()}
        rows = [(fingerprint, key, b, _vector_hash(fingerprint, key, b)) for key, b in blobs.items()]
        with self._file.writing():
            self._file.db.executemany(_INSERT, rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def text_hash(text: str) -> bytes:
    """SHA-256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class CachedEmbedder:
    """An embedder whose vectors are looked up on disk first; the same embedder in every other way.

    The file is the one of the present ``VARVE_HOME``, opened when the first text is embedded.
    """

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner
        self.name, self.fingerprint, self.dimension = inner.name, inner.fingerprint, inner.dimension
        self._opened: tuple[Path, int, VectorCache] | None = None
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape (len(texts), dimension), float32, each row of length 1.

        Raises:
            StorageError, IntegrityError: as :class:`VectorCache`; and what the embedder raises.
        """
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        cache, by_key = self._cache(), {text_hash(text): text for text in texts}
        found = cache.get(self.fingerprint, list(by_key), self.dimension)
        missing = [key for key in by_key if key not in found]
        if missing:
            made = self.inner.embed([by_key[key] for key in missing])
            new = dict(zip(missing, made, strict=True))
            cache.put(self.fingerprint, new)
            found |= new
        return np.stack([found[text_hash(text)] for text in texts])

    def _cache(self) -> VectorCache:
        """The open cache; SQLite's connections may not be carried into a forked process."""
        path, process = vector_cache_path(), os.getpid()
        with self._lock:
            if self._opened is None or self._opened[:2] != (path, process):
                if self._opened is not None and self._opened[1] == process:
                    self._opened[2].close()
                self._opened = (path, process, VectorCache(path))
            return self._opened[2]
