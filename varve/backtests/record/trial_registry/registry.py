"""The trial registry: every run ever started in this ``VARVE_HOME``, failed and deleted ones too.

One file, ``VARVE_HOME/trials.jsonl``, that only grows and whose lines are chained by hashes. The run
folders name the registry that they are in, so that a file cut at its end is found too.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from varve.backtests.record.folder import RunFolder, write_atomically
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
from varve.errors import BadFileError, IntegrityError, StorageError

SCHEMA_VERSION = 1


class Rebuilt(NamedTuple):
    """What a rebuild did.

    ``kept`` trials could still be read; ``added`` came from their run folders. Not known: ``lost``
    lines, and the runs ``damaged``, whose ``run.json`` cannot be read. ``aside`` is where the damaged
    file was put; None where there was none.
    """

    kept: int
    added: int
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

    def finish(self, run_id: str, sharpe: float | None) -> None:
        """Note that a run came to its end, with its Sharpe ratio per session."""
        self._append([self._result(run_id, sharpe)])

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

    def rebuild(self) -> Rebuilt | None:
        """Make a damaged or missing registry anew, from what can be read of it and from the run folders.

        Returns:
            What was done; None where it is whole, or no run was ever started.
        """
        with self._file.locked():
            try:
                self._checked()
            except IntegrityError as error:
                return self._rebuild(error.message)
        return None

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

    def _folders(self) -> list[RunFolder]:
        runs = self._home / "runs"
        paths = sorted(runs.iterdir()) if runs.is_dir() else []
        return [RunFolder(path) for path in paths if (path / "run.json").is_file()]

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
        added: list[Line] = []
        for run in runs:
            if run.run_id not in known and _registry_of(run) in (None, header["id"]):
                added.append(trial_of_run(run).as_json())
                if run.status == "finished":
                    added.append(self._result(run.run_id, self._sharpe_of(run)))
        note: Line = {"kind": "rebuilt", "at": iso(self._clock()), "why": why, "lost_lines": salvaged.lost}
        aside = self._put_aside()
        write_atomically(self.path, "".join(chained([header, *kept, *added, note])))
        counts = [sum(line["kind"] == "trial" for line in lines) for lines in (kept, added)]
        return Rebuilt(counts[0], counts[1], salvaged.lost, damaged, aside)

    def _sharpe_of(self, run: RunRecord) -> float | None:
        """From the run's ``metrics.json``; None where that is gone or damaged."""
        path = self._home / "runs" / run.run_id / "metrics.json"
        try:
            metrics = AgentSharpe.read(json.loads(path.read_text(encoding="utf-8")), path, mend=MEND)
        except (OSError, ValueError, BadFileError):
            return None
        return session_sharpe(metrics.annual, metrics.bars_per_year, run)

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
    runs = folder.path.resolve().parent
    if runs.name != "runs":
        return None
    registry = TrialRegistry(runs.parent, clock=clock)
    return registry if registry.holds(folder.read()) else None


def note_result(
    folder: RunFolder, annual_sharpe: float | None, bars_per_year: float | None, *, clock: Clock
) -> None:
    """Enter the result of a finished run in the registry that it is in, if any."""
    registry, run = registry_beside(folder, clock=clock), folder.read()
    if registry is not None:
        registry.finish(run.run_id, session_sharpe(annual_sharpe, bars_per_year, run))


def session_sharpe(annual: float | None, bars_per_year: float | None, run: RunRecord) -> float | None:
    """Return a run's Sharpe ratio per session; old records took their calendar's year."""
    from varve.market.calendars import get_calendar

    year = bars_per_year or get_calendar(run.instrument.calendar).sessions_per_year
    return None if annual is None else float(annual / year**0.5)


def _registry_of(run: RunRecord) -> str | None:
    """The registry that a run was entered in when it started; None for one of before there was any."""
    return None if run.trial is None else run.trial.registry


def _likely_id(runs: Sequence[RunRecord]) -> str:
    ids = Counter(name for run in runs if (name := _registry_of(run)) is not None)
    return ids.most_common(1)[0][0] if ids else uuid.uuid4().hex
