"""A run's folder: where it is, what it is called, and ``run.json``, which says everything that was set."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import varve
from varve.backtests.config import RunConfig
from varve.backtests.record.run_record import RunRecord, SoftwareEntry
from varve.config import home
from varve.errors import BadFileError, StorageError
from varve.files import make_folder, read_json, refuse_links, replace_file
from varve.types import Json, JsonObject

RUN_SCHEMA_VERSION = 1
DERIVED_FILES = ("decisions.csv", "trades.csv", "equity.csv", "metrics.json")
"""Derived files that version 1 of the run digest hashes; they hold no timings."""

LOCK = "run.lock"
"""What a run's only writer holds."""

COPY_AGAIN = "copy the run folder again from where it is whole"
"""What mends a damaged folder."""

_VERSIONED = (
    "pandas",
    "numpy",
    "vectorbt",
    "langchain-core",
    "chromadb",
    "torch",
    "transformers",
    "pydantic",
)


class RunFolder:
    """One run on disk, ``VARVE_HOME/runs/<id>``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The SQLite journal."""
        return self.path / "journal.db"

    @property
    def inputs(self) -> Path:
        """The facts that the run could see."""
        return self.path / "inputs.parquet"

    @property
    def memory(self) -> Path:
        """The chromadb store of the run's memories."""
        return self.path / "memory"

    @property
    def snapshot(self) -> Path:
        """The memory that the run began with, where it began with one."""
        return self.path / "memory.parquet"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.path / "report.html"

    @property
    def derived(self) -> list[Path]:
        """The derived files that version 1 of the run digest hashes."""
        return [self.path / name for name in DERIVED_FILES]

    def whole(self, run: RunRecord) -> bool:
        """Return whether everything is there that the run needs to be made again.

        A run that died while it was being begun lacks its inputs, or the memory that it began with.
        """
        return (self.inputs.is_file() or not run.bundle) and (self.snapshot.is_file() or run.memory is None)

    def check_own(self) -> None:
        """Check that nothing that SQLite or chromadb write here is a symbolic link.

        Raises:
            StorageError: naming the first that is one.
        """
        beside = [self.path / f"journal.db{ending}" for ending in ("", "-wal", "-shm", "-journal")]
        stored = [self.memory] if self.memory.is_symlink() else self.memory.rglob("*")
        refuse_links([self.path, self.path / LOCK, *beside, *stored], mend=COPY_AGAIN)

    def read(self) -> RunRecord:
        """Read ``run.json``.

        Raises:
            BadFileError: if it is missing, written by a newer major version, or damaged; it names the field.
        """
        return self._checked(self._raw())

    def _checked(self, raw: JsonObject) -> RunRecord:
        return RunRecord.read(raw, self._file, mend=COPY_AGAIN)

    @property
    def _file(self) -> Path:
        return self.path / "run.json"

    def _raw(self) -> JsonObject:
        path, mend = self._file, "give the folder of a run that Varve made"
        try:
            raw = read_json(path, mend=mend)
        except FileNotFoundError as error:
            raise BadFileError(f"there is no file {path}", mend=mend) from error
        schema = raw.get("schema_version", 0) if isinstance(raw, dict) else None
        if not isinstance(raw, dict) or (isinstance(schema, int) and schema > RUN_SCHEMA_VERSION):
            raise BadFileError(
                f"{path} is not a run record that this Varve reads (schema up to {RUN_SCHEMA_VERSION})",
                mend="use the Varve version that wrote it",
            )
        return raw

    def write(self, run: RunRecord) -> None:
        """Replace ``run.json`` whole."""
        self._write(run.as_json())

    def update(self, **changes: Json) -> None:
        """Change some entries of ``run.json``; every other stays as it stands there.

        Raises:
            BadFileError: if the record is damaged, or would be.
        """
        raw = {**self._raw(), **changes}
        self._checked(raw)
        self._write(raw)

    def _write(self, raw: JsonObject) -> None:
        replace_file(self._file, json.dumps(raw, indent=2, allow_nan=False) + "\n")


def create_run_folder(config: RunConfig, now: datetime) -> RunFolder:
    """A new empty folder under ``VARVE_HOME/runs``, named by time, agent, ticker and settings.

    Raises:
        StorageError: if it cannot be made.
    """
    runs = runs_folder()
    make_folder(runs)
    stem = f"{now:%Y%m%d-%H%M%S}-{config.agent}-{config.ticker}-{config.identity()[:6]}"
    for attempt in range(1000):
        path = runs / (stem if attempt == 0 else f"{stem}-{attempt + 1}")
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise StorageError(
                f"run folder {path} cannot be made: {error}",
                mend="set VARVE_HOME to a folder that can be written",
            ) from error
        return RunFolder(path)
    raise StorageError(f"a thousand runs named {stem} exist already", mend="delete some")


def runs_folder() -> Path:
    """Return the folder of all runs, ``VARVE_HOME/runs``, which may be a link of its owner's.

    Raises:
        StorageError: if it is a link to a folder that is not there.
    """
    runs = home() / "runs"
    if runs.is_symlink() and not runs.is_dir():
        raise StorageError(
            f"{runs} is a symbolic link to {runs.resolve()}, and no folder is there",
            mend="bring that folder back (is its disk mounted?), or remove the link",
        )
    return runs.resolve()


def run_folders(runs: Path) -> list[RunFolder]:
    """Return every run of a folder of runs, by name; what is a link there is none.

    Raises:
        StorageError: if the folder cannot be read.
    """
    try:
        paths = sorted(runs.iterdir()) if runs.is_dir() else []
        return [RunFolder(p) for p in paths if not p.is_symlink() and os.path.lexists(p / "run.json")]
    except OSError as error:
        raise StorageError(
            f"the folder of runs {runs} cannot be read: {error.strerror or error}",
            mend="see that you may read it, or set VARVE_HOME to another folder",
        ) from error


def set_aside(folder: RunFolder) -> Path:
    """Move a run's folder out of the way, to ``.aside`` among the runs; return where it is now.

    Nothing of it is deleted, and it stays counted among what was tried.

    Raises:
        StorageError: if it cannot be moved.
    """
    aside = runs_folder() / ".aside"
    make_folder(aside)
    target, number = aside / folder.run_id, 1
    while os.path.lexists(target):
        number += 1
        target = aside / f"{folder.run_id}-{number}"
    try:
        folder.path.rename(target)
    except OSError as error:
        raise StorageError(
            f"{folder.path} cannot be moved to {target}: {error.strerror or error}",
            mend="see that both folders can be written",
        ) from error
    return target


def software() -> SoftwareEntry:
    """Return versions of Varve, Python and what results hang on; the commit too in a checkout."""
    versions = {"varve": varve.__version__, "python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    commit = _git("rev-parse", "HEAD")
    dirty = None if commit is None else bool(_git("status", "--porcelain", "--untracked-files=no"))
    return SoftwareEntry(versions=versions, commit=commit, dirty=dirty)


def _git(*arguments: str) -> str | None:
    folder = Path(varve.__file__).parent
    if not (folder.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
