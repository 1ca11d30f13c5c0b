"""What the lines of the trial registry say: trials, their results, and what was done to the registry."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError

from varve.backtests.config import trading_tables
from varve.backtests.record.entry import Entry, Many, Number, first_fault
from varve.backtests.record.run_record import RunRecord
from varve.backtests.record.trial_registry.hash_chain import Line
from varve.config import canonical_json
from varve.errors import BadFileError
from varve.types import Json, JsonObject

MEND = "backtest trials rebuild"

_APART = ("ticker", "start", "end", "data", "world", "world_seed", "seed", "tune")
"""Settings that say where a run was tried, its seed, and how its settings were found; the rest was tried."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings tried once on a ticker and a window."""

    origin: Literal["run", "search"]
    """Whether a run tried them or a search."""
    agent: str
    """Who decided."""
    ticker: str
    """What was traded."""
    world: str | None
    """The sample world and its seed; None for stored data."""
    start: str
    """First session, ISO date."""
    end: str
    """Last session, ISO date."""
    settings: str
    """A hash of everything set but ticker, window, data and seed."""
    seed: int
    """The run's seed."""
    run_id: str | None = None
    """The run; None for a trial of a search, which has no folder."""
    at: str = ""
    """When it was entered, ISO, UTC."""
    finished: bool = False
    """Whether it came to its end."""
    sharpe: float | None = None
    """Sharpe ratio per session; None where there is none, or the trial did not come to its end."""

    def as_json(self) -> JsonObject:
        """Return the line that enters it."""
        return {"kind": "trial", **asdict(self)}


FIELDS = tuple(item.name for item in fields(Trial))
_TRIAL = TypeAdapter(Trial)


class HeaderLine(Entry):
    """The first line."""

    kind: Literal["registry"]
    """Tells the lines apart."""
    version: int = Field(alias="schema")
    """The form of the file."""
    id: str
    """What runs name it by."""
    at: str
    """When it was begun, ISO, UTC."""


class ResultLine(Entry):
    """A run came to its end."""

    kind: Literal["result"]
    """Tells the lines apart."""
    run_id: str
    """The run."""
    sharpe: Number | None
    """Sharpe ratio per session; None where there is none."""
    at: str = ""
    """When, ISO, UTC."""


class RebuiltLine(Entry):
    """The registry was damaged and made anew: there may have been more trials than it knows."""

    kind: Literal["rebuilt"]
    """Tells the lines apart."""
    at: str = ""
    """When, ISO, UTC."""
    why: str = ""
    """What was wrong."""
    lost_lines: int = 0
    """How many lines could not be read."""


RegistryLine = HeaderLine | Trial | ResultLine | RebuiltLine
_LINES: Mapping[str, type[HeaderLine | ResultLine | RebuiltLine]] = {
    "registry": HeaderLine,
    "result": ResultLine,
    "rebuilt": RebuiltLine,
}


def read_lines(raw: Sequence[Line], path: Path) -> list[RegistryLine]:
    """Check lines whose hashes are right; kinds that this version does not know are left out.

    Raises:
        BadFileError: naming file and field.
    """
    lines: list[RegistryLine] = []
    for number, line in enumerate(raw, start=1):
        kind, where = str(line.get("kind")), f"{path}, line {number},"
        if kind == "trial":
            lines.append(_trial(line, where))
        elif kind in _LINES:
            lines.append(_LINES[kind].read(line, where, mend=MEND))
    return lines


def _trial(line: Line, where: str) -> Trial:
    try:
        return _TRIAL.validate_python({name: line[name] for name in FIELDS if name in line})
    except ValidationError as error:
        raise BadFileError(f"{where} is damaged: {first_fault(error)}", mend=MEND) from error


def is_entry(line: Line) -> bool:
    """Whether a line that lost its place in the chain still says what was tried, or how it ended."""
    wanted = {"trial": FIELDS, "result": ("run_id", "sharpe"), "rebuilt": ()}.get(str(line.get("kind")))
    return wanted is not None and all(name in line for name in wanted)


def trial_of_run(run: RunRecord) -> Trial:
    """Return a run as a trial."""
    return trial_of_settings(
        run.config.as_json(),
        run.agent_settings,
        start=run.window.start,
        end=run.window.end,
        synthetic=run.synthetic,
        run_id=run.run_id,
        at=run.started_at,
    )


def trial_of_settings(
    config: Mapping[str, Json],
    agent_settings: Mapping[str, Json],
    *,
    start: str,
    end: str,
    synthetic: bool,
    run_id: str | None = None,
    at: str = "",
) -> Trial:
    """Return settings tried on a window as a trial.

    Args:
        config: every setting of the run, as JSON values.
        agent_settings: the agent's as it took them: a default that was typed is no other setting.
        start: first session, ISO date.
        end: last session, ISO date.
        synthetic: whether the data are those of a sample world.
        run_id: the run; None for one without a folder.
        at: when, ISO, UTC.
    """
    tried = {name: value for name, value in config.items() if name not in _APART}
    given = config["settings"]
    tables = trading_tables(given) if isinstance(given, Mapping) else {}
    return Trial(
        origin="run",
        agent=str(config["agent"]),
        ticker=str(config["ticker"]),
        world=f"{config['world']}/{config['world_seed']}" if synthetic else None,
        start=start,
        end=end,
        settings=settings_hash({**tried, "settings": {**agent_settings, **tables}}),
        seed=_seed(config),
        run_id=run_id,
        at=at,
    )


def _seed(config: Mapping[str, Json]) -> int:
    seed = config["seed"]
    return seed if isinstance(seed, int) else 0


def settings_hash(settings: Mapping[str, Json]) -> str:
    """Return SHA-256 (hex) over settings as canonical JSON."""
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()


def with_results(lines: Sequence[RegistryLine]) -> list[Trial]:
    """Return all trials in order, with what is known of their results."""
    trials: list[Trial] = []
    places: dict[str, int] = {}
    for line in lines:
        if isinstance(line, Trial):
            if line.run_id is not None:
                places[line.run_id] = len(trials)
            trials.append(line)
        elif isinstance(line, ResultLine) and line.run_id in places:
            place = places[line.run_id]
            trials[place] = replace(trials[place], finished=True, sharpe=line.sharpe)
    return trials


class _Figures(Entry):
    sharpe: Number | None


class _Column(Entry):
    metrics: _Figures


class AgentSharpe(Entry):
    """What the registry reads of ``metrics.json``."""

    columns: Many[_Column]
    """The agent first."""
    bars_per_year: Number | None = None
    """How many sessions its year has; None in files of before this was measured."""

    @property
    def annual(self) -> float | None:
        """The agent's Sharpe ratio a year; None where there is none."""
        return self.columns[0].metrics.sharpe if self.columns else None
