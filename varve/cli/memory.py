"""``backtest memory``: what a run remembered on a day, its tiers over time, and its store made anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from varve.cli.options import RunName, day_of
from varve.cli.screen import say
from varve.errors import IntegrityError, StorageError, UsageError
from varve.files import replace_file

if TYPE_CHECKING:
    from rich.table import Table

    from varve.backtests.record.folder import RunFolder
    from varve.cli.screen import Screen
    from varve.memory.disk.snapshot import Snapshot
    from varve.memory.embed.base import Embedder
    from varve.memory.history import Life, Tally, Told
    from varve.memory.state.records import Recalled

memory_app = typer.Typer(help="What the agent of a run remembered, and when.", no_args_is_help=True)

At = Annotated[
    datetime | None,
    typer.Option(
        "--at", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="After this session; else after the last."
    ),
]

_WIDE = 70
"""Columns from which a terminal has room for every figure of a row."""


@memory_app.command("show")
def memory_show(
    run: RunName,
    at: At = None,
    tier: Annotated[str | None, typer.Option(help="short, mid, long or reflection.")] = None,
    query: Annotated[str | None, typer.Option(help="Rank by the whole score for this question.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of each tier.")] = 5,
) -> None:
    """Print what was remembered after a session: age, importance, tiers, citations, how they paid."""
    from varve.backtests.record.lookup import find_run
    from varve.backtests.record.memories import remembered, told_of_run, until
    from varve.cli.screen import Screen
    from varve.memory.history import are_several, lives, names
    from varve.memory.state.validation import check_tiers

    folder = find_run(run)
    tiers = check_tiers(tier)
    told = until(told_of_run(folder), day_of(at))
    console, found = Screen(), lives(told)
    several = are_several(told)
    for name in names(told):
        rest = {} if query is None else {"embedder": _embedder(folder, name)}
        memory = remembered(folder, told, name, **rest)
        now = told[-1].at
        # By the whole score as a recall of that instant would have it, or by recency and importance.
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
    from varve.cli.screen import Screen
    from varve.memory.disk.stored_vectors import with_stored
    from varve.memory.embed.base import get_embedder

    manifest = folder.read()
    plain = get_embedder(manifest.config.embedder)
    if not folder.memory.is_dir():
        return plain
    try:
        return with_stored(plain, folder.memory, manifest.run_id, name)
    except (StorageError, IntegrityError, UsageError) as error:
        Screen(stderr=True).print(
            f"note: {error.message}; texts are embedded again; {error.mend}", soft_wrap=True
        )
        return plain


def _print_heading(console: Screen, folder: RunFolder, told: Sequence[Told], name: str, live: int) -> None:
    manifest = folder.read()
    style = "bold yellow" if manifest.synthetic else "bold"
    console.print(manifest.data_label, style=style)
    what = f"memory {name} of run" if name else "memory of run"
    console.print(
        f"{what} {folder.run_id} after session {told[-1].session} "
        f"(decided {told[-1].at:%Y-%m-%d %H:%M} UTC): {live:,} memories"
    )


def _print_tier(
    console: Screen, tier: str, rows: Sequence[tuple[Recalled, Life]], *, total: int, scored: bool
) -> None:
    first = f"the first {len(rows)} of {total:,}" if len(rows) < total else f"{total:,}"
    from varve.cli.screen import styled

    console.print()
    console.print(styled((tier, "bold"), f" · {first}"))
    if not rows:
        return
    from varve.backtests.report.cited_memories import paid

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


def _line(console: Screen, text: str, *, dim: bool = False) -> None:
    """One line, cut to the terminal."""
    console.print(text, style="dim" if dim else None, no_wrap=True, overflow="ellipsis")


def path(life: Life) -> str:
    """The tiers that a memory went through, each move with its day."""
    first, *moves = life.path
    return " ".join([first.tier, *(f"→ {move.tier} {move.at:%Y-%m-%d}" for move in moves)])


@memory_app.command("timeline")
def memory_timeline(run: RunName) -> None:
    """Print the tiers month by month: sizes, promotions, purges, hit rate; and draw them."""
    from varve.backtests.record.lookup import find_run
    from varve.backtests.record.memories import told_of_run
    from varve.backtests.report.memory_chart import draw_timelines
    from varve.cli.screen import Screen
    from varve.memory.history import by_month, names, timeline

    folder = find_run(run)
    told = told_of_run(folder)
    console, manifest = Screen(), folder.read()
    console.print(manifest.data_label, style="bold yellow" if manifest.synthetic else "bold")
    for name in names(told):
        console.print(f"memory {name} of run {folder.run_id}")
        days = timeline(told, name)
        console.print(_months(by_month(days), wide=console.width >= _WIDE))
        unjudged = sum(day.unjudged for day in days)
        if unjudged:
            of = sum(day.stored for day in days)
            console.print(f"{unjudged:,} of {of:,} memories got the constant importance: no usable reply")
    for name, image in draw_timelines(told, synthetic=manifest.synthetic).items():
        file = folder.path / f"{name}.png"
        replace_file(file, image)
        console.print(f"chart: {file}", soft_wrap=True)


def _months(months: Sequence[Tally], *, wide: bool) -> Table:
    """Sizes at the month's end; what was stored, promoted, demoted and purged, and the hit rate, in it."""
    from rich.table import Table

    from varve.backtests.report.metric_rows import ABSENT

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


@memory_app.command("rebuild")
def memory_rebuild(run: RunName) -> None:
    """Make a run's store of memories anew from its journal, whatever is left of the old one."""
    from varve.backtests.record.lookup import find_run
    from varve.backtests.record.memories import remembered, told_of_run
    from varve.backtests.record.writer_lock import sole_writer
    from varve.files import remove_tree
    from varve.memory.history import names

    folder = find_run(run)
    with sole_writer(folder):
        told = told_of_run(folder)
        new = folder.path / "memory.new"
        remove_tree(new)
        counts = {}
        try:
            for name in names(told):
                memory = remembered(folder, told, name, folder=new)
                counts[name] = len(memory)
                memory.close()
            remove_tree(folder.memory)
            new.rename(folder.memory)
        finally:
            remove_tree(new)
    for name, count in counts.items():
        say(f"rebuilt memory {name} of run {folder.run_id} from its journal: {count:,} memories")


@memory_app.command("export")
def memory_export(
    run: RunName,
    file: Annotated[Path, typer.Argument(help="The file to write, FILE.parquet.")],
    at: At = None,
) -> None:
    """Write what a run remembered after a session to a file: to begin other runs with, or to share."""
    from varve.backtests.record.lookup import find_run
    from varve.backtests.record.memories import remembered, told_of_run, until
    from varve.memory.disk.snapshot import take_snapshot, write_snapshot
    from varve.memory.history import names

    if file.suffix != ".parquet":
        raise UsageError(f"{file} has the ending {file.suffix!r}", mend=f"name it {file.stem}.parquet")
    folder = find_run(run)
    told = until(told_of_run(folder), day_of(at))
    manifest = folder.read()
    source = {
        "run_id": manifest.run_id,
        "ticker": manifest.config.ticker,
        "embedder": manifest.config.embedder,
        "data": manifest.data_label,
    }
    synthetic = manifest.synthetic or (manifest.memory is not None and manifest.memory.synthetic)
    memories = [remembered(folder, told, name) for name in names(told)]
    images = [memory.image() for memory in memories]
    embedder = memories[0].embedder
    snapshot = take_snapshot(images, embedder, told[-1].at, synthetic=synthetic, source=source)
    write_snapshot(file, snapshot)
    say(f"wrote {_told(snapshot)}")
    say(f"begin a later run with it: backtest run --memory {file}")


@memory_app.command("import")
def memory_import(file: Annotated[Path, typer.Argument(help="Made by: backtest memory export")]) -> None:
    """Check an exported memory and keep it, so that runs can begin with it by its id."""
    from varve.backtests.simulate.starting_memory import import_snapshot

    snapshot = import_snapshot(file)
    say(f"kept {_told(snapshot)}")
    say(f"begin a later run with it: backtest run --memory {snapshot.id[:12]}")


def _told(snapshot: Snapshot) -> str:
    from varve.clock import iso

    of = f" of run {snapshot.source['run_id']}" if "run_id" in snapshot.source else ""
    return (
        f"memory {snapshot.id[:12]}{of}: {len(snapshot):,} memories, "
        f"known until {iso(snapshot.last_available_at)}"
    )
