"""The seam of memories: what an agent asks of one, and how a kind of memory is opened.

A kind is a class that satisfies :class:`MemoryKind`, registered in the entry-point group
``varve.memories``; ``--memory-kind NAME`` chooses it. :func:`varve.memory.conformance.check_memory`
certifies exactly :class:`Memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol

from varve import registry
from varve.memory.disk.snapshot import Snapshot
from varve.memory.embed.base import Embedder
from varve.memory.labels import Labelled, LabelledQuery
from varve.memory.state.config import MemorySettings
from varve.memory.state.records import CreditReport, MemoryRecord, NewMemory, Recalled, SessionReport
from varve.types import RULES, Json, Trace

Judge = Callable[[NewMemory], float | None]
"""Gives a new memory its importance, 0 to 100 points; None where it could not."""


class Memory(Protocol):
    """What an agent asks of a memory; :class:`varve.memory.layered.LayeredMemory` says what each means.

    ``name`` names the memory within its run. ``recall`` gives a list for each tier asked for (all where
    None), best first.
    """

    @property
    def name(self) -> str:
        """The memory's name within its run."""
        ...

    def __len__(self) -> int:
        """How many memories it holds."""
        ...

    def add_many(self, items: Sequence[NewMemory], *, now: datetime) -> list[str]:
        """Store texts, all or none; their ids in order."""
        ...

    def get(self, memory_id: str) -> MemoryRecord:
        """Return the record of a memory that it holds.

        Raises:
            UsageError: if it holds none of that id.
        """
        ...

    def recall(
        self,
        query: str,
        now: datetime,
        k: int,
        tiers: str | Iterable[str] | None = None,
        ticker: str | None = None,
        where: Mapping[str, Json] | None = None,
    ) -> dict[str, list[Recalled]]:
        """Up to ``k`` of each tier among what was readable at ``now`` and has the metadata ``where``."""
        ...

    def recall_labelled(
        self,
        queries: Sequence[LabelledQuery],
        now: datetime,
        k: int,
        tiers: str | Iterable[str] | None = None,
        ticker: str | None = None,
    ) -> dict[str, list[Labelled]]:
        """``recall`` once per label, as :func:`varve.memory.labels.merged` puts the answers together."""
        ...

    def credit(self, ids: Iterable[str], reward: float, at: datetime, *, share: float = 1.0) -> CreditReport:
        """Tell what came of a decision that cited these; ``share`` is the part of one credit of each."""
        ...

    def close_session(self, now: datetime) -> SessionReport:
        """End a session."""
        ...

    def close(self) -> None:
        """Write what is held back and let go of the disk; a second call does nothing."""
        ...


@dataclass(frozen=True)
class Opening:
    """What a run gives a memory when it is opened.

    Args:
        settings: of the kind's own ``Config``.
        embedder: turns texts into vectors.
        name: names the memory within the run.
        seed: of the memory's own randomness.
        trace: takes an event for every change and every recall; the journal keeps them.
        run_id: names the run in a store; never enters a result.
        folder: where it may keep files; None keeps it in this process only.
        snapshot: what it begins with; nothing when None.
        judge: gives new texts their importance where the settings say ``judged``.
        rules: see :data:`varve.types.RULES`; a recorded run is made again by its own.
    """

    settings: MemorySettings
    embedder: Embedder
    name: str
    seed: int
    trace: Trace
    run_id: str
    folder: Path | None = None
    snapshot: Snapshot | None = None
    judge: Judge | None = None
    rules: int = RULES


class MemoryKind(Protocol):
    """A registered kind of memory: its settings, and how one is opened."""

    Config: ClassVar[type[MemorySettings]]

    def open(self, opening: Opening) -> Memory:
        """Open a memory of a run, empty or with what the snapshot holds.

        Raises:
            UsageError: if it cannot begin with that snapshot.
        """
        ...


def memory_kind(name: str) -> MemoryKind:
    """Return the kind of memory registered under ``name``.

    Raises:
        UnknownNameError: if there is none; near names are suggested.
    """
    kind: MemoryKind = registry.load("memories", name)
    return kind
