"""``backtest rescore``: a run's decisions looked at again. Heavy packages are imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON and nothing else.")]


def rescore(
    run: Annotated[str, typer.Argument(help="A run's id, the start of one, its folder, or: latest")],
    rules: Annotated[
        list[str] | None,
        typer.Option(help="finmem-paper, finagent-paper or varve; all when left out. May be given again."),
    ] = None,
    json_: Json = False,
) -> None:
    """Score a run's recorded decisions by the papers' rules and by realistic ones, side by side."""
    from varve.backtests.rescore_command import run_rescore

    run_rescore(run, rules or (), as_json_=json_)
