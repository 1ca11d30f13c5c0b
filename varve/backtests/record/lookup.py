"""Find a run by what a user calls it."""

from __future__ import annotations

import os
from pathlib import Path

from varve.backtests.record.folder import RunFolder, run_folders, runs_folder
from varve.backtests.record.trial_registry.registry import TrialRegistry
from varve.errors import StorageError, UnknownNameError, UsageError


def find_run(name: str) -> RunFolder:
    """Return the run of that id, unique start of an id, or folder path; ``latest`` is the last one started.

    Raises:
        UnknownNameError: if there is none, or more than one.
        UsageError: if the name cannot be one.
        StorageError: if the runs cannot be read, or the run's folder is a symbolic link.
        IntegrityError: if ``latest`` is asked for and the trial registry is damaged.
    """
    by_path = _given_as_path(name)
    if by_path is not None:
        return by_path
    runs = runs_folder()
    if "/" not in name and len(os.fsencode(name)) <= 255 and (runs / name).is_symlink():
        raise StorageError(
            f"{runs / name} is a symbolic link; Varve follows none among its runs",
            mend=f"give the folder itself: {(runs / name).resolve()}",
        )
    known = [folder.run_id for folder in run_folders(runs)]
    if name == "latest":
        return RunFolder(runs / _last_started(known))
    hits = [run for run in known if run == name] or [run for run in known if run.startswith(name)]
    if len(hits) == 1:
        return RunFolder(runs / hits[0])
    mend = "give more of the id" if hits else None
    raise UnknownNameError("run", name, hits or known[-10:], mend=mend)


def _given_as_path(name: str) -> RunFolder | None:
    """The folder that a path leads to, through links of the user's own; None where it leads to no run."""
    if not name or "\0" in name:
        raise UsageError(
            f"{name!r} cannot be the name of a run", mend="give a run's id, its folder, or: latest"
        )
    try:
        path = Path(name).resolve()
        return RunFolder(path) if os.path.lexists(path / "run.json") else None
    except (OSError, RuntimeError):  # too long for a path, or links in a circle: then it is a name
        return None


def _last_started(known: list[str]) -> str:
    """By the order of the registry: a clock that was set back gives a later run an earlier name."""
    there = set(known)
    for trial in reversed(TrialRegistry().trials()):
        if trial.run_id in there:
            return str(trial.run_id)
    raise UnknownNameError("run", "latest", known[-10:], mend="give the run's id, or its folder")
