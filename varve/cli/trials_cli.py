"""``backtest compare`` and the commands of ``backtest trials``; light on import, as the whole line is."""

from __future__ import annotations

from typing import Annotated

import typer

trials_app = typer.Typer(
    help="Every run ever started here, failed and deleted ones too.", no_args_is_help=True
)


@trials_app.command("list")
def trials_list(
    ticker: Annotated[str | None, typer.Option(help="Only what was tried on this ticker.")] = None,
) -> None:
    """List what was tried, and how many settings by ticker."""
    from varve.cli.trials import print_list

    print_list(ticker)


@trials_app.command("rebuild")
def trials_rebuild() -> None:
    """Make a damaged or missing registry anew from what is left, and say what cannot be known."""
    from varve.cli.trials import rebuild

    rebuild()


def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Runs: each an id, the start of one, its folder, or: latest")
    ],
    json_: Annotated[
        bool, typer.Option("--json", help="Print the comparison as JSON and nothing else.")
    ] = False,
) -> None:
    """Compare runs, seeds and tickers, with intervals, and say what cannot be concluded."""
    from varve.cli.compare_command import run_compare

    run_compare(runs, as_json=json_)
