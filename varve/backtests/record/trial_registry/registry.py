"""The trial registry: every run ever started in this ``VARVE_HOME``, failed and deleted ones too.

One file, ``VARVE_HOME/trials.jsonl``, that only grows and whose lines are chained by hashes. The run
folders name the registry that they are in, so that a file cut at its end is found too.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from varve.backtests.record.folder import RunFolder, run_folders, runs_folder
from varve.backtests.record.run_record import RunRecord, TrialEntry
from varve.backtests.record.trial_registry.hash_chain import ChainedFile, Line, chained
from varve.backtests.record.trial_registry.lines import (
    MEND,
    AgentSharpe,
    HeaderLine,
    RebuiltLine,
    RegistryLine,
    Trial,
    is_entry,
    read_lines,
    trial_of_run,
    with_results,
)
from varve.clock import Clock, iso, wall_clock
from varve.config import home
from varve.errors import BadFileError, IntegrityError, StorageError, VarveError
from varve.files import read_json, replace_file

SCHEMA_VERSION = 1


class Rebuilt(NamedTuple):
    """What a rebuild did.

    ``kept`` trials could still be read; ``added`` came from their run folders, and so did ``results`` of
    trials that were kept. Not known: ``lost`` lines, and the runs ``damaged``, whose ``run.json`` cannot be
    read. ``again`` says whether the file was made again; ``aside`` is where the damaged one was put.
    """

    again: bool
    kept: int
    added: int
    results: int
    lost: int
    damaged: tuple[str, ...]
    aside: Path | None


class TrialRegistry:
    """The registry of a ``VARVE_HOME``. Every method reads the file anew and checks the whole of it.

    Each raises ``IntegrityError`` if it is damaged, or missing while there are runs, and
    ``StorageError`` if it cannot be read or written.

    Args:
        folder: the ``VARVE_HOME``; None takes that of the process.
        clock: dates the entries.
    """

    def __init__(self, folder: Path | None = None, *, clock: Clock = wall_clock) -> None:
        self._home = home() if folder is None else folder
        self.path = self._home / "trials.jsonl"
        self._file = ChainedFile(self.path, name="trial registry", mend=MEND)
        self._clock = clock

    def check(self) -> None:
        """That it is whole and can be written; begins it where no run was ever started."""
        self._append([])

    def begin(self, run: RunRecord) -> TrialEntry:
        """Enter a run that starts; returns what its ``run.json`` keeps of it."""
        return TrialEntry(registry=self._append([trial_of_run(run).as_json()]))

    def add(self, trials: Sequence[Trial]) -> None:
        """Enter trials that have no run folder, all or none: those of a search."""
        at = iso(self._clock())
        self._append([replace(trial, at=trial.at or at).as_json() for trial in trials])

    def trials(self) -> list[Trial]:
        """All trials in order, with what is known of their results."""
        return with_results(self._read())

    def holds(self, run: RunRecord) -> bool:
        """Whether a run was started here; False for one that was copied from elsewhere."""
        return any(isinstance(line, HeaderLine) and line.id == _registry_of(run) for line in self._read())

    def complete(self) -> bool:
        """False once it was rebuilt: there may have been more trials than it knows."""
        return not any(isinstance(line, RebuiltLine) for line in self._read())

    def damaged_runs(self) -> tuple[str, ...]:
        """Return the names of the run folders here whose ``run.json`` cannot be read."""
        return self._runs()[1]

    def enter_missing(self, run: RunRecord) -> bool:
        """Enter the result of a finished run, from its ``metrics.json``, if the registry lacks it.

        Returns:
            Whether it was entered now.
        """
        with self._file.locked():
            lines = self._missing_results(self._checked(), [run])
            if lines:
                self._file.append(lines)
        return bool(lines)

    def rebuild(self) -> Rebuilt | None:
        """Mend the registry: make a damaged or missing one anew, and enter results that a whole one lacks.

        What is known comes from what can be read of it and from the run folders.

        Returns:
            What was done; None where nothing was missing, or no run was ever started.
        """
        with self._file.locked():
            try:
                there = self._checked()
            except IntegrityError as error:
                return self._rebuild(error.message)
            runs, damaged = self._runs()
            results = self._missing_results(there, runs)
            if not results:
                return None
            self._file.append(results)
            kept = sum(line["kind"] == "trial" for line in there)
            return Rebuilt(False, kept, 0, len(results), 0, damaged, None)

    def _append(self, lines: Sequence[Line]) -> str:
        """Write lines; returns the registry's id."""
        with self._file.locked():
            there = self._checked()
            header = there[0] if there else self._header(uuid.uuid4().hex)
            if lines or not there:
                self._file.append([*([] if there else [header]), *lines])
        return str(header["id"])

    def _read(self) -> list[RegistryLine]:
        with self._file.locked(to_write=False):
            return read_lines(self._checked(), self.path)

    def _checked(self) -> list[Line]:
        lines = self._file.read()
        if not lines:
            if any(self._folders()):
                runs = self._home / "runs"
                raise IntegrityError(
                    f"the trial registry {self.path} is missing, though there are runs in {runs}", mend=MEND
                )
            return []
        self._check_header(lines[0])
        known = {trial.run_id for trial in with_results(read_lines(lines, self.path))}
        for run in self._runs(apart_from=known)[0]:
            if _registry_of(run) == lines[0]["id"] and run.run_id not in known:
                raise IntegrityError(
                    f"the trial registry {self.path} has lost entries: run {run.run_id} was in it",
                    mend=MEND,
                )
        return lines

    def _check_header(self, raw: Line) -> None:
        if raw.get("kind") != "registry":
            raise IntegrityError(f"{self.path} does not begin as a trial registry", mend=MEND)
        header = HeaderLine.read(raw, f"{self.path}, line 1,", mend=MEND)
        if header.version > SCHEMA_VERSION:
            raise IntegrityError(
                f"{self.path} has schema {header.version}; this Varve reads up to {SCHEMA_VERSION}",
                mend="use the newer Varve that wrote it",
            )

    def _header(self, registry: str) -> Line:
        return {"kind": "registry", "schema": SCHEMA_VERSION, "id": registry, "at": iso(self._clock())}

    def _result(self, run_id: str, sharpe: float | None) -> Line:
        return {"kind": "result", "run_id": run_id, "sharpe": sharpe, "at": iso(self._clock())}

    def _missing_results(self, lines: Sequence[Line], runs: Sequence[RunRecord]) -> list[Line]:
        """The results of finished runs that are entered without one."""
        entered, ended = (
            {line.get("run_id") for line in lines if line.get("kind") == kind} for kind in ("trial", "result")
        )
        return [
            self._result(run.run_id, self._sharpe_of(run))
            for run in runs
            if run.status == "finished" and run.run_id in entered - ended
        ]

    def _folders(self) -> list[RunFolder]:
        return run_folders(self._home / "runs")

    def _runs(self, apart_from: Collection[str | None] = ()) -> tuple[list[RunRecord], tuple[str, ...]]:
        """The records of the run folders here that have other names, and the folders where one is damaged."""
        runs: list[RunRecord] = []
        damaged = []
        for folder in self._folders():
            if folder.run_id not in apart_from:
                try:
                    runs.append(folder.read())
                except BadFileError:
                    damaged.append(folder.run_id)
        return runs, tuple(damaged)

    def _rebuild(self, why: str) -> Rebuilt:
        salvaged = self._file.salvage()
        runs, damaged = self._runs()
        readable = [*salvaged.whole, *salvaged.rest]
        header = next((line for line in readable if line.get("kind") == "registry"), None)
        if header is None:
            header = self._header(_likely_id(runs))
        self._check_header(header)
        kept = [line for line in readable if is_entry(line)]
        known = {line["run_id"] for line in kept if line["kind"] == "trial"}
        added: list[Line] = [
            trial_of_run(run).as_json()
            for run in runs
            if run.run_id not in known and _registry_of(run) in (None, header["id"])
        ]
        results = self._missing_results([*kept, *added], runs)
        note: Line = {"kind": "rebuilt", "at": iso(self._clock()), "why": why, "lost_lines": salvaged.lost}
        aside = self._put_aside()
        replace_file(self.path, "".join(chained([header, *kept, *added, *results, note])))
        trials = sum(line["kind"] == "trial" for line in kept)
        return Rebuilt(True, trials, len(added), len(results), salvaged.lost, damaged, aside)

    def _sharpe_of(self, run: RunRecord) -> float | None:
        """From the run's ``metrics.json``; None where that is gone or damaged."""
        path = self._home / "runs" / run.run_id / "metrics.json"
        try:
            metrics = AgentSharpe.read(read_json(path, mend=MEND), path, mend=MEND)
            return session_sharpe(metrics.annual, metrics.bars_per_year, run)
        except (FileNotFoundError, VarveError):
            return None

    def _put_aside(self) -> Path | None:
        if not self.path.exists():
            return None
        at = f"{self._clock():%Y%m%d-%H%M%S}"
        aside = self.path.with_name(f"trials.damaged-{at}.jsonl")
        try:
            self.path.replace(aside)
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be put aside: {error}", mend="check the folder and its rights"
            ) from error
        return aside


def registry_beside(folder: RunFolder, *, clock: Clock = wall_clock) -> TrialRegistry | None:
    """The registry that holds a run, by where its folder lies; None for one that was copied from elsewhere.

    Raises:
        IntegrityError: if the folder lies among runs without a registry, or with a damaged one.
    """
    above = _home_of(folder)
    registry = None if above is None else TrialRegistry(above, clock=clock)
    return registry if registry is not None and registry.holds(folder.read()) else None


def _home_of(folder: RunFolder) -> Path | None:
    """The home that a run lies in: the process's own, whose runs may be a link, or any other."""
    runs = folder.path.parent
    if runs.resolve() == runs_folder():
        return home()
    return runs.parent if runs.name == "runs" else None


def session_sharpe(annual: float | None, bars_per_year: float | None, run: RunRecord) -> float | None:
    """Return a run's Sharpe ratio per session; old records took their calendar's year."""
    from varve.market.calendars import get_calendar

    year = bars_per_year or 0.0
    if year <= 0:
        year = get_calendar(run.instrument.calendar).sessions_per_year
    return None if annual is None else float(annual / year**0.5)


def _registry_of(run: RunRecord) -> str | None:
    """The registry that a run was entered in when it started; None for one of before there was any."""
    return None if run.trial is None else run.trial.registry


def _likely_id(runs: Sequence[RunRecord]) -> str:
    ids = Counter(name for run in runs if (name := _registry_of(run)) is not None)
    return ids.most_common(1)[0][0] if ids else uuid.uuid4().hex
