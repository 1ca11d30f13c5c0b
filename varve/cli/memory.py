"""``backtest memory``: what a run remembered on a day, its tiers over time, and its store made anew."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from varve.backtests.record.folder import RunFolder, find_run
from varve.backtests.record.memories import remembered, told_of_run, until
from varve.backtests.record.writer_lock import sole_writer
from varve.backtests.report.cited_memories import paid
from varve.backtests.report.metric_rows import ABSENT
from varve.clock import iso
from varve.errors import IntegrityError, StorageError, UsageError
from varve.memory.history import Life, Tally, Told, are_several, by_month, lives, names, timeline
from varve.memory.state.validation import check_tiers

if TYPE_CHECKING:
    from varve.memory.disk.snapshot import Snapshot
    from varve.memory.embed.base import Embedder
    from varve.memory.state.records import Recalled

_WIDE = 70
"""Columns from which a terminal has room for every figure of a row."""


def show(run: str, *, at: date | None, tier: str | None, query: str | None, top: int) -> None:
    """Print what was remembered after the session ``at``, or after the last.

    With a ``query``, by the whole score, as a recall of that instant would have it; the vectors are
    read from the store where that can be read. Without one, by recency and importance.

    Raises:
        VarveError: if there is no such run, tier or day, or the run has no memory.
    """
    folder = find_run(run)
    tiers = check_tiers(tier)
    told = until(told_of_run(folder), at)
    console, found = Console(highlight=False), lives(told)
    several = are_several(told)
    for name in names(told):
        rest = {} if query is None else {"embedder": _embedder(folder, name)}
        memory = remembered(folder, told, name, **rest)
        now = told[-1].at
        hits = (
            memory.overview(now, tiers)
            if query is None
            else memory.recall(query, now, len(memory) + 1, tiers)
        )
        _print_heading(console, folder, told, name if several else "", len(memory))
        for each, recalled in hits.items():
            prefix = f"{name}/" if several else ""
            rows = [(hit, found[prefix + hit.id]) for hit in recalled[:top]]
            _print_tier(console, each, rows, total=len(recalled), scored=query is not None)


def _embedder(folder: RunFolder, name: str) -> Embedder:
    from varve.memory.disk.stored_vectors import with_stored
    from varve.memory.embed.base import get_embedder

    recorded = folder.read()
    plain = get_embedder(recorded.config.embedder)
    if not folder.memory.is_dir():
        return plain
    try:
        return with_stored(plain, folder.memory, recorded.run_id, name)
    except (StorageError, IntegrityError, UsageError) as error:
        print(f"note: {error.message}; texts are embedded again\n  → {error.mend}", file=sys.stderr)
        return plain


def _print_heading(console: Console, folder: RunFolder, told: Sequence[Told], name: str, live: int) -> None:
    recorded = folder.read()
    style = "bold yellow" if recorded.synthetic else "bold"
    console.print(recorded.data_label, style=style)
    what = f"memory {name} of run" if name else "memory of run"
    console.print(
        f"{what} {folder.run_id} after session {told[-1].session} "
        f"(decided {told[-1].at:%Y-%m-%d %H:%M} UTC): {live:,} memories"
    )


def _print_tier(
    console: Console, tier: str, rows: Sequence[tuple[Recalled, Life]], *, total: int, scored: bool
) -> None:
    first = f"the first {len(rows)} of {total:,}" if len(rows) < total else f"{total:,}"
    console.print(f"\n[bold]{tier}[/bold] · {first}")
    if not rows:
        return
    wide = console.width >= _WIDE
    score = " score" if scored else ""
    header = f"{'id':<7}  rec. imp.{score} {'cited':>9} {'paid':>7}"
    _line(console, header + ("  tiers" if wide else ""), dim=True)
    for hit, life in rows:
        score = f" {hit.score:5.2f}" if scored else ""
        cited = f"{life.cited} of {life.recalled}"
        figures = f"{hit.id:<7}  {hit.recency:4.2f} {hit.importance:4.0f}{score} {cited:>9} {paid(life):>7}"
        text = f"{life.available_at:%Y-%m-%d} {' '.join(life.text.split())}"
        if wide:
            _line(console, f"{figures}  {path(life)}")
        else:
            _line(console, figures)
            _line(console, f"  {path(life)}")
        _line(console, f"  {text}", dim=True)


def _line(console: Console, text: str, *, dim: bool = False) -> None:
    """One line, cut to the terminal."""
    console.print(text, style="dim" if dim else None, no_wrap=True, overflow="ellipsis", markup=False)


def path(life: Life) -> str:
    """The tiers that a memory went through, each move with its day."""
    first, *moves = life.path
    return " ".join([first.tier, *(f"→ {move.tier} {move.at:%Y-%m-%d}" for move in moves)])


def print_timeline(run: str) -> None:
    """Print a line a month, and draw the chart into the run's folder.

    Raises:
        VarveError: if there is no such run, it has no memory, or its folder cannot be written.
    """
    from varve.backtests.report.memory_chart import draw_timelines

    folder = find_run(run)
    told = told_of_run(folder)
    console, recorded = Console(highlight=False), folder.read()
    console.print(recorded.data_label, style="bold yellow" if recorded.synthetic else "bold")
    for name in names(told):
        console.print(f"memory {name} of run {folder.run_id}")
        days = timeline(told, name)
        console.print(_months(by_month(days), wide=console.width >= _WIDE))
        unjudged = sum(day.unjudged for day in days)
        if unjudged:
            of = sum(day.stored for day in days)
            console.print(f"{unjudged:,} of {of:,} memories got the constant importance: no usable reply")
    for name, image in draw_timelines(told, synthetic=recorded.synthetic).items():
        file = folder.path / f"{name}.png"
        try:
            file.write_bytes(image)
        except OSError as error:
            raise StorageError(f"{file} cannot be written: {error}", mend="copy the run elsewhere") from error
        console.print(f"chart: {file}", soft_wrap=True)


def _months(months: Sequence[Tally], *, wide: bool) -> Table:
    """Sizes at the month's end; what was stored, promoted, demoted and purged, and the hit rate, in it."""
    table = Table(show_edge=False, pad_edge=False, header_style="bold", box=None, padding=(0, 1, 0, 0))
    columns = {"month": [f"{m.session:%Y-%m}" for m in months]}
    for tier, label in (("short", "short"), ("mid", "mid"), ("long", "long"), ("reflection", "refl.")):
        columns[label] = [f"{m.sizes.get(tier, 0):,}" for m in months]
    if wide:
        columns["new"] = [f"{m.stored:,}" for m in months]
    columns["up"] = [f"{m.promoted:,}" for m in months]
    columns["down"] = [f"{m.demoted:,}" for m in months]
    columns["purged"] = [f"{m.purged:,}" for m in months]
    if wide:
        columns["recalled"] = [f"{m.recalled:,}" for m in months]
        columns["cited"] = [f"{m.cited:,}" for m in months]
    columns["hits"] = [ABSENT if m.hit_rate is None else f"{100 * m.hit_rate:.0f} %" for m in months]
    for name in columns:
        table.add_column(name, justify="left" if name == "month" else "right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def rebuild(run: str) -> None:
    """Make the store of a run's memories anew from its journal; the old one is dropped when that is done.

    Raises:
        VarveError: if the run has no memory, another process writes to it, or the disk is full.
    """
    folder = find_run(run)
    with sole_writer(folder):
        told = told_of_run(folder)
        new = folder.path / "memory.new"
        _drop(new)
        counts = {}
        try:
            for name in names(told):
                memory = remembered(folder, told, name, folder=new)
                counts[name] = len(memory)
                memory.close()
            _drop(folder.memory)
            new.rename(folder.memory)
        finally:
            _drop(new)
    for name, count in counts.items():
        print(f"rebuilt memory {name} of run {folder.run_id} from its journal: {count:,} memories")


def _drop(path: Path) -> None:
    try:
        if path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be removed: {error}", mend="see that the run's folder can be written"
        ) from error


def export(run: str, file: Path, *, at: date | None) -> None:
    """Write what a run remembered after the session ``at``, or after the last, as a snapshot.

    Raises:
        VarveError: if there is no such run or day, the run has no memory, or the file cannot be written.
    """
    from varve.memory.disk.snapshot import take_snapshot, write_snapshot

    if file.suffix != ".parquet":
        raise UsageError(f"{file} has the ending {file.suffix!r}", mend=f"name it {file.stem}.parquet")
    folder = find_run(run)
    told = until(told_of_run(folder), at)
    recorded = folder.read()
    source = {
        "run_id": recorded.run_id,
        "ticker": recorded.config.ticker,
        "embedder": recorded.config.embedder,
        "data": recorded.data_label,
    }
    synthetic = recorded.synthetic or (recorded.memory is not None and recorded.memory.synthetic)
    memories = [remembered(folder, told, name) for name in names(told)]
    images = [memory.image() for memory in memories]
    embedder = memories[0].embedder
    snapshot = take_snapshot(images, embedder, told[-1].at, synthetic=synthetic, source=source)
    write_snapshot(file, snapshot)
    print(f"wrote {_told(snapshot)}")
    print(f"begin a later run with it: backtest run --memory {file}")


def import_file(file: Path) -> None:
    """Check a snapshot and keep it under its id."""
    from varve.backtests.simulate.starting_memory import import_snapshot

    snapshot = import_snapshot(file)
    print(f"kept {_told(snapshot)}")
    print(f"begin a later run with it: backtest run --memory {snapshot.id[:12]}")


def _told(snapshot: Snapshot) -> str:
    of = f" of run {snapshot.source['run_id']}" if "run_id" in snapshot.source else ""
    return (
        f"memory {snapshot.id[:12]}{of}: {len(snapshot):,} memories, "
        f"known until {iso(snapshot.last_available_at)}"
    )
