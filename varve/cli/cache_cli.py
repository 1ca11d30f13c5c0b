"""The commands of ``backtest cache``; light on import, as the whole command line is."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

cache_app = typer.Typer(help="The replies of language models, kept between runs.", no_args_is_help=True)


@cache_app.command("stats")
def cache_stats() -> None:
    """Replies and tokens kept, by model."""
    from varve.cli.cache import print_stats

    print_stats()


@cache_app.command("prune")
def cache_prune(
    model: Annotated[str | None, typer.Option(help="Of this model, as in: backtest cache stats")] = None,
    before: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All replies.")] = False,
) -> None:
    """Delete replies of a model, or made before a day, or all."""
    from varve.cli.cache import prune

    prune(model=model, before=None if before is None else before.date(), everything=everything)


@cache_app.command("export")
def cache_export(
    file: Annotated[Path, typer.Argument(help="The file to write: JSON lines.")],
    run: Annotated[str | None, typer.Option(help="Only the replies that this run used.")] = None,
) -> None:
    """Write the replies to a file, to publish or to move them."""
    from varve.cli.cache import export

    export(file, run)


@cache_app.command("import")
def cache_import(file: Annotated[Path, typer.Argument(help="Made by: backtest cache export")]) -> None:
    """Add an exported file's replies to the cache; what is there stays."""
    from varve.cli.cache import import_file

    import_file(file)
