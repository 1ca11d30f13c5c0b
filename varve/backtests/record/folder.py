"""A run's folder: where it is, what it is called, and ``run.json``, which says everything that was set."""

from __future__ import annotations

import json
import platform
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import varve
from varve.backtests.config import RunConfig
from varve.backtests.record.run_record import RunRecord, SoftwareEntry
from varve.config import home
from varve.errors import BadFileError, StorageError, UnknownNameError
from varve.types import Json, JsonObject

RUN_SCHEMA_VERSION = 1
DERIVED_FILES = ("decisions.csv", "trades.csv", "equity.csv", "metrics.json")
"""Derived files that version 1 of the run digest hashes; they hold no timings."""

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
        path = self._file
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadFileError(
                f"{path} cannot be read: {error}", mend="give the folder of a run that Varve made"
            ) from error
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
        write_atomically(self._file, json.dumps(raw, indent=2, allow_nan=False) + "\n")


def create_run_folder(config: RunConfig, now: datetime) -> RunFolder:
    """A new empty folder under ``VARVE_HOME/runs``, named by time, agent, ticker and settings.

    Raises:
        StorageError: if it cannot be made.
    """
    stem = f"{now:%Y%m%d-%H%M%S}-{config.agent}-{config.ticker}-{config.identity()[:6]}"
    for attempt in range(1000):
        path = home() / "runs" / (stem if attempt == 0 else f"{stem}-{attempt + 1}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise StorageError(
                f"run folder {path} cannot be made: {error}",
                mend="set VARVE_HOME to a folder that can be written",
            ) from error
        return RunFolder(path)
    raise StorageError(f"a thousand runs named {stem} exist already", mend="delete some")


def find_run(name: str) -> RunFolder:
    """The run of that id, unique start of an id, or folder path; ``latest`` for the newest.

    Raises:
        UnknownNameError: if there is none, or more than one.
    """
    as_path = Path(name)
    if (as_path / "run.json").is_file():
        return RunFolder(as_path)
    runs = home() / "runs"
    known = sorted(p.name for p in runs.iterdir() if (p / "run.json").is_file()) if runs.is_dir() else []
    if name == "latest" and known:
        return RunFolder(runs / known[-1])
    hits = [run for run in known if run == name] or [run for run in known if run.startswith(name)]
    if len(hits) == 1:
        return RunFolder(runs / hits[0])
    mend = "give more of the id" if hits else None
    raise UnknownNameError("run", name, hits or known[-10:], mend=mend)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, never half of it.

    Raises:
        StorageError: if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}", mend="free disk space") from error


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
