"""The trial registry: every run ever started in this ``VARVE_HOME``, failed and deleted ones too.

One file, ``VARVE_HOME/trials.jsonl``, that only grows and whose lines are chained by hashes. The run
folders name the registry that they are in, so that a file cut at its end is found too.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from varve.backtests.config import trading_tables
from varve.backtests.record.folder import RunFolder, write_atomically
from varve.backtests.record.hash_chain import ChainedFile, Line, chained
from varve.clock import Clock, iso, wall_clock
from varve.config import canonical_json, home
from varve.errors import BadFileError, IntegrityError, StorageError

SCHEMA_VERSION = 1
MEND = "backtest trials rebuild"

_APART = ("ticker", "start", "end", "data", "world", "world_seed", "seed", "tune")
"""Settings that say where a run was tried, its seed, and how its settings were found; the rest was tried."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings tried once on a ticker and a window.

    ``settings`` is a hash of everything set but ticker, window, data and seed. ``world`` is the sample
    world and its seed; None for stored data. ``start`` and ``end`` are ISO session dates, both
    included. ``run_id`` is None for a trial of a search, which has no folder. ``sharpe`` is per
    session; None where there is none, or the trial did not come to its end.
    """

    origin: Literal["run", "search"]
    agent: str
    ticker: str
    world: str | None
    start: str
    end: str
    settings: str
    seed: int
    run_id: str | None = None
    at: str = ""
    finished: bool = False
    sharpe: float | None = None


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


_FIELDS = tuple(item.name for item in fields(Trial))


def trial_of_run(manifest: Mapping[str, Any]) -> Trial:
    """A run as a trial, from its ``run.json``."""
    config, window = manifest["config"], manifest["window"]
    tried = {name: value for name, value in config.items() if name not in _APART}
    # The agent's settings as it took them: a default that was typed is no other setting.
    took = {**manifest["agent_settings"], **trading_tables(config["settings"])}
    return Trial(
        origin="run",
        agent=config["agent"],
        ticker=config["ticker"],
        world=f"{config['world']}/{config['world_seed']}" if manifest["synthetic"] else None,
        start=window["start"],
        end=window["end"],
        settings=settings_hash({**tried, "settings": took}),
        seed=config["seed"],
        run_id=manifest["run_id"],
        at=manifest["started_at"],
    )


def settings_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over settings as canonical JSON."""
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()


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

    def begin(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Enter a run that starts; returns what its ``run.json`` keeps of it."""
        return {"registry": self._append([_line(trial_of_run(manifest))])}

    def finish(self, run_id: str, sharpe: float | None) -> None:
        """Note that a run came to its end, with its Sharpe ratio per session."""
        self._append([self._result(run_id, sharpe)])

    def add(self, trials: Sequence[Trial]) -> None:
        """Enter trials that have no run folder, all or none: those of a search."""
        at = iso(self._clock())
        self._append([_line(replace(trial, at=trial.at or at)) for trial in trials])

    def trials(self) -> list[Trial]:
        """All trials in order, with what is known of their results."""
        return _trials(self._read())

    def holds(self, manifest: Mapping[str, Any]) -> bool:
        """Whether a run was started here; False for one that was copied from elsewhere."""
        lines = self._read()
        return bool(lines) and _registry_of(manifest) == lines[0]["id"]

    def complete(self) -> bool:
        """False once it was rebuilt: there may have been more trials than it knows."""
        return all(line["kind"] != "rebuilt" for line in self._read())

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

    def _read(self) -> list[Line]:
        with self._file.locked(to_write=False):
            return self._checked()

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
        known = {line["run_id"] for line in lines if line["kind"] == "trial"}
        for manifest in self._manifests(apart_from=known)[0]:
            if _registry_of(manifest) == lines[0]["id"] and manifest["run_id"] not in known:
                raise IntegrityError(
                    f"the trial registry {self.path} has lost entries: run {manifest['run_id']} was in it",
                    mend=MEND,
                )
        return lines

    def _check_header(self, header: Line) -> None:
        if header.get("kind") != "registry":
            raise IntegrityError(f"{self.path} does not begin as a trial registry", mend=MEND)
        if header["schema"] > SCHEMA_VERSION:
            raise IntegrityError(
                f"{self.path} has schema {header['schema']}; this Varve reads up to {SCHEMA_VERSION}",
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

    def _manifests(
        self, apart_from: Collection[str | None] = ()
    ) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
        """``run.json`` of the run folders here that have other names, and the folders where it is damaged."""
        manifests: list[Mapping[str, Any]] = []
        damaged = []
        for folder in self._folders():
            if folder.run_id not in apart_from:
                try:
                    manifests.append(folder.read())
                except BadFileError:
                    damaged.append(folder.run_id)
        return manifests, tuple(damaged)

    def _rebuild(self, why: str) -> Rebuilt:
        salvaged = self._file.salvage()
        manifests, damaged = self._manifests()
        readable = [*salvaged.whole, *salvaged.rest]
        header = next((line for line in readable if line.get("kind") == "registry"), None)
        if header is None:
            header = self._header(_likely_id(manifests))
        self._check_header(header)
        kept = [line for line in readable if _is_entry(line)]
        known = {line["run_id"] for line in kept if line["kind"] == "trial"}
        added: list[Line] = []
        for manifest in manifests:
            if manifest["run_id"] not in known and _registry_of(manifest) in (None, header["id"]):
                added.append(_line(trial_of_run(manifest)))
                if manifest["status"] == "finished":
                    added.append(self._result(manifest["run_id"], self._sharpe_of(manifest)))
        note = {"kind": "rebuilt", "at": iso(self._clock()), "why": why, "lost_lines": salvaged.lost}
        aside = self._put_aside()
        write_atomically(self.path, "".join(chained([header, *kept, *added, note])))
        counts = [sum(line["kind"] == "trial" for line in lines) for lines in (kept, added)]
        return Rebuilt(counts[0], counts[1], salvaged.lost, damaged, aside)

    def _sharpe_of(self, manifest: Mapping[str, Any]) -> float | None:
        """From the run's ``metrics.json``; None where that is gone."""
        path = self._home / "runs" / manifest["run_id"] / "metrics.json"
        try:
            metrics = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return session_sharpe(metrics, manifest)

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


def note_result(folder: RunFolder, metrics: Mapping[str, Any], *, clock: Clock) -> None:
    """Enter the result of a finished run in the registry that it is in, if any."""
    registry, manifest = registry_beside(folder, clock=clock), folder.read()
    if registry is not None:
        registry.finish(manifest["run_id"], session_sharpe(metrics, manifest))


def session_sharpe(metrics: Mapping[str, Any], manifest: Mapping[str, Any]) -> float | None:
    """The Sharpe ratio per session of a run's agent, from what ``metrics.json`` and ``run.json`` hold."""
    from varve.market.calendars import get_calendar

    annual = metrics["columns"][0]["metrics"]["sharpe"]
    year = get_calendar(manifest["instrument"]["calendar"]).sessions_per_year
    return None if annual is None else float(annual / year**0.5)


def _trials(lines: Sequence[Line]) -> list[Trial]:
    trials: list[Trial] = []
    places: dict[str, int] = {}
    for line in lines:
        if line["kind"] == "trial":
            if line["run_id"] is not None:
                places[line["run_id"]] = len(trials)
            trials.append(Trial(**{name: line[name] for name in _FIELDS}))
        elif line["kind"] == "result" and line["run_id"] in places:
            place = places[line["run_id"]]
            trials[place] = replace(trials[place], finished=True, sharpe=line["sharpe"])
    return trials


def _line(trial: Trial) -> Line:
    return {"kind": "trial", **asdict(trial)}


def _is_entry(line: Line) -> bool:
    """Whether a line that lost its place in the chain still says what was tried, or how it ended."""
    wanted = {"trial": _FIELDS, "result": ("run_id", "sharpe"), "rebuilt": ()}.get(str(line.get("kind")))
    return wanted is not None and all(name in line for name in wanted)


def _registry_of(manifest: Mapping[str, Any]) -> str | None:
    """The registry that a run was entered in when it started; None for one of before there was any."""
    entry = manifest.get("trial")
    return None if entry is None else str(entry["registry"])


def _likely_id(manifests: Sequence[Mapping[str, Any]]) -> str:
    ids = Counter(name for manifest in manifests if (name := _registry_of(manifest)) is not None)
    return ids.most_common(1)[0][0] if ids else uuid.uuid4().hex
