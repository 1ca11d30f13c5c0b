"""The ``backtest`` command. Heavy packages are imported inside the commands that need them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from varve.cli.cache_cli import cache_app
from varve.cli.llm_cli import llm_app
from varve.cli.memory_cli import memory_app
from varve.cli.options import day_of, merged_values, pairs_of, run_config, settings_of
from varve.cli.study_cli import ablate, rescore
from varve.cli.sweep_cli import sweep
from varve.cli.trials_cli import compare, trials_app
from varve.errors import VarveError

if TYPE_CHECKING:
    from varve.backtests.record.folder import RunFolder

app = typer.Typer(
    name="backtest",
    help="Backtest language-model trading agents. A first run: backtest run --agent finmem --ticker TSLA",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Import, pull and look at stored prices and news.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(cache_app, name="cache")
app.add_typer(llm_app, name="llm")
app.add_typer(memory_app, name="memory")
app.command()(rescore)
app.command()(ablate)
app.add_typer(trials_app, name="trials")
app.command()(compare)
app.command()(sweep)

LISTED = ("agents", "strategies", "llms", "embedders", "sources")

Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")]
Json = Annotated[bool, typer.Option("--json", help="Print the metrics as JSON and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the path of the report and nothing else.")]


def main() -> None:
    """Entry point: expected failures end with one message and the exit code of their kind."""
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments)
    except VarveError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted; every finished step is kept", file=sys.stderr)
        sys.exit(130)


def _print_version(wanted: bool) -> None:
    if wanted:
        import varve

        print(f"varve {varve.__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (anywhere on the line).")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before the command; main() has read ``--debug`` already."""


@app.command()
def run(
    agent: Annotated[str | None, typer.Option(help="An agent or strategy; see: backtest list agents")] = None,
    ticker: Annotated[str | None, typer.Option(help="What to trade, for example TSLA.")] = None,
    start: Day = None,
    end: Day = None,
    warmup_start: Day = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="risk_seeking, risk_averse or self_adaptive (finmem); "
            "aggressive, neutral or conservative (finagent)."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="Switch a part off (finagent): intelligence, low_reflection, high_reflection, tools, "
            "guidance or vision. May be given again.",
        ),
    ] = None,
    llm: Annotated[
        str | None, typer.Option(help="auto, nano, scripted, hf:FOLDER[+ADAPTER], or openai:MODEL@BASE_URL.")
    ] = None,
    decide: Annotated[
        str | None, typer.Option(help="generate, or score: weigh the actions (models of this process).")
    ] = None,
    abstain_below: Annotated[
        int | None, typer.Option(help="Percent that the likeliest action needs in score mode.")
    ] = None,
    abstain_as: Annotated[str | None, typer.Option(help="What an abstention becomes: HOLD or FLAT.")] = None,
    embedder: Annotated[str | None, typer.Option(help="See: backtest list embedders")] = None,
    data: Annotated[
        str | None, typer.Option(help="auto, store or sample; auto takes stored data where it has some.")
    ] = None,
    world: Annotated[str | None, typer.Option(help="Sample world: default, noise or planted.")] = None,
    world_seed: Annotated[int | None, typer.Option(help="Seed of the sample world.")] = None,
    news: Annotated[bool | None, typer.Option("--news/--no-news", help="Show news and filings.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the agent's own randomness.")] = None,
    sizer: Annotated[str | None, typer.Option(help="all_in, fraction or finmem_unit.")] = None,
    costs: Annotated[str | None, typer.Option(help="retail or zero.")] = None,
    cash: Annotated[float | None, typer.Option(help="Initial cash in the instrument's currency.")] = None,
    fill: Annotated[str | None, typer.Option(help="auto, or same_close (an ablation that cheats).")] = None,
    horizon: Annotated[int | None, typer.Option(help="Sessions until an outcome is known.")] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="FILE|ID", help="Begin with this memory; see: backtest memory export"),
    ] = None,
    allow_future_memory: Annotated[
        bool | None,
        typer.Option(
            "--allow-future-memory", help="Even if it knows the run's future (an ablation that cheats)."
        ),
    ] = None,
    after_cutoff: Annotated[
        bool | None,
        typer.Option("--after-cutoff", help="Start behind what the model can know; see: backtest llm models"),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the agent's own.")
    ] = None,
    tune: Annotated[
        bool | None,
        typer.Option("--tune", help="Choose a strategy's other settings by a search on the warm-up."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings; options win over it.")] = None,
    bundle: Annotated[
        bool, typer.Option("--bundle/--no-bundle", help="Keep the facts that were seen in the run folder.")
    ] = True,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Take replies from the reply cache, and keep new ones.")
    ] = True,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run one backtest and write its report."""
    from varve.cli import terminal as console

    given = {
        "agent": agent, "ticker": ticker, "start": day_of(start), "end": day_of(end),
        "warmup_start": day_of(warmup_start), "llm": llm, "decide": decide,
        "abstain_below": abstain_below, "abstain_as": abstain_as,
        "embedder": embedder, "data": data, "world": world,
        "world_seed": world_seed, "news": news, "seed": seed, "sizer": sizer, "costs": costs,
        "initial_cash": cash, "fill": fill, "horizon_sessions": horizon,
        "memory": memory, "allow_future_memory": allow_future_memory, "after_cutoff": after_cutoff,
        "tune": tune,
    }  # fmt: skip
    settings = settings_of(setting or [], profile=profile, without=without)
    start_it = _start_of_run(config, given, settings, resume=resume, bundle=bundle, cache=cache)
    if json_ or quiet:
        folder = start_it()
    else:
        with console.RunProgress() as progress:
            folder = start_it(on_start=progress.on_start, on_step=progress.on_step)
    console.print_result(folder, as_json=json_, quiet=quiet)


def _start_of_run(
    file: Path | None,
    options: dict[str, Any],
    settings: dict[str, Any],
    *,
    resume: str | None,
    bundle: bool,
    cache: bool,
) -> Callable[..., RunFolder]:
    """A new run, or an old one to go on with."""
    given = {name: value for name, value in options.items() if value is not None}
    if resume is None:
        from varve.backtests.runner import run_backtest
        from varve.cli import terminal as console

        built = run_config(file, given, settings)
        console.offer_unfinished(built)
        return partial(run_backtest, built, bundle=bundle, use_cache=cache)
    from varve.backtests.record.folder import find_run
    from varve.backtests.resume import resume_run

    merged = merged_values(file, given, settings)
    return partial(resume_run, find_run(resume), given=merged, use_cache=cache)


@app.command()
def replay(
    run: Annotated[str, typer.Argument(help="A run's id, the start of one, its folder, or: latest")],
    json_: Json = False,
) -> None:
    """Do a run again with its recorded replies, and find every step and the run digest the same."""
    from varve.backtests.integrity.replay import replay_run
    from varve.backtests.record.folder import find_run
    from varve.cli import terminal as console

    folder = find_run(run)
    if json_:
        replayed = replay_run(folder)
    else:
        with console.RunProgress() as progress:
            replayed = replay_run(folder, on_start=progress.on_start, on_step=progress.on_step)
    console.print_replayed(folder, replayed, as_json=json_)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="A run's id, the start of one, its folder, or: latest")],
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build a run's metrics, charts and report again from its journal, and print the table."""
    from varve.backtests.derive import derive
    from varve.backtests.record.folder import find_run
    from varve.cli import terminal as console

    folder = find_run(run)
    derive(folder)
    console.print_result(folder, as_json=json_, quiet=quiet)


@app.command()
def audit(
    run: Annotated[str, typer.Argument(help="A run's id, the start of one, its folder, or: latest")],
    seeds: Annotated[
        int, typer.Option(help="Seeds of the noise and planted worlds, 120 decisions each; 0: without them.")
    ] = 20,
    json_: Json = False,
) -> None:
    """Put a run to the tests that a believable one passes; the card goes into its report."""
    from varve.cli.audit_command import run_audit

    run_audit(run, seeds=seeds, as_json=json_)


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help=", ".join(LISTED))]) -> None:
    """List what is registered: agents, strategies, llms, embedders or sources."""
    from varve import registry
    from varve.errors import UnknownNameError

    if what not in LISTED:
        raise UnknownNameError("list", what, LISTED)
    for name in registry.names(what):
        summary = (registry.load(what, name).__doc__ or "").strip().split("\n")[0]
        print(f"{name:<16} {summary}")


@data_app.command("import")
def data_import(
    file: Annotated[Path, typer.Argument(help="A CSV of prices, or INVESTOR-BENCH JSON.")],
    ticker: Annotated[str, typer.Option(help="The name to store it under.")],
    source: Annotated[str | None, typer.Option(help="Told by the file when left out.")] = None,
    calendar: Annotated[str | None, typer.Option(help="XNYS or 24/7; guessed when left out.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="CSV column mapping, for example close='Adj Close'."),
    ] = None,
) -> None:
    """Check a file of prices (and news) and store it; nothing is stored if anything is wrong."""
    from varve.cli.data import import_file

    import_file(file, ticker, source=source, calendar=calendar, columns=pairs_of(column or [], "--column"))


@data_app.command("pull")
def data_pull(
    ticker: Annotated[str, typer.Argument(help="For example TSLA.")],
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")],
    end: Day = None,
    source: Annotated[str, typer.Option(help="A source that pulls over the network.")] = "yahoo",
) -> None:
    """Pull prices, events and news over the network and store them."""
    from varve.cli.data import pull

    pull(ticker, source=source, start=start.date(), end=day_of(end))


@data_app.command("list")
def data_list() -> None:
    """List stored tickers and the sample worlds."""
    from varve.cli.data import print_list

    print_list()


@data_app.command("show")
def data_show(ticker: Annotated[str, typer.Argument(help="A stored or sample ticker.")]) -> None:
    """Show what is stored of a ticker: span, source, adjustment, fill rule, gaps, documents."""
    from varve.cli.data import print_ticker

    print_ticker(ticker)


if __name__ == "__main__":
    main()
