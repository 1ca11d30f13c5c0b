"""``backtest run``, ``replay`` and ``report``: one run, made, made again, and shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from varve.cli.options import (
    RUN_SETTINGS,
    Bundle,
    ConfigFile,
    Json,
    MemoryKind,
    Output,
    Profile,
    Quiet,
    Resume,
    RunName,
    SendKeyTo,
    Set,
    UseCache,
    Without,
    output_of,
    run_config,
    run_values,
    takes_settings,
)

if TYPE_CHECKING:
    from varve.backtests.record.folder import RunFolder


@takes_settings(*RUN_SETTINGS)
def run(
    given: dict[str, Any],
    profile: Profile = None,
    without: Without = None,
    memory_kind: MemoryKind = None,
    setting: Set = None,
    config: ConfigFile = None,
    bundle: Bundle = True,
    cache: UseCache = True,
    resume: Resume = None,
    send_key_to: SendKeyTo = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run one backtest and write its report."""
    from varve.cli import terminal

    output = output_of(json_, quiet)
    short = {"profile": profile, "without": without, "memory_kind": memory_kind}
    values_for = partial(run_values, config, given, setting, short, servers=send_key_to)
    if resume is None:
        start = _new_run(values_for(), bundle=bundle, use_cache=cache)
    else:
        start = _stopped_run(resume, values_for, use_cache=cache, servers=send_key_to or ())
    if output is Output.TEXT:
        with terminal.RunProgress() as progress:
            if resume is not None:
                start = partial(start, on_recorded=progress.on_recorded)
            folder = start(on_start=progress.on_start, on_step=progress.on_step)
    else:
        folder = start()
    terminal.print_result(folder, output)


def _new_run(values: dict[str, Any], *, bundle: bool, use_cache: bool) -> Callable[..., RunFolder]:
    from varve.backtests.runner import run_backtest
    from varve.cli import terminal

    config = run_config(values)
    terminal.offer_unfinished(config)
    return partial(run_backtest, config, bundle=bundle, use_cache=use_cache)


def _stopped_run(
    name: str, values_for: Callable[..., dict[str, Any]], *, use_cache: bool, servers: Sequence[str]
) -> Callable[..., RunFolder]:
    from varve.backtests.record.lookup import find_run
    from varve.backtests.resume import resume_run

    folder = find_run(name)
    given = values_for(agent=folder.read().config.agent)
    return partial(resume_run, folder, given=given, use_cache=use_cache, servers=servers)


def replay(run: RunName, json_: Json = False) -> None:
    """Do a run again with its recorded replies, and find every step and the run digest the same."""
    from varve.backtests.integrity.replay import replay_run
    from varve.backtests.record.lookup import find_run
    from varve.cli import terminal

    folder, output = find_run(run), output_of(json_)
    if output is Output.JSON:
        replayed = replay_run(folder)
    else:
        with terminal.RunProgress() as progress:
            replayed = replay_run(folder, on_start=progress.on_start, on_step=progress.on_step)
    terminal.print_replayed(folder, replayed, output)


def report(run: RunName, json_: Json = False, quiet: Quiet = False) -> None:
    """Build a run's metrics, charts and report again from its journal, and print the table."""
    from varve.backtests.derive import derive
    from varve.backtests.record.lookup import find_run
    from varve.cli import terminal

    output, folder = output_of(json_, quiet), find_run(run)
    derive(folder)
    terminal.print_result(folder, output)
