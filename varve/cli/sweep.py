"""``backtest sweep``: progress of all runs, what failed, and the comparison at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from varve.cli.options import Json, Output, Quiet, SendKeyTo, UseCache, output_of
from varve.cli.screen import say, say_json
from varve.errors import UsageError, VarveError

if TYPE_CHECKING:
    from varve.backtests.studies.compare.comparison import Comparison
    from varve.backtests.sweeps.plan import Sweep
    from varve.backtests.sweeps.threads import RunState

MAX_BARS = 24
"""More runs than that show one bar together."""


def sweep(
    file: Annotated[Path, typer.Argument(help="A TOML file: [run], [vary] and [[group]].")],
    again: Annotated[bool, typer.Option("--again", help="Start every run anew, also finished ones.")] = False,
    cache: UseCache = True,
    send_key_to: SendKeyTo = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run every combination in a file, all at once; begun again, it goes on with what is not finished."""
    from varve.backtests.sweeps.plan import read_sweep
    from varve.backtests.sweeps.threads import run_sweep

    output, plan = output_of(json_, quiet), read_sweep(file, servers=send_key_to or ())
    if output is Output.TEXT:
        with _Bars(plan) as bars:
            states = run_sweep(plan, again=again, use_cache=cache, on_change=bars.show)
    else:
        states = run_sweep(plan, again=again, use_cache=cache)
    _print_states(states, output)
    _print_notes(states)
    _print_failures(file, states)
    failed = [state.error for state in states if state.error is not None]
    if failed:
        raise typer.Exit(failed[0].exit_code if isinstance(failed[0], VarveError) else 1)


def _print_states(states: Sequence[RunState], output: Output) -> None:
    if output is Output.JSON:
        say_json(_json(states))
    elif output is Output.TEXT:
        _print_comparison(states)
    else:
        for state in states:
            if state.folder is not None and state.state == "finished":
                say(state.folder.report)


class _Bars:
    """A bar for every run, or one for all where they are many; on standard error."""

    def __init__(self, sweep: Sweep) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress

        from varve.cli.screen import BarText, Screen

        self._console = Screen(stderr=True)
        self._progress = Progress(
            BarText("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            BarText("{task.fields[state]}"),
            console=self._console,
            transient=True,
        )
        self._console.print(f"{sweep.name}: {len(sweep.runs)} runs")
        self._all = self._progress.add_task("all", total=None, state="")
        few = len(sweep.runs) <= MAX_BARS
        self._tasks = [
            self._progress.add_task(f"{run.agent} {run.ticker} seed {run.seed}", total=None, state="")
            for run in (sweep.runs if few else ())
        ]

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if isinstance(error, KeyboardInterrupt):
            self._console.print("every finished step is kept; the same command goes on")

    def show(self, states: Sequence[RunState]) -> None:
        """Move the bars."""
        counts = {name: sum(state.state == name for state in states) for name in ("finished", "failed")}
        total = None if any(s.total is None and s.state == "waiting" for s in states) else _steps(states)
        text = f"{counts['finished']} finished"
        text += f", {counts['failed']} failed" if counts["failed"] else ""
        self._progress.update(self._all, completed=sum(s.done for s in states), total=total, state=text)
        for task, state in zip(self._tasks, states, strict=False):
            word = state.session if state.state == "running" else state.state
            self._progress.update(task, completed=state.done, total=state.total, state=word)


def _steps(states: Sequence[RunState]) -> int:
    return sum(state.done if state.state == "failed" else state.total or 0 for state in states)


def _print_comparison(states: Sequence[RunState]) -> None:
    from varve.cli.studies import print_comparison

    try:
        print_comparison(_compared(states))
    except UsageError as error:
        say(f"no comparison: {error.message}")


def _compared(states: Sequence[RunState]) -> Comparison:
    from varve.backtests.studies.compare.comparison import compare
    from varve.backtests.studies.compare.entrants import read_entrant

    done = [state.folder for state in states if state.folder is not None and state.state == "finished"]
    return compare([read_entrant(folder) for folder in done])


def _json(states: Sequence[RunState]) -> dict[str, Any]:
    from varve.backtests.studies.compare.sentences import conclusions
    from varve.backtests.sweeps.threads import message_of

    runs = [
        {
            "run_id": None if state.folder is None else state.folder.run_id,
            "state": state.state,
            "error": None if state.error is None else message_of(state.error),
            "note": state.note or None,
            "config": state.config.model_dump(mode="json"),
        }
        for state in states
    ]
    try:
        compared = _compared(states)
        found = compared.json(conclusions(compared))
    except UsageError as error:
        found = {"error": error.message}
    return {"runs": runs, "comparison": found}


def _print_notes(states: Sequence[RunState]) -> None:
    from varve.cli.screen import Screen, styled

    console = Screen(stderr=True)
    for state in states:
        if state.note:
            console.print(styled(("note:", "yellow"), f" {state.note}"), soft_wrap=True)


def _print_failures(file: Path, states: Sequence[RunState]) -> None:
    from varve.backtests.sweeps.threads import message_of
    from varve.cli.screen import Screen, styled

    console = Screen(stderr=True)
    for state in states:
        if state.error is None:
            continue
        run = state.config
        named = f"{run.agent} on {run.ticker}, seed {run.seed}"
        where = "" if state.folder is None else f" ({state.folder.run_id})"
        told = f" {named}{where}: {message_of(state.error)}"
        console.print(styled(("failed:", "red"), told), soft_wrap=True)
    if any(state.error is not None for state in states):
        console.print(f"go on with what is not finished: backtest sweep {file}", soft_wrap=True)
