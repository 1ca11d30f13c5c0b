"""``backtest compare``, ``rescore``, ``ablate`` and ``audit``: what runs that were made are worth."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from varve.cli.options import (
    ConfigFile,
    Json,
    Output,
    Profile,
    RunName,
    SendKeyTo,
    Set,
    Without,
    output_of,
    run_config,
    run_values,
    takes_settings,
)
from varve.cli.screen import say_json
from varve.errors import IntegrityError

if TYPE_CHECKING:
    from rich.table import Table

    from varve.backtests.record.cards import Check
    from varve.backtests.results.sharpe import Estimate
    from varve.backtests.studies.ablation import Ablation, Compared, Daily
    from varve.backtests.studies.compare.comparison import Comparison
    from varve.backtests.studies.rescore.rescore import Rescored

_MARKS = {True: ("pass", "bold green"), False: ("FAIL", "bold red"), None: ("  – ", "dim")}


def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Runs: each an id, the start of one, its folder, or: latest")
    ],
    json_: Json = False,
) -> None:
    """Compare runs, seeds and tickers, with intervals, and say what cannot be concluded."""
    from varve.backtests.record.lookup import find_run
    from varve.backtests.studies.compare import comparison
    from varve.backtests.studies.compare.entrants import read_entrant
    from varve.backtests.studies.compare.sentences import conclusions

    folders = [find_run(name) for name in runs]
    found = comparison.compare([read_entrant(folder) for folder in folders])
    if output_of(json_) is Output.JSON:
        say_json(found.json(conclusions(found)))
    else:
        print_comparison(found)


def print_comparison(found: Comparison) -> None:
    """Print a comparison no wider than the terminal."""
    from rich.table import Table

    from varve.backtests.studies.compare.sentences import conclusions
    from varve.backtests.studies.compare.table import blocks
    from varve.cli.screen import Screen

    console = Screen()
    if found.synthetic:
        console.print("SYNTHETIC: no real prices or news", style="bold yellow")
    console.print(f"{found.sessions[0]} to {found.sessions[-1]}, {len(found.sessions)} sessions, bar 0 flat")
    for run in found.runs:
        console.print(f"{run.key}  {run.name}")
        console.print(f"   {run.run_id}", style="dim", soft_wrap=True)
        if run.note:
            console.print(f"   {run.note}", style="bold red")
    for header, rows in blocks(found, console.width):
        table = Table(show_edge=False, pad_edge=False, header_style="bold")
        table.add_column(header[0], no_wrap=True)
        for name in header[1:]:
            table.add_column(name, justify="right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)
    console.print()
    for sentence in conclusions(found):
        console.print(f"• {sentence}")


def rescore(
    run: RunName,
    rules: Annotated[
        list[str] | None,
        typer.Option(help="finmem-paper, finagent-paper or varve; all when left out. May be given again."),
    ] = None,
    json_: Json = False,
) -> None:
    """Score a run's recorded decisions by the papers' rules and by realistic ones, side by side."""
    from varve.backtests.derive import derive
    from varve.backtests.record.lookup import find_run
    from varve.backtests.studies.rescore import rescore as scoring
    from varve.backtests.studies.rescore.page import PAGE_FILE, write_rescored
    from varve.backtests.studies.rescore.sentences import rescore_card

    folder = find_run(run)
    rescored = scoring.rescore(folder, rules or scoring.RULES)
    write_rescored(folder, rescored)
    if rescored.run_digest:
        # The run's report shows what lies beside it.
        derive(folder)
    if output_of(json_) is Output.JSON:
        say_json(rescore_card(rescored).as_json())
    else:
        _print_rescored(rescored, page=str(folder.path / PAGE_FILE))


def _print_rescored(rescored: Rescored, *, page: str) -> None:
    from varve.backtests.studies.rescore.sentences import sentences
    from varve.cli.screen import Screen

    console = Screen()
    console.print(rescored.label, style="bold yellow" if rescored.synthetic else "bold")
    console.print(_rescored_table(rescored))
    for sentence in sentences(rescored):
        console.print(sentence, style="italic")
    console.print(f"page: {page}", soft_wrap=True)


def _rescored_table(rescored: Rescored) -> Table:
    from rich.table import Table

    from varve.backtests.studies.rescore.sentences import table

    header, rows = table(rescored)
    shown = Table(show_edge=False, pad_edge=False, header_style="bold")
    shown.add_column(header[0], no_wrap=True)
    for name in header[1:]:
        shown.add_column(name, justify="right", overflow="fold")
    for i, row in enumerate(rows):
        if row.cells:
            shown.add_row(f"  {row.label}", *row.cells)
        else:
            if i:
                shown.add_section()
            shown.add_row(row.label, style="bold")
    return shown


@takes_settings("agent", "ticker", "start", "end", "warmup_start", "llm", "world")
def ablate(
    given: dict[str, Any],
    seeds: Annotated[int, typer.Option(help="Runs of each variant.")] = 5,
    profile: Profile = None,
    without: Without = None,
    setting: Set = None,
    config: ConfigFile = None,
    send_key_to: SendKeyTo = None,
    json_: Json = False,
) -> None:
    """Run an agent with a worse memory in each of several ways, and say what its memory is worth."""
    from varve.backtests.studies import ablation
    from varve.cli.screen import Screen, styled

    short = {"profile": profile, "without": without}
    values = run_values(config, given, setting, short, servers=send_key_to)
    with Screen(stderr=True).status("") as status:
        found = ablation.ablate(
            run_config(values),
            seeds=seeds,
            on_run=lambda variant, done, total: status.update(
                styled(f"run {done + 1} of {total}: {variant}")
            ),
        )
    if output_of(json_) is Output.JSON:
        say_json(_ablation_json(found))
    else:
        _print_ablation(found)


def _print_ablation(found: Ablation) -> None:
    from varve.backtests.studies.ablation import verdict
    from varve.cli.screen import Screen

    console = Screen()
    console.print(found.label, style="bold yellow" if found.synthetic else "bold")
    console.print(
        f"{found.agent} on {found.ticker}: full memory less each variant, {found.seeds} seeds, "
        f"{found.sessions} sessions each; in brackets 95 % intervals, p after Holm"
    )
    console.print(_ablation_table(found))
    console.print(verdict(found), style="italic")


def _ablation_json(found: Ablation) -> dict[str, Any]:
    """Everything as JSON values; NaN becomes null."""
    from varve.backtests.studies.ablation import verdict

    values = {**asdict(found), "verdict": verdict(found)}
    for row, compared in zip(values["compared"], found.compared, strict=True):
        row["sharpe"] = _finite(compared.sharpe._asdict())
        row["daily"] = _finite(compared.daily._asdict())
        row["stands_out"] = compared.stands_out
    return values


def _finite(values: dict[str, float | str]) -> dict[str, float | str | None]:
    return {name: value if value == value else None for name, value in values.items()}


def _ablation_table(found: Ablation) -> Table:
    from rich.table import Table

    shown = Table(show_edge=False, pad_edge=False, header_style="bold")
    shown.add_column("", no_wrap=True)
    for name in ("Sharpe", "p", "bps a session", "p", "same"):
        shown.add_column(name, justify="right")
    for row in found.compared:
        shown.add_row(*_cells(row, found.seeds), style="bold" if row.stands_out else None)
    return shown


def _cells(row: Compared, seeds: int) -> list[str]:
    same = f"{row.equal}/{seeds}"
    return [
        row.variant,
        *_told(row.sharpe, row.sharpe_p, ".2f"),
        *_told(row.daily, row.daily_p, ".1f"),
        same,
    ]


def _told(found: Estimate | Daily, p: float, form: str) -> list[str]:
    """A difference with its interval, and its p; where there is none, why."""
    from varve.backtests.results.metric import absent, probability_in_words
    from varve.backtests.studies.rescore.sentences import signed

    if found.why:
        return [absent(found.why), ""]
    interval = f"{signed(found.value, form)} [{signed(found.low, '.1f')}, {signed(found.high, '.1f')}]"
    return [interval, probability_in_words(p)]


def audit(
    run: RunName,
    seeds: Annotated[
        int, typer.Option(help="Seeds of the noise and planted worlds, 120 decisions each; 0: without them.")
    ] = 20,
    send_key_to: SendKeyTo = None,
    json_: Json = False,
) -> None:
    """Put a run to the tests that a believable one passes; the card goes into its report."""
    from varve.backtests.derive import derive
    from varve.backtests.integrity.audit import audit_run
    from varve.backtests.record.lookup import find_run
    from varve.cli.screen import Screen, styled

    folder, output = find_run(run), output_of(json_)
    console = Screen()

    def show(check: Check) -> None:
        if output is Output.TEXT:
            console.print(styled(_MARKS[check.passed], "  ", (check.name, "bold"), f": {check.detail}"))

    checks = audit_run(folder, seeds=seeds, servers=send_key_to or (), on_check=show)
    derive(folder)
    if output is Output.JSON:
        say_json([check.as_json() for check in checks])
    else:
        console.print(f"report: {folder.report}", soft_wrap=True)
    failed = [check.name for check in checks if check.passed is False]
    if failed:
        raise IntegrityError(
            f"run {folder.run_id} failed {len(failed)} of its checks: {', '.join(failed)}",
            mend="do not believe its result before the cause is found",
        )
