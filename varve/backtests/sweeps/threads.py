"""A sweep: many runs in one process, one thread each, in step where they share a model of this process.

``VARVE_HOME/sweeps/<identity>.json`` remembers which run folder belongs to which settings, so that a
sweep begun again skips what is finished and goes on with what is not.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from varve.backtests.config import RunConfig
from varve.backtests.record.entry import Entry
from varve.backtests.record.folder import RunFolder, run_folders, runs_folder, set_aside
from varve.backtests.resume import resume_run
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.prepare import Prepared
from varve.backtests.sweeps.capacity import fitting_at_once
from varve.backtests.sweeps.plan import Sweep
from varve.config import home
from varve.errors import BadFileError, VarveError
from varve.files import make_folder, read_json, replace_file
from varve.finllm.engine.lockstep import Lockstep

if TYPE_CHECKING:
    from varve.backtests.record.step import StepRecord

State = Literal["waiting", "running", "finished", "failed"]


@dataclass
class RunState:
    """One run of a sweep as it stands. ``error`` is why it failed; what it has done is kept."""

    config: RunConfig
    state: State = "waiting"
    folder: RunFolder | None = None
    done: int = 0
    total: int | None = None
    session: str = ""
    error: BaseException | None = None
    note: str = ""
    """What is odd about it: a folder of it that could not be read was set aside."""


OnChange = Callable[[Sequence[RunState]], None]
"""Told the state of all runs about every fifth of a second, from the thread that runs the sweep."""


@dataclass
class _Going:
    """What the threads of a sweep share."""

    record: _Record
    steps: Lockstep
    use_cache: bool
    stopped: threading.Event = field(default_factory=threading.Event)


def run_sweep(
    sweep: Sweep, *, again: bool = False, use_cache: bool = True, on_change: OnChange | None = None
) -> list[RunState]:
    """Run what is not finished yet; a run that fails does not stop the others.

    As many run at once as fit into open files and memory; where that is not all, one group runs after the
    other. A run whose folder cannot be read, or never had its inputs, is set aside and started again.

    Args:
        again: start every run anew.
        use_cache: take replies from the reply cache and keep new ones there.

    Returns:
        The runs in the sweep's order, finished or failed.

    Raises:
        BadFileError, StorageError: if the sweep's record cannot be read or written.
        KeyboardInterrupt: after every run has been stopped at the end of its step.
    """
    record = _Record(sweep)
    states = [RunState(config) for config in sweep.runs]
    if not again:
        for state in states:
            record.find(state)

    def tell() -> None:
        if on_change is not None:
            on_change(states)

    left = [state for state in states if state.state != "finished"]
    at_once = fitting_at_once(len(left))
    for first in range(0, len(left), at_once):
        group = left[first : first + at_once]
        _run_group(group, _Going(record, Lockstep(len(group)), use_cache), tell)
    tell()
    return states


def _run_group(group: Sequence[RunState], going: _Going, tell: Callable[[], None]) -> None:
    """Runs at once, each in its thread, until all have ended."""
    threads: list[threading.Thread] = []
    try:
        for state in group:
            threads.append(_start(state, going))
            tell()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
                tell()
    except KeyboardInterrupt:
        going.stopped.set()
        going.steps.open()
        for thread in threads:
            thread.join()
        raise
    finally:
        going.steps.close()


def _start(state: RunState, going: _Going) -> threading.Thread:
    """The run's thread, once the run has its folder: one after another, so that names and order are fixed."""
    begun = threading.Event()
    thread = threading.Thread(target=_run, args=(state, going, begun), name=f"run {state.config.ticker}")
    thread.start()
    begun.wait()
    return thread


def _run(state: RunState, going: _Going, begun: threading.Event) -> None:
    """One run from its start to its results, in its own thread."""

    def on_start(prepared: Prepared, folder: RunFolder) -> None:
        state.folder, state.total, state.state = folder, prepared.total_steps, "running"
        going.record.note(state.config, folder)
        going.steps.enter(prepared.model)
        begun.set()

    def on_step(step: StepRecord, done: int, total: int) -> None:
        state.done, state.session = done, str(step.session)
        if done == total:
            going.steps.leave()
        if going.stopped.is_set():
            raise KeyboardInterrupt

    try:
        if state.folder is None:
            run_backtest(state.config, on_start=on_start, on_step=on_step, use_cache=going.use_cache)
        else:
            # The plan was checked when it was read; the folder's own record says nothing of where a key goes.
            named = [state.config.llm]
            resume_run(
                state.folder, on_start=on_start, on_step=on_step, use_cache=going.use_cache, servers=named
            )
        state.state = "finished"
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (kept and told; the other runs go on)
        state.state, state.error = "failed", error
    finally:
        going.steps.forget()
        begun.set()


class _SweepEntry(Entry):
    """What the record of a sweep holds."""

    sweep: str
    """The file's name."""
    runs: Mapping[str, str]
    """The run of each settings' identity."""


class _Record:
    """Which folder belongs to which settings, on disk."""

    def __init__(self, sweep: Sweep) -> None:
        self.path = (home() / "sweeps").resolve() / f"{sweep.identity[:16]}.json"
        self._name = sweep.name
        self._runs = self._read()

    def _read(self) -> dict[str, str]:
        mend = f"delete {self.path} to start the sweep anew; its runs are kept"
        try:
            return dict(_SweepEntry.read(read_json(self.path, mend=mend), self.path, mend=mend).runs)
        except FileNotFoundError:
            return {}

    def find(self, state: RunState) -> None:
        """Give a run the folder that it has, and say whether it is finished.

        A folder that cannot be read, or has no inputs, is of no use to go on with: it is set aside.
        """
        known = self._runs.get(state.config.identity())
        found = [folder for folder in run_folders(runs_folder()) if folder.run_id == known]
        if not found:
            return
        folder, why = found[0], "died before it had its inputs"
        try:
            run = folder.read()
            if folder.whole(run):
                state.folder, state.state = folder, "finished" if run.status == "finished" else "waiting"
                return
        except BadFileError as error:
            why = error.message
        state.note = f"run {folder.run_id} is started again: {why}; it is kept in {set_aside(folder)}"

    def note(self, config: RunConfig, folder: RunFolder) -> None:
        """Remember a run's folder."""
        self._runs[config.identity()] = folder.run_id
        make_folder(self.path.parent)
        replace_file(self.path, json.dumps({"sweep": self._name, "runs": self._runs}, indent=2) + "\n")


def message_of(error: BaseException) -> str:
    """Why a run failed, in one line or two."""
    return str(error) if isinstance(error, VarveError) else f"{type(error).__name__}: {error}"
