"""The memory on disk: chromadb, one shared client per folder, one collection per run, memory and tier."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from varve.bounded import parse_json
from varve.config import canonical_json
from varve.errors import IntegrityError, StorageError, UsageError
from varve.files import make_folder, refuse_links
from varve.memory.disk.unwritten import blank_unwritten
from varve.memory.state.columns import Vector
from varve.memory.state.config import TIERS

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI

_T = TypeVar("_T")
Metadata = Mapping[str, Any]
"""What chromadb keeps beside a row or a collection: each value a text or a number."""

SCHEMA = 1
"""Version of what is written; a store of a newer one is refused."""

_CHUNK = 1000
_PAGE = 10_000
_LOCK = "varve.lock"
_REBUILD = "remove the folder, then make it anew from the run's journal: backtest memory rebuild RUN"
_WRITABLE = "see that the folder can be written and the disk has room"
_PATIENCE_S, _NAP_S = 5.0, 0.1
"""How long a writer waits for readers, who are quick, and how often it looks."""

_COLLECTIONS_PER_OPENING = 16
"""chromadb keeps about four files open per collection until its client closes; so it is opened anew then."""

_INDEX = {"space": "ip", "ef_construction": 10, "max_neighbors": 4}
"""Inner product of unit vectors is their cosine, and leaves them as they are. Nothing is ranked by this
index, so it is built as cheaply as chromadb allows: a third less time for each write."""


class Row(NamedTuple):
    """One memory as stored; ``vector`` None leaves the stored one and the text as they are."""

    id: str
    text: str
    metadata: Metadata
    vector: Vector | None


@dataclass
class Stored:
    """What a store holds: its checkpoint, and rows by tier."""

    checkpoint: Metadata
    rows: dict[str, list[Row]] = field(default_factory=dict)


class NewerStoreError(IntegrityError):
    """A newer version wrote the store: it is neither read nor written over."""


class _Opened:
    """A client of one folder, with the memories that use it and the collections it has touched.

    While it is used, a lock keeps other processes out: chromadb is made for one process a folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.client = folder, None
        self.users = 0
        self.touched: set[str] = set()
        self._lock: int | None = None
        self._writes = False

    def lock(self, *, writes: bool) -> None:
        """Keep writers out, and readers too where this process ``writes``.

        Raises:
            UsageError: if another process is in the way.
        """
        if self._lock is not None and (self._writes or not writes):
            return
        if self._lock is None:
            make_folder(self.folder, mend=_WRITABLE)
            # chromadb would write through a link that a copied folder brought along.
            refuse_links(self.folder.rglob("*"), mend=_REBUILD)
            self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        for left in range(round(_PATIENCE_S / _NAP_S) if writes else 0, -1, -1):
            try:
                fcntl.flock(self._lock, (fcntl.LOCK_EX if writes else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                if left:
                    time.sleep(_NAP_S)
                    continue
                if not self._writes:
                    self.unlock()
                raise
            self._writes = writes
            return

    def unlock(self) -> None:
        """Let other processes in."""
        lock, self._lock, self._writes = self._lock, None, False
        if lock is not None:
            os.close(lock)

    def open(self) -> ClientAPI:
        if self.client is None:
            import chromadb
            from chromadb.config import Settings

            make_folder(self.folder, mend=_WRITABLE)
            given = {"path": str(self.folder), "settings": Settings(anonymized_telemetry=False)}
            try:
                self.client = chromadb.PersistentClient(**given)
            except AttributeError:  # chromadb 1.5 stumbles, once, over what an opening that failed has left
                self.client = chromadb.PersistentClient(**given)
        return self.client

    def close(self) -> None:
        client, self.client = self.client, None
        self.touched.clear()
        if client is not None:
            client.close()
            # Where that fails, the disk is full or shut, which is said already; the next write tries again.
            with suppress(OSError):
                blank_unwritten(self.folder)


_lock = threading.RLock()
_opened: dict[Path, _Opened] = {}


class ChromaStore:
    """One memory's collections in a folder that other memories may share.

    Args:
        folder: of chromadb's files; made when missing.
        run_id: names the run; name: names the memory within the run.
        writes: whether it will be written to; other processes are kept out then.
    """

    def __init__(self, folder: Path, run_id: str, name: str, *, writes: bool = True) -> None:
        refuse_links([Path(folder)], mend="remove the link")
        self.folder, self.run_id, self._writes = Path(folder).resolve(), run_id, writes
        self.prefix = f"{_plain(run_id)}.{_plain(name)}"
        self.mend = f"make it anew from the run's journal: backtest memory rebuild {run_id}"
        self._closed = False
        with _lock:
            _opened.setdefault(self.folder, _Opened(self.folder)).users += 1

    def write(
        self,
        upserts: Mapping[str, Sequence[Row]],
        deletes: Mapping[str, Sequence[str]],
        checkpoint: Metadata,
        *,
        replace: bool = False,
    ) -> None:
        """Write one batch; ``replace`` drops what is stored first.

        The checkpoint is marked unfinished before and finished after, so that a write which was cut
        short is seen on reading.

        Raises:
            StorageError: if the folder cannot be written; what was to be written may be tried again.
            UsageError: if another process uses the store.
        """
        with self._client("written") as client:
            if replace:
                self._drop(client)
            collections = {tier: self._collection(client, tier) for tier in TIERS}
            first = collections[TIERS[0]]
            first.modify(metadata={**checkpoint, "schema": SCHEMA, "state": "writing"})
            for tier in TIERS:
                for part in _parts(deletes.get(tier, ())):
                    collections[tier].delete(ids=list(part))
                _put(collections[tier], upserts.get(tier, ()))
            blank_unwritten(self.folder)
            first.modify(metadata={**checkpoint, "schema": SCHEMA, "state": "done"})

    def holds(self) -> bool:
        """Whether anything is stored under this run and name.

        Raises:
            StorageError: if the folder cannot be read.
        """
        if not (self.folder / "chroma.sqlite3").exists():
            return False
        with self._client("read") as client:
            return self._name(TIERS[0]) in self._names(client)

    def read(self) -> Stored | None:
        """Everything stored; None where nothing is.

        Raises:
            StorageError: if the folder cannot be read.
            UsageError: if another process uses the store.
            NewerStoreError: if a newer version wrote it.
            IntegrityError: if the last write was cut short.
        """
        if not self.holds():
            return None
        with self._client("read") as client:
            checkpoint = dict(self._collection(client, TIERS[0]).metadata or {})
            self._check(checkpoint)
            stored = Stored(checkpoint)
            for tier in TIERS:
                stored.rows[tier] = _rows(self._collection(client, tier))
            return stored

    def close(self) -> None:
        """Give the client back; the last memory of a folder closes it."""
        with _lock:
            if self._closed:
                return
            self._closed = True
            shared = _opened[self.folder]
            shared.users -= 1
            if shared.users <= 0:
                del _opened[self.folder]
                shared.close()
                shared.unlock()

    def _check(self, checkpoint: Metadata) -> None:
        schema = checkpoint.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise NewerStoreError(
                f"the memory store in {self.folder} has schema {schema}, this version reads up to {SCHEMA}",
                mend=f"use the version that wrote it, or {self.mend}",
            )
        if checkpoint.get("state") != "done":
            raise IntegrityError(
                f"the last write of memory {self.prefix} in {self.folder} was cut short",
                mend=self.mend,
            )

    def _drop(self, client: ClientAPI) -> None:
        names = self._names(client)
        for tier in TIERS:
            if self._name(tier) in names:
                client.delete_collection(self._name(tier))

    @staticmethod
    def _names(client: ClientAPI) -> set[str]:
        return {found.name for found in client.list_collections(limit=None)}

    def _name(self, tier: str) -> str:
        return f"{self.prefix}.{tier}"

    def _collection(self, client: ClientAPI, tier: str) -> Collection:
        _opened[self.folder].touched.add(self._name(tier))
        return client.get_or_create_collection(
            self._name(tier), embedding_function=None, configuration={"hnsw": _INDEX}
        )

    @contextmanager
    def _client(self, done: str) -> Iterator[ClientAPI]:
        with _lock:
            shared = _opened.setdefault(self.folder, _Opened(self.folder))
            new = sum(self._name(tier) not in shared.touched for tier in TIERS)
            if len(shared.touched) + new > _COLLECTIONS_PER_OPENING:
                shared.close()
            try:
                shared.lock(writes=self._writes)
                yield shared.open()
            except BlockingIOError as error:
                raise UsageError(
                    f"the memory store in {self.folder} is in use by another process",
                    mend=f"wait for it, or stop it; then: backtest run --resume {self.run_id}",
                ) from error
            except _faults() as error:
                shared.close()
                raise StorageError(
                    f"the memory store in {self.folder} cannot be {done}: {error}",
                    mend=f"{_WRITABLE}, then {self.mend}",
                ) from error


def _faults() -> tuple[type[Exception], ...]:
    from chromadb.errors import ChromaError

    return (ChromaError, OSError, sqlite3.Error, ValueError, RuntimeError)


def _put(collection: Collection, rows: Sequence[Row]) -> None:
    whole = [row for row in rows if row.vector is not None]
    for part in _parts(whole):
        collection.upsert(
            ids=[row.id for row in part],
            embeddings=np.array([row.vector for row in part], np.float32),
            documents=[row.text for row in part],
            metadatas=[dict(row.metadata) for row in part],
        )
    for part in _parts([row for row in rows if row.vector is None]):
        collection.update(ids=[row.id for row in part], metadatas=[dict(row.metadata) for row in part])


def _rows(collection: Collection) -> list[Row]:
    """Everything in a collection, page by page: SQLite takes no query about more than 32,766 rows."""
    rows: list[Row] = []
    for first in range(0, collection.count(), _PAGE):
        got = collection.get(include=["embeddings", "documents", "metadatas"], limit=_PAGE, offset=first)
        vectors = np.asarray(got["embeddings"], np.float32)
        found = zip(got["ids"], got["documents"], got["metadatas"], vectors, strict=True)
        rows += [Row(*one) for one in found]
    return rows


def _parts(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for first in range(0, len(items), _CHUNK):
        yield items[first : first + _CHUNK]


def _plain(name: str) -> str:
    """A name that chromadb takes, other names giving other ones."""
    if re.fullmatch(r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,98}[a-zA-Z0-9])?", name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"x{re.sub(r'[^a-zA-Z0-9_-]', '-', name)[:60]}-{digest}"


def chained(chain: str, event: Sequence[object]) -> str:
    """SHA-256 (hex) of an event behind all before it; equal chains mean equal histories."""
    return hashlib.sha256(f"{chain}\n{canonical_json(list(event))}".encode()).hexdigest()


def as_json(value: object) -> str:
    """Canonical JSON, for a metadata field."""
    return canonical_json(value)


def from_json(text: str) -> Any:
    """The inverse of :func:`as_json`."""
    return parse_json(text)
