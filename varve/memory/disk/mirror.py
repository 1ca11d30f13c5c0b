"""Which changes of a memory still have to reach its store, and whether a store agrees with a journal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from varve.clock import iso, parse_iso, to_ns
from varve.errors import DataError, IntegrityError, NoDataError, StorageError
from varve.memory.disk.chroma import (
    ChromaStore,
    Metadata,
    NewerStoreError,
    Row,
    Stored,
    as_json,
    chained,
    from_json,
)
from varve.memory.embed.base import Embedder, checked_vectors
from varve.memory.state.config import MemoryConfig
from varve.memory.state.tiers import State, data_of, record_of
from varve.types import MemoryEvent


class DiskCopy:
    """The store's side of one memory: what is dirty, what is stored where, and the chain of events."""

    def __init__(
        self, folder: Path, run_id: str, name: str, config: MemoryConfig, embedder: Embedder
    ) -> None:
        self._store = ChromaStore(folder, run_id, name)
        self._dimension = embedder.dimension
        self._identity = {
            "config": config.identity(),
            "embedder": embedder.fingerprint,
            "dimension": embedder.dimension,
        }
        self._dirty: dict[str, None] = {}
        self._stored: dict[str, str] = {}
        self._unchained: list[MemoryEvent] = []
        self._chain = ""
        self._replace = False
        self._fresh, self._ours = True, False

    def note(self, event: MemoryEvent) -> None:
        """An event happened; its memory has to be written."""
        self._unchained.append(event)
        if event.memory_id and event.kind != "credit_missed":
            self._dirty[event.memory_id] = None

    def replace_all(self, state: State) -> None:
        """Write everything anew at the next flush, over whatever is stored."""
        self._replace, self._fresh = True, False
        self._stored.clear()
        self._dirty = dict.fromkeys(state.entries)

    def flush(self, state: State) -> None:
        """Write what is dirty, in one batch.

        Raises:
            StorageError: if it cannot be written, or an earlier run of this name is in the way.
        """
        if not self._unchained and not self._replace:
            return
        if self._fresh and not self._ours and self._store.holds():
            raise StorageError(
                f"the store in {self._store.folder} already holds a memory {self._store.prefix}",
                mend="give the run another id, or resume it",
            )
        chain = self._chain
        for event in self._unchained:
            chain = _link(chain, event)
        upserts: dict[str, list[Row]] = {}
        deletes: dict[str, list[str]] = {}
        for memory_id in self._dirty:
            entry, stored = state.entries.get(memory_id), self._stored.get(memory_id)
            if stored is not None and (entry is None or entry.tier != stored):
                deletes.setdefault(stored, []).append(memory_id)
            if entry is not None:
                row = self._row(state, memory_id, known=stored == entry.tier)
                upserts.setdefault(entry.tier, []).append(row)
        # rows and deletions may be written twice without harm, so a write that failed is simply done again
        self._ours = True
        self._store.write(upserts, deletes, self._checkpoint(state, chain), replace=self._replace)
        for memory_id in self._dirty:
            self._stored.pop(memory_id, None)
            if memory_id in state.entries:
                self._stored[memory_id] = state.entries[memory_id].tier
        self._dirty.clear()
        self._unchained.clear()
        self._chain, self._replace, self._fresh = chain, False, False

    def load(self, state: State, history: Sequence[MemoryEvent]) -> int | None:
        """Fill an empty state from the store; how many events of ``history`` it holds.

        None where nothing is stored, the store cannot be trusted, or it tells another history.

        Raises:
            IntegrityError: if it was made with other settings or another embedder, since what is rebuilt
                from the events would then be another memory; or by a newer version.
            UsageError: if another process uses it.
        """
        try:
            stored = self._store.read()
        except NewerStoreError:
            raise
        except (IntegrityError, StorageError):
            return None
        if stored is None:
            return None
        self._check(stored)
        count, chain = stored.checkpoint.get("changes"), ""
        if not isinstance(count, int) or count > len(history):
            return None
        for event in history[:count]:
            chain = _link(chain, event)
        if chain != stored.checkpoint.get("chain"):
            return None
        try:
            self._fill(state, stored)
        except IntegrityError:
            return None
        return count

    def load_all(self, state: State) -> None:
        """Fill an empty state from the store alone.

        Raises:
            NoDataError: if nothing is stored.
            IntegrityError, StorageError: if it cannot be used.
            UsageError: if another process uses it.
        """
        stored = self._store.read()
        if stored is None:
            raise NoDataError(
                f"no memory {self._store.prefix} is stored in {self._store.folder}",
                mend="look at the run id and the folder",
            )
        self._check(stored)
        self._fill(state, stored)

    def close(self) -> None:
        """Give the store back."""
        self._store.close()

    def _check(self, stored: Stored) -> None:
        for name, mine in self._identity.items():
            if stored.checkpoint.get(name) != mine:
                raise IntegrityError(
                    f"memory {self._store.prefix} was made with {name} {stored.checkpoint.get(name)!r}, "
                    f"this run has {mine!r}",
                    mend=f"use the {name} that it was made with, or start a new run",
                )

    def _fill(self, state: State, stored: Stored) -> None:
        """Fill an empty state with what is stored.

        Raises:
            IntegrityError: if that is not what was written.
        """
        try:
            self._fill_from(state, stored)
        except (KeyError, ValueError, TypeError, AttributeError, DataError, IntegrityError) as error:
            raise IntegrityError(
                f"memory {self._store.prefix} in {self._store.folder} is damaged: "
                f"{getattr(error, 'message', None) or repr(error)}",
                mend=self._store.mend,
            ) from error

    def _fill_from(self, state: State, stored: Stored) -> None:
        mark = stored.checkpoint
        for row in sorted((row for rows in stored.rows.values() for row in rows), key=lambda row: row.id):
            told = from_json(row.metadata["record"])
            record = record_of(row.id, {**told, "text": row.text}, parse_iso(told["created_at"]))
            life = from_json(row.metadata["life"])
            state.insert(record, life, np.asarray(row.vector))
            self._stored[row.id] = life["tier"]
        for tier, columns in state.tiers.items():
            vectors = columns.vectors[: columns.count]
            checked_vectors(vectors, columns.count, self._dimension, f"tier {tier}")
        if len(state.entries) != mark["live"]:
            raise IntegrityError(
                f"it holds {len(state.entries)} memories, its checkpoint says {mark['live']}"
            )
        state.next_number, state.sessions = mark["next_number"], mark["sessions"]
        state.missed_credits, state.changes = mark["missed_credits"], mark["changes"]
        state.touched = dict.fromkeys(from_json(mark["touched"]))
        self._chain, self._fresh = mark["chain"], False

    def _checkpoint(self, state: State, chain: str) -> Metadata:
        return {
            **self._identity,
            "changes": state.changes,
            "chain": chain,
            "live": len(state.entries),
            "next_number": state.next_number,
            "sessions": state.sessions,
            "missed_credits": state.missed_credits,
            "touched": as_json(list(state.touched)),
        }

    def _row(self, state: State, memory_id: str, *, known: bool) -> Row:
        """A row for the store; only what can change for a memory that is there already."""
        entry, life = state.entries[memory_id], state.life(memory_id)
        metadata: dict[str, str | int] = {"life": as_json(life), "available_ns": life["available_ns"]}
        if known:
            return Row(memory_id, entry.record.text, metadata, None)
        record = entry.record
        told = {**data_of(record), "created_at": iso(record.created_at)}
        told.pop("text")
        metadata |= {
            "record": as_json(told),
            "ticker": record.ticker or "",
            "scope": record.scope,
            "kind": record.kind,
            "event_ns": to_ns(record.event_time),
            "created_ns": to_ns(record.created_at),
        }
        return Row(memory_id, record.text, metadata, state.tiers[entry.tier].vectors[entry.row].copy())


def _link(chain: str, event: MemoryEvent) -> str:
    return chained(chain, [event.kind, event.memory_id, iso(event.at), dict(event.data)])
