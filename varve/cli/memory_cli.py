"""The commands of ``backtest memory``; light on import, as the whole command line is."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

memory_app = typer.Typer(help="What the agent of a run remembered, and when.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(help="A run's id, the start of one, its folder, or: latest")]
At = Annotated[
    datetime | None,
    typer.Option(
        "--at", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="After this session; else after the last."
    ),
]


@memory_app.command("show")
def memory_show(
    run: Run,
    at: At = None,
    tier: Annotated[str | None, typer.Option(help="short, mid, long or reflection.")] = None,
    query: Annotated[str | None, typer.Option(help="Rank by the whole score for this question.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of each tier.")] = 5,
) -> None:
    """Print what was remembered after a session: age, importance, tiers, citations, how they paid."""
    from varve.cli.memory import show

    show(run, at=None if at is None else at.date(), tier=tier, query=query, top=top)


@memory_app.command("timeline")
def memory_timeline(run: Run) -> None:
    """Print the tiers month by month: sizes, promotions, purges, hit rate; and draw them."""
    from varve.cli.memory import print_timeline

    print_timeline(run)


@memory_app.command("export")
def memory_export(
    run: Run, file: Annotated[Path, typer.Argument(help="The file to write, FILE.parquet.")], at: At = None
) -> None:
    """Write what a run remembered after a session to a file: to begin other runs with, or to share."""
    from varve.cli.memory import export

    export(run, file, at=None if at is None else at.date())


@memory_app.command("import")
def memory_import(file: Annotated[Path, typer.Argument(help="Made by: backtest memory export")]) -> None:
    """Check an exported memory and keep it, so that runs can begin with it by its id."""
    from varve.cli.memory import import_file

    import_file(file)


@memory_app.command("rebuild")
def memory_rebuild(run: Run) -> None:
    """Make a run's store of memories anew from its journal, whatever is left of the old one."""
    from varve.cli.memory import rebuild

    rebuild(run)
