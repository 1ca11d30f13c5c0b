"""What a run begins with when it does not begin with an empty memory: snapshots, kept and checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from varve.backtests.record.folder import COPY_AGAIN, RunFolder
from varve.backtests.record.run_record import MemoryEntry, RunRecord
from varve.clock import iso
from varve.config import home
from varve.errors import IntegrityError, UnknownNameError, UsageError
from varve.files import make_folder, named_path

if TYPE_CHECKING:
    from varve.backtests.config import RunConfig
    from varve.backtests.simulate.window import Window
    from varve.market.data import InstrumentData
    from varve.memory.disk.snapshot import Snapshot
    from varve.strategies.base import Trader


def memories_folder() -> Path:
    """Return where imported snapshots are kept: ``VARVE_HOME/memories``, links resolved."""
    return (home() / "memories").resolve()


def import_snapshot(file: Path) -> Snapshot:
    """Check a snapshot file and keep it under its id.

    Raises:
        BadFileError: if it is no snapshot, or was changed.
        StorageError: if it cannot be kept.
    """
    from varve.memory.disk.snapshot import read_snapshot, write_snapshot

    snapshot = read_snapshot(file)
    folder = memories_folder()
    make_folder(folder)
    write_snapshot(folder / f"{snapshot.id}.parquet", snapshot)
    return snapshot


def snapshot_id(given: str) -> str:
    """The id of the snapshot that a user means: a file, which is imported, an id, or the start of one.

    Raises:
        UnknownNameError: if there is none, or more than one.
        BadFileError: if the file is no snapshot.
    """
    path = named_path(given)
    if given.endswith(".parquet") or path.is_file():
        return import_snapshot(path).id
    known = sorted(path.stem for path in memories_folder().glob("*.parquet"))
    hits = [one for one in known if given and one.startswith(given)]
    if len(hits) != 1:
        mend = "give more of the id" if hits else "import it: backtest memory import FILE.parquet"
        raise UnknownNameError("memory snapshot", given, [one[:12] for one in hits or known], mend=mend)
    return hits[0]


def kept_snapshot(config: RunConfig) -> Snapshot | None:
    """The imported snapshot that the settings name; None where they name none.

    Raises:
        UnknownNameError: if it was not imported.
        BadFileError: if it was changed since.
    """
    from varve.memory.disk.snapshot import read_snapshot

    if config.memory is None:
        return None
    return read_snapshot(memories_folder() / f"{snapshot_id(config.memory)}.parquet")


def keep_with_run(folder: RunFolder, snapshot: Snapshot) -> None:
    """Put the snapshot into the run's folder, so that the run can be made again from it alone.

    Raises:
        StorageError: if it cannot be written.
    """
    from varve.memory.disk.snapshot import write_snapshot

    write_snapshot(folder.snapshot, snapshot)


def snapshot_of_run(folder: RunFolder, run: RunRecord) -> Snapshot | None:
    """What a recorded run began with, from its own folder; None where it began with nothing.

    Raises:
        BadFileError: if the file is missing or was changed.
        IntegrityError: if it is another snapshot than the run began with.
    """
    from varve.memory.disk.snapshot import read_snapshot

    entry = run.memory
    if entry is None:
        return None
    snapshot = read_snapshot(folder.snapshot)
    if snapshot.id != entry.snapshot:
        raise IntegrityError(
            f"{folder.snapshot} is not what the run began with: {snapshot.id[:12]}, "
            f"run.json says {entry.snapshot[:12]}",
            mend=COPY_AGAIN,
        )
    return snapshot


def begin_window(
    config: RunConfig,
    snapshot: Snapshot,
    trader_class: type[Trader],
    data: InstrumentData,
    window: Window,
) -> Window:
    """The window of a run that begins with a snapshot: its warm-up starts after the snapshot's last instant.

    Raises:
        UsageError: if the run would use the memory before that instant and is not told to; if the agent
            takes no memory, the snapshot says nothing of the ticker, or another embedder made it.
    """
    from varve.memory.embed.base import get_embedder

    if not trader_class.takes_memory:
        raise UsageError(
            f"{config.agent} remembers nothing, but a memory was given",
            mend="leave --memory out, or run an agent with a memory, for example finmem",
        )
    snapshot.check_embedder(get_embedder(config.embedder))
    tickers = {kept.record.ticker for image in snapshot.images.values() for kept in image.rows}
    if not tickers & {config.ticker, None}:
        about = ", ".join(sorted(str(ticker) for ticker in tickers)) or "nothing"
        raise UsageError(
            f"snapshot {snapshot.id[:12]} holds nothing about {config.ticker}, but about {about}",
            mend="give a memory of the same ticker, or leave --memory out",
        )
    if config.allow_future_memory:
        return window
    if config.warmup_start is None:
        while (
            window.warmup_first < window.first
            and _instant(data, window.warmup_first) < snapshot.last_available_at
        ):
            window = replace(window, warmup_first=window.warmup_first + 1)
    if not knows_future(snapshot, data, window):
        return window
    until = snapshot.last_available_at
    what = "--start" if window.warmup_first == window.first else "--warmup-start"
    raise UsageError(
        f"snapshot {snapshot.id[:12]} knows what happened until {iso(until)}; this run would use it from "
        f"session {data.bars.session(window.warmup_first)} on",
        mend=f"give {what} {until:%Y-%m-%d} or later; --allow-future-memory is for an ablation that cheats",
    )


def knows_future(snapshot: Snapshot, data: InstrumentData, window: Window) -> bool:
    """Whether something in the memory comes from after the first instant at which the run uses it."""
    return _instant(data, window.warmup_first) < snapshot.last_available_at


def _instant(data: InstrumentData, index: int) -> datetime:
    from varve.market.calendars import get_calendar

    decided: datetime = get_calendar(data.instrument.calendar).decision_at(data.bars.session(index))
    return decided


def memory_entry(snapshot: Snapshot | None, data: InstrumentData, window: Window) -> MemoryEntry | None:
    """Return what ``run.json`` says of the memory that a run begins with; None where it begins with none."""
    if snapshot is None:
        return None
    return MemoryEntry(
        snapshot=snapshot.id,
        memories={name: len(image.rows) for name, image in snapshot.images.items()},
        last_available_at=iso(snapshot.last_available_at),
        from_the_future=knows_future(snapshot, data, window),
        synthetic=snapshot.synthetic,
        embedder=snapshot.embedder,
        source=dict(snapshot.source),
    )


def memory_sentences(run: RunRecord) -> tuple[str, list[str]]:
    """What table and report say of it: a plain sentence (empty without a snapshot), and warnings."""
    entry = run.memory
    if entry is None:
        return "", []
    until = entry.last_available_at[:10]
    plain = (
        f"It begins with memory {entry.snapshot[:12]}: {sum(entry.memories.values()):,} memories, "
        f"known until {until}, of run {entry.source.get('run_id', 'unknown')}."
    )
    warnings = []
    if entry.from_the_future:
        warnings.append(
            f"This run began with a memory that knows its future, until {until} (--allow-future-memory). "
            "An ablation, not a result."
        )
    if entry.synthetic and not run.synthetic:
        warnings.append("The memory that this run began with was made on synthetic data.")
    return plain, warnings
