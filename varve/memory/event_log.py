"""Keeping a memory: every change is an event first; what is told by events is stored and made again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self, TypedDict, Unpack

import numpy as np

from varve.clock import iso
from varve.errors import UsageError, VarveError
from varve.memory.disk.mirror import DiskCopy
from varve.memory.disk.snapshot import Image, Kept, Snapshot
from varve.memory.embed.base import Embedder, Vectors, checked_vectors
from varve.memory.protocol import Judge
from varve.memory.recall import MemoryReader
from varve.memory.state.columns import Vector
from varve.memory.state.config import MemoryConfig
from varve.memory.state.tiers import TOLD_WHOLE, data_of, own_changes
from varve.types import RULES, EventData, MemoryEvent, Trace


class Opened(TypedDict, total=False):
    """What a memory is opened with beside its settings and embedder; see the constructor."""

    seed: int
    trace: Trace | None
    folder: Path | None
    run_id: str
    name: str
    snapshot: Snapshot | None
    judge: Judge | None


class MemoryKeeper(MemoryReader):
    """The side of a memory that writes events, disk and snapshots; see
    :class:`varve.memory.layered.LayeredMemory`."""

    def __init__(
        self,
        config: MemoryConfig,
        embedder: Embedder,
        *,
        seed: int = 0,
        trace: Trace | None = None,
        folder: Path | None = None,
        run_id: str = "run",
        name: str = "finmem",
        snapshot: Snapshot | None = None,
        judge: Judge | None = None,
        rules: int = RULES,
    ) -> None:
        super().__init__(config, embedder, trace if trace is not None else Trace(), name)
        self.seed, self.run_id, self._judge, self._rules = seed, run_id, judge, rules
        self._disk: DiskCopy | None = None
        if folder is not None:
            self._disk = DiskCopy(folder, run_id, name, config, embedder)
        if snapshot is not None:
            self._begin_with(snapshot)

    def _begin_with(self, snapshot: Snapshot) -> None:
        """Take over what a snapshot holds, by events that tell all of it: the journal stays the truth."""
        image, at = snapshot.image(self.name, self.embedder), snapshot.last_available_at
        data = {"id": snapshot.id, "live": len(image.rows), **image.counters}
        self._do("snapshot", "", at, data)
        for record, life, vector in image.rows:
            told = {**data_of(record), "created_at": iso(record.created_at), "life": dict(life)}
            self._do("imported", record.id, at, told, vector)

    def image(self) -> Image:
        """Everything this memory knows, to go into a snapshot; rows in the order of their ids."""
        state = self._state
        rows = []
        for memory_id in self.ids():
            entry = state.entries[memory_id]
            vector = state.tiers[entry.tier].vectors[entry.row].copy()
            rows.append(Kept(entry.record, state.life(memory_id), vector))
        return Image(self.name, self.config.model_dump(mode="json"), state.counters(), tuple(rows))

    def flush(self) -> None:
        """Write what changed since the last write, in one batch; nothing to do without a folder.

        Raises:
            StorageError: if the folder cannot be written; a later flush tries again.
        """
        if self._disk is not None:
            self._disk.flush(self._state)

    def close(self) -> None:
        """Write what is held back and give the disk back; a second call does nothing.

        Raises:
            StorageError: as :meth:`flush`.
        """
        if self._disk is not None:
            self.flush()
            self._disk.close()
            self._disk = None

    @classmethod
    def replay(
        cls, events: Iterable[MemoryEvent], config: MemoryConfig, embedder: Embedder, **rest: Unpack[Opened]
    ) -> Self:
        """The memory that wrote ``events``, rebuilt from them alone.

        ``rest`` as in the constructor; events of memories with another ``name`` are passed over. With
        a folder, what is stored there under this run and name is replaced at the next flush. The
        trace receives nothing of the past.

        Raises:
            IntegrityError: if the events do not fit together.
        """
        memory = cls(config, embedder, **rest)
        memory._redo(own_changes(events, memory.name))
        if memory._disk is not None:
            memory._disk.replace_all(memory._state)
        return memory

    @classmethod
    def resume(
        cls, events: Iterable[MemoryEvent], config: MemoryConfig, embedder: Embedder, **rest: Unpack[Opened]
    ) -> Self:
        """The memory that wrote ``events``, from the store where that agrees with them.

        The events are the truth: the store is read, checked against them, and caught up; where it
        differs, is damaged or was cut short, the memory is rebuilt by :meth:`replay`.

        Raises:
            IntegrityError: if the events do not fit together, or the store was made with other settings,
                by another embedder or by a newer version.
            UsageError: if another process uses the store.
        """
        memory = cls(config, embedder, **rest)
        history = own_changes(events, memory.name)
        try:
            done = memory._disk.load(memory._state, history) if memory._disk is not None else None
        except VarveError:
            memory.abandon()
            raise
        if done is None:
            memory.abandon()
            return cls.replay(history, config, embedder, **rest)
        memory._redo(history[done:])
        return memory

    @classmethod
    def load(cls, config: MemoryConfig, embedder: Embedder, **rest: Unpack[Opened]) -> Self:
        """The memory as it was last written to its folder, without any journal.

        Raises:
            NoDataError: if nothing is stored under this run and name.
            IntegrityError: if the last write was cut short, or other settings or another embedder
                made it.
            StorageError: if the folder cannot be read.
        """
        memory = cls(config, embedder, **rest)
        if memory._disk is None:
            raise UsageError("a memory without a folder has nothing to load", mend="give folder=")
        try:
            memory._disk.load_all(memory._state)
        except VarveError:
            memory.abandon()
            raise
        return memory

    def abandon(self) -> None:
        """Give the disk back without writing; what was not flushed is in the events alone."""
        if self._disk is not None:
            self._disk.close()
            self._disk = None

    def _redo(self, history: Sequence[MemoryEvent]) -> None:
        texts = [event.data["text"] for event in history if event.kind in TOLD_WHOLE]
        made = iter(self._vectors_of(texts))
        for event in history:
            vector = next(made) if event.kind in TOLD_WHOLE else None
            self._state.apply(event, vector)
            if self._disk is not None:
                self._disk.note(event)

    def _vectors_of(self, texts: Sequence[str]) -> Vectors:
        dimension = self.embedder.dimension
        if not texts:
            return np.zeros((0, dimension), np.float32)
        return checked_vectors(self.embedder.embed(texts), len(texts), dimension, "the embedder")

    def _do(
        self, kind: str, memory_id: str, at: datetime, data: EventData, vector: Vector | None = None
    ) -> None:
        event = MemoryEvent(kind, memory_id, at, {"memory": self.name, **data})
        self._state.apply(event, vector)
        self.trace.memory_events.append(event)
        if self._disk is not None:
            self._disk.note(event)
