"""``backtest trials``: every run ever started, and its registry mended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from varve.cli.screen import say
from varve.errors import BadFileError

if TYPE_CHECKING:
    from varve.backtests.record.trial_registry.lines import Trial
    from varve.backtests.record.trial_registry.registry import Rebuilt

trials_app = typer.Typer(
    help="Every run ever started here, failed and deleted ones too.", no_args_is_help=True
)


@trials_app.command("list")
def trials_list(
    ticker: Annotated[str | None, typer.Option(help="Only what was tried on this ticker.")] = None,
) -> None:
    """List what was tried, oldest first, and how many settings by ticker."""
    from varve.backtests.record.folder import COPY_AGAIN
    from varve.backtests.record.trial_registry.registry import TrialRegistry

    registry = TrialRegistry()
    trials = [t for t in registry.trials() if ticker is None or t.ticker == ticker.upper()]
    for trial in trials:
        sharpe = "" if trial.sharpe is None else f"  Sharpe {trial.sharpe:+.3f} a session"
        say(
            f"{trial.at[:16]}  {trial.agent} {_market(trial)} {trial.start} to {trial.end} "
            f"seed {trial.seed} settings {trial.settings[:6]}  {_state(trial)}{sharpe}"
        )
    for line in _counts(trials):
        say(line)
    if not trials:
        say("nothing was tried yet" if ticker is None else f"nothing was tried on {ticker.upper()} yet")
    if not registry.complete():
        say("the registry was rebuilt: there may have been more")
    for run_id in registry.damaged_runs():
        say(f"damaged: {run_id}, whose run.json cannot be read; {COPY_AGAIN}, or delete it")


@trials_app.command("rebuild")
def trials_rebuild() -> None:
    """Make a damaged or missing registry again from what is left, and say what cannot be known.

    A whole one gets the results of finished runs that it lacks.
    """
    from varve.backtests.record.folder import COPY_AGAIN
    from varve.backtests.record.trial_registry.registry import TrialRegistry

    registry = TrialRegistry()
    done = registry.rebuild()
    if done is None:
        say(f"{registry.path} is whole, with {_plural(len(registry.trials()), 'trial')}; nothing to mend")
        return
    if done.results:
        say(f"{_plural(done.results, 'result')} that the registry lacked entered from run folders")
    if done.again:
        _print_made_again(registry.path, done)
    for run_id in done.damaged:
        say(f"not known: run {run_id}, whose run.json cannot be read; {COPY_AGAIN}, or delete it")


def _print_made_again(path: Path, done: Rebuilt) -> None:
    say(f"{path} is made again: {_plural(done.kept, 'trial')} kept, {done.added} from run folders")
    if done.aside is not None:
        say(f"the damaged file is kept as {done.aside.name}")
    if done.lost:
        say(f"not known: what stood in {_plural(done.lost, 'line')} that cannot be read")
    say("not known: runs that were deleted and whose entries are gone; counts say 'at least' from now on")


def _counts(trials: Sequence[Trial]) -> list[str]:
    markets = sorted({(_market(trial)) for trial in trials})
    lines = []
    for market in markets:
        of_it = [trial for trial in trials if _market(trial) == market]
        settings = len({(trial.settings, trial.seed) for trial in of_it})
        lines.append(f"{market}: {_plural(settings, 'setting')} in {_plural(len(of_it), 'trial')}")
    return lines


def _market(trial: Trial) -> str:
    return trial.ticker if trial.world is None else f"{trial.ticker} (sample {trial.world})"


def _state(trial: Trial) -> str:
    """What became of it: finished, or what its folder says, or that the folder is gone."""
    from varve.backtests.record.folder import RunFolder
    from varve.config import home

    if trial.run_id is None:
        return "search"
    folder = RunFolder(home() / "runs" / trial.run_id)
    if not Path(folder.path / "run.json").is_file():
        return "finished, deleted" if trial.finished else "deleted"
    if trial.finished:
        return "finished"
    try:
        return str(folder.read().status)
    except BadFileError:
        return "damaged"


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
