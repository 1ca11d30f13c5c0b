"""The vector cache: what an embedder made of a text, kept for other runs.

One SQLite file in write-ahead mode, ``VARVE_HOME/cache/vectors.db``; any number of processes may use
it. A vector is found by the embedder's fingerprint and the text's SHA-256, so another model, or the
same one with other weights, never finds it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np

from varve.config import home
from varve.errors import IntegrityError, StorageError
from varve.memory.embed.base import Embedder, Vectors

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE vectors (
    embedder TEXT NOT NULL, text_sha256 BLOB NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (embedder, text_sha256)
) STRICT;
"""
_AT_ONCE = 500
_MEND_OPEN = "check VARVE_HOME and the free disk space"
_MEND_DAMAGED = "move the file away; its vectors are made again when they are needed"


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
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the cache folder {self.path.parent} cannot be made: {error}", mend=_MEND_OPEN
            ) from error
        with self._failing("opened"):
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=30, check_same_thread=False)
        try:
            with self._failing("opened"):
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        # Under the write lock: two processes may make the file at the same moment.
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.execute(_SCHEMA)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("COMMIT")
        if version > SCHEMA_VERSION:
            raise IntegrityError(
                f"the vector cache {self.path} has schema {version}; this Varve reads up to {SCHEMA_VERSION}",
                mend=f"use the newer Varve that wrote it, or {_MEND_DAMAGED}",
            )

    @contextmanager
    def _failing(self, verb: str) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "already exists" not in str(error):
                    raise StorageError(
                        f"the vector cache {self.path} cannot be {verb}: {error}", mend=_MEND_OPEN
                    ) from error
                raise self._damaged(str(error)) from error

    def _damaged(self, what: str) -> IntegrityError:
        return IntegrityError(f"the vector cache {self.path} is damaged: {what}", mend=_MEND_DAMAGED)

    def get(self, fingerprint: str, keys: Sequence[bytes], dimension: int) -> dict[bytes, Vectors]:
        """The kept vectors of an embedder, by :func:`text_hash`; those that are not there are left out."""
        found: dict[bytes, Vectors] = {}
        for first in range(0, len(keys), _AT_ONCE):
            part = keys[first : first + _AT_ONCE]
            query = f"""SELECT text_sha256, vector FROM vectors
                        WHERE embedder = ? AND text_sha256 IN ({", ".join("?" * len(part))})"""
            with self._failing("read"):
                rows = self._db.execute(query, [fingerprint, *part]).fetchall()
            for key, blob in rows:
                vector = np.frombuffer(blob, "<f4") if len(blob) == 4 * dimension else None
                if vector is None or not abs(float(vector @ vector) - 1.0) < 1e-3:
                    raise self._damaged(f"a vector of {fingerprint} is not {dimension} numbers of length 1")
                found[key] = vector
        return found

    def put(self, fingerprint: str, vectors: dict[bytes, Vectors]) -> None:
        """Keep vectors by :func:`text_hash`, in one transaction; the first of a text stays."""
        rows = [(fingerprint, key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()]
        with self._failing("written"), self._db:  # commits, or rolls back
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

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
