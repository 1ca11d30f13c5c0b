"""The command ``backtest sweep``; light on import, as the whole command line is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sweep(
    file: Annotated[Path, typer.Argument(help="A TOML file: [run], [vary] and [[group]].")],
    again: Annotated[bool, typer.Option("--again", help="Start every run anew, also finished ones.")] = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Take replies from the reply cache, and keep new ones.")
    ] = True,
    json_: Annotated[bool, typer.Option("--json", help="Print runs and comparison as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the paths of the reports alone.")] = False,
) -> None:
    """Run every combination in a file, all at once; begun again, it goes on with what is not finished."""
    from varve.cli.sweep import run_sweep_file

    code = run_sweep_file(file, again=again, use_cache=cache, as_json=json_, quiet=quiet)
    if code:
        raise typer.Exit(code)
