"""``backtest rescore`` and ``backtest ablate``. Heavy packages are imported when they run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from varve.cli.options import day_of, run_config, settings_of

Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")]
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
    from varve.cli.rescore_command import run_rescore

    run_rescore(run, rules or (), as_json_=json_)


def ablate(
    agent: Annotated[str | None, typer.Option(help="An agent with layered memory, such as finmem.")] = None,
    ticker: Annotated[str | None, typer.Option(help="What to trade, for example TSLA.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each variant.")] = 5,
    start: Day = None,
    end: Day = None,
    warmup_start: Day = None,
    llm: Annotated[str | None, typer.Option(help="scripted, or as in: backtest run")] = None,
    world: Annotated[str | None, typer.Option(help="Sample world: default, noise or planted.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the agent's own.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of a run's settings; options win over it.")
    ] = None,
    json_: Json = False,
) -> None:
    """Run an agent with a worse memory in each of several ways, and say what its memory is worth."""
    from varve.cli.ablate_command import run_ablation

    options = {
        "agent": agent, "ticker": ticker, "start": day_of(start), "end": day_of(end),
        "warmup_start": day_of(warmup_start), "llm": llm, "world": world,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    run_ablation(run_config(config, given, settings_of(setting or [])), seeds=seeds, as_json=json_)
