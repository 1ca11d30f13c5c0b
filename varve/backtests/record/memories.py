"""What a run's journal tells of its memories, and those memories made again from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from varve.backtests.record.folder import RunFolder
from varve.backtests.record.journal import Journal
from varve.backtests.record.rows import EventRow, StepKey, StepRow
from varve.clock import parse_iso
from varve.errors import NoDataError, UsageError
from varve.memory.history import Told, names
from varve.types import MemoryEvent

if TYPE_CHECKING:
    from varve.memory.layered import LayeredMemory
    from varve.memory.state.config import MemoryConfig


def told_of_rows(steps: Iterable[StepRow], events: Iterable[EventRow]) -> list[Told]:
    """The steps of a journal as the memory tells them; ``steps`` and ``events`` in the order of time."""
    by_step: dict[StepKey, list[MemoryEvent]] = {}
    for row in events:
        event = MemoryEvent(row.kind, row.memory_id, parse_iso(row.at), row.data)
        by_step.setdefault(row.key, []).append(event)
    return [
        Told(
            session=date.fromisoformat(row.session),
            at=parse_iso(row.decision_at),
            events=tuple(by_step.get(row.key, ())),
            cited=row.decision.cited_memories,
        )
        for row in steps
    ]


def told_of_run(folder: RunFolder) -> list[Told]:
    """The steps of a run, lessons first.

    Raises:
        NoDataError: if the run remembered nothing.
    """
    recorded = folder.read()
    journal = Journal(folder.journal, run_id=recorded.run_id, read_only=True)
    try:
        told = told_of_rows(journal.rows("steps"), journal.rows("memory_events"))
    finally:
        journal.close()
    if not names(told):
        raise NoDataError(
            f"run {folder.run_id} has no memory: {recorded.config.agent} remembers nothing",
            mend="give a run of an agent with a memory, for example finmem",
        )
    return told


def until(told: Sequence[Told], day: date | None) -> list[Told]:
    """The steps of the sessions up to ``day``; all for None.

    Raises:
        NoDataError: if the run began after it.
    """
    kept = [step for step in told if day is None or step.session <= day]
    if not kept:
        raise NoDataError(
            f"nothing was remembered on {day}: the run's memory begins {told[0].session}",
            mend=f"give a day from {told[0].session} to {told[-1].session}",
        )
    return kept


def memory_settings(folder: RunFolder) -> MemoryConfig:
    """The settings that a run's memories were made with.

    Raises:
        UsageError: if its agent keeps none under ``memory``.
    """
    from varve.memory.state.config import MemoryConfig

    recorded = folder.read()
    given = recorded.agent_settings.get("memory")
    if not isinstance(given, Mapping):
        raise UsageError(
            f"agent {recorded.config.agent} of run {folder.run_id} has no settings of a memory",
            mend="an agent keeps them in its Config as: memory: MemoryConfig",
        )
    kind = recorded.agent_settings.get("memory_kind", "layered")
    if kind != "layered":
        raise UsageError(
            f"run {folder.run_id} has a {kind!r} memory; only layered ones are rebuilt from a journal",
            mend="its memories stand in the report beside the decisions that cite them",
        )
    return MemoryConfig.build(**given)


def remembered(run: RunFolder, told: Sequence[Told], name: str, **rest: Any) -> LayeredMemory:
    """The memory called ``name`` as it was after the last of ``told``, from the journal alone.

    ``rest`` goes to :meth:`~varve.memory.layered.LayeredMemory.replay`.
    """
    from varve.memory.embed.base import get_embedder
    from varve.memory.layered import LayeredMemory

    recorded = run.read()
    events = [event for step in told for event in step.events]
    rest.setdefault("embedder", get_embedder(recorded.config.embedder))
    return LayeredMemory.replay(
        events, memory_settings(run), name=name, run_id=recorded.run_id, seed=recorded.seed, **rest
    )
