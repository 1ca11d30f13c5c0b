"""The journal: one SQLite transaction per step, holding everything that happened in it.

Key of a step: run, phase, step, decision instant, instrument. Every other file of a run folder is
derived from the journal and the inputs, and can be deleted and built again.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, overload

from varve.backtests.record.folder import COPY_AGAIN, RunFolder
from varve.backtests.record.rows import CallRow, EventRow, StepKey, StepRow
from varve.backtests.record.run_record import RunRecord
from varve.backtests.record.step import Phase, StepRecord
from varve.bounded import parse_json
from varve.clock import iso
from varve.config import canonical_json
from varve.errors import IntegrityError, StorageError
from varve.finllm.chat.reply_source import image_name
from varve.sqlite import Kind, SqliteFile
from varve.types import Decision, Fill, Json, JsonObject, ModelCall, Outcome, Portfolio

Table = Literal["steps", "model_calls", "memory_events"]
TABLES: tuple[Table, ...] = ("steps", "model_calls", "memory_events")

_SCHEMA = """
CREATE TABLE steps (
    run_id TEXT NOT NULL, phase TEXT NOT NULL, step INTEGER NOT NULL, decision_at TEXT NOT NULL,
    instrument TEXT NOT NULL, session TEXT NOT NULL, fill_session TEXT, observation_hash TEXT NOT NULL,
    decision TEXT NOT NULL, failure TEXT, orders TEXT NOT NULL, fills TEXT NOT NULL,
    outcomes TEXT NOT NULL, portfolio TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (run_id, phase, step, decision_at, instrument)
) STRICT;
CREATE TABLE model_calls (
    run_id TEXT NOT NULL, phase TEXT NOT NULL, step INTEGER NOT NULL, decision_at TEXT NOT NULL,
    instrument TEXT NOT NULL, ordinal INTEGER NOT NULL, stage TEXT NOT NULL, messages TEXT NOT NULL,
    tools TEXT NOT NULL, reply TEXT NOT NULL, usage TEXT NOT NULL, cut_items INTEGER NOT NULL,
    attempt INTEGER NOT NULL, cached INTEGER NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (run_id, phase, step, decision_at, instrument, ordinal)
) STRICT;
CREATE TABLE memory_events (
    run_id TEXT NOT NULL, phase TEXT NOT NULL, step INTEGER NOT NULL, decision_at TEXT NOT NULL,
    instrument TEXT NOT NULL, ordinal INTEGER NOT NULL, kind TEXT NOT NULL, memory_id TEXT NOT NULL,
    at TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (run_id, phase, step, decision_at, instrument, ordinal)
) STRICT;
"""

_IMAGES = "CREATE TABLE images (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT;"
"""From schema 2 on: the images that messages name, each once; the name stands for them in the digest."""

_EXCHANGE = "ALTER TABLE steps ADD COLUMN became TEXT; ALTER TABLE steps ADD COLUMN bar TEXT;"
"""From schema 3 on: what became of each decision's wish, and what the exchange did beside the fills; null in
steps that were written before."""

_KIND = Kind(
    name="journal",
    migrations=(_SCHEMA, _IMAGES, _EXCHANGE),
    mend_open="check the folder and its rights",
    mend_damaged=COPY_AGAIN,
    mend_newer="use the newer Varve that wrote it",
)

UNCOMPARED = frozenset({"run_id", "seconds", "attempt", "cached"})
"""Columns that may differ between equal runs."""
SINCE_SCHEMA_3 = frozenset({"became", "bar"})
"""Columns that version 1 of the run digest does not know."""

ROWS: Mapping[Table, type[StepRow | CallRow | EventRow]] = {
    "steps": StepRow,
    "model_calls": CallRow,
    "memory_events": EventRow,
}


@dataclass(frozen=True)
class JournaledStep:
    """One step as it was written: its own row, and those of its model calls and memory events."""

    row: StepRow
    """The step itself."""
    model_calls: tuple[CallRow, ...]
    """What the model was asked in it, in order."""
    memory_events: tuple[EventRow, ...]
    """What memory did in it, in order."""


class Journal:
    """A run's journal; open one per run folder.

    Raises:
        StorageError: if the file cannot be opened or written.
        IntegrityError: if it was written by a newer schema.
    """

    def __init__(self, path: Path, *, run_id: str, read_only: bool = False) -> None:
        self.path, self.run_id = path, run_id
        self._file = SqliteFile(path, _KIND, read_only=read_only)
        self._db = self._file.db
        self._db.row_factory = sqlite3.Row

    def append(self, record: StepRecord) -> None:
        """Write one step in one transaction.

        Raises:
            StorageError: if it cannot be written (a full disk, say); nothing of the step is kept.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for table, rows in rows_of_record(self.run_id, record).items():
                self._insert(table, rows)
            images = {image_name(data): data for call in record.model_calls for data in call.images}
            self._db.executemany("INSERT OR IGNORE INTO images VALUES (?, ?)", images.items())
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StorageError(
                f"step {record.step} of {record.session} cannot be written to {self.path}: {error}",
                mend="free disk space; every earlier step is kept",
            ) from error

    def _insert(self, table: str, rows: Sequence[JsonObject]) -> None:
        if rows:
            names = ", ".join(rows[0])
            marks = ", ".join("?" * len(rows[0]))
            values = [[_written(name, value) for name, value in row.items()] for row in rows]
            self._db.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)

    def image(self, name: str) -> bytes | None:
        """The image that a message names by its SHA-256 (hex); None where it was not kept."""
        if self._db.execute("PRAGMA user_version").fetchone()[0] < 2:
            return None
        try:
            row = self._db.execute("SELECT data FROM images WHERE sha256 = ?", [name]).fetchone()
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"journal {self.path} is damaged: images cannot be read: {error}", mend=COPY_AGAIN
            ) from error
        if row is not None and image_name(row[0]) != name:
            raise IntegrityError(f"journal {self.path} is damaged: image {name[:12]}…", mend=COPY_AGAIN)
        return None if row is None else bytes(row[0])

    def steps(self) -> list[JournaledStep]:
        """Everything recorded, step by step in the order of time."""
        calls: dict[StepKey, list[CallRow]] = {}
        for call in self.rows("model_calls"):
            calls.setdefault(call.key, []).append(call)
        events: dict[StepKey, list[EventRow]] = {}
        for event in self.rows("memory_events"):
            events.setdefault(event.key, []).append(event)
        return [
            JournaledStep(row, tuple(calls.get(row.key, ())), tuple(events.get(row.key, ())))
            for row in self.rows("steps")
        ]

    @overload
    def rows(self, table: Literal["steps"], phase: Phase | None = None) -> Iterator[StepRow]: ...

    @overload
    def rows(self, table: Literal["model_calls"], phase: Phase | None = None) -> Iterator[CallRow]: ...

    @overload
    def rows(self, table: Literal["memory_events"], phase: Phase | None = None) -> Iterator[EventRow]: ...

    def rows(self, table: Table, phase: Phase | None = None) -> Iterator[StepRow | CallRow | EventRow]:
        """Give the rows of a table in order, each checked once.

        Raises:
            IntegrityError: if the file is damaged.
            BadFileError: if a row is not what is written there; it names the field.
        """
        model = ROWS[table]
        for raw in self.raw_rows(table, phase):
            where = f"{self.path}, {table} of {raw.get('phase')} step {raw.get('step')},"
            yield model.read(raw, where, mend=COPY_AGAIN)

    def raw_rows(self, table: str, phase: Phase | None = None) -> Iterator[JsonObject]:
        """Give the rows of a table in order, every column by name, JSON columns as values.

        Raises:
            IntegrityError: if the file is damaged.
        """
        where, arguments = "WHERE run_id = ?", [self.run_id]
        if phase is not None:
            where, arguments = where + " AND phase = ?", [*arguments, phase]
        # Phases in the order of time: every warm-up instant lies before every trading one.
        order = "decision_at, step, instrument" + ("" if table == "steps" else ", ordinal")
        try:
            for row in self._db.execute(f"SELECT * FROM {table} {where} ORDER BY {order}", arguments):
                yield {name: _read(name, row[name]) for name in row.keys()}  # noqa: SIM118 (sqlite3.Row)
        except (sqlite3.DatabaseError, ValueError) as error:
            raise IntegrityError(
                f"journal {self.path} is damaged: {table} cannot be read: {error}",
                mend=COPY_AGAIN,
            ) from error

    def close(self) -> None:
        """Close the file; the write-ahead log is folded into it."""
        self._file.close()


_JSON_COLUMNS = frozenset(
    {
        "decision",
        "orders",
        "fills",
        "became",
        "bar",
        "outcomes",
        "portfolio",
        "messages",
        "tools",
        "reply",
        "usage",
        "data",
    }
)


def _read(name: str, value: str | int | float | bytes | None) -> Json:
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{name} holds what is no text and no number")
    if name not in _JSON_COLUMNS:
        return value
    read: Json = parse_json(value if isinstance(value, str) else "null")
    return read


def _written(name: str, value: Json) -> Json:
    return canonical_json(value) if name in _JSON_COLUMNS else value


def rows_of_record(run_id: str, record: StepRecord) -> dict[Table, list[JsonObject]]:
    """Return the rows of a step by table, as they are written."""
    key: JsonObject = {
        "run_id": run_id,
        "phase": record.phase,
        "step": record.step,
        "decision_at": iso(record.decision_at),
        "instrument": record.instrument,
    }
    return {
        "steps": [{**key, **_step_columns(record)}],
        "model_calls": [
            {**key, "ordinal": i, **_call_columns(call)} for i, call in enumerate(record.model_calls)
        ],
        "memory_events": [
            {**key, "ordinal": i, "kind": e.kind, "memory_id": e.memory_id, "at": iso(e.at), "data": e.data}
            for i, e in enumerate(record.memory_events)
        ],
    }


def _step_columns(record: StepRecord) -> JsonObject:
    return {
        "session": iso(record.session),
        "fill_session": None if record.fill_session is None else iso(record.fill_session),
        "observation_hash": record.observation_hash,
        "decision": decision_json(record.decision),
        "failure": record.decision.failure.reason.value if record.decision.failure else None,
        "orders": [list(order) for order in record.orders],
        "fills": [fill_json(fill) for fill in record.fills],
        "outcomes": [outcome_json(outcome) for outcome in record.outcomes],
        "portfolio": portfolio_json(record.portfolio),
        "seconds": record.seconds,
        "became": [one._asdict() for one in record.became],
        "bar": None if record.bar is None else record.bar._asdict(),
    }


def _call_columns(call: ModelCall) -> JsonObject:
    columns: JsonObject = {f.name: getattr(call, f.name) for f in fields(call) if f.name != "images"}
    return {**columns, "usage": asdict(call.usage), "cached": int(call.cached)}


def decision_json(decision: Decision) -> JsonObject:
    """A decision as JSON values."""
    failure = decision.failure
    return {
        "orders": [[intent.instrument.symbol, intent.action.value] for intent in decision.orders],
        "confidence": decision.confidence,
        "rationale": decision.rationale,
        "cited_memories": list(decision.cited_memories),
        "tool_calls": [asdict(call) for call in decision.tool_calls],
        "usage": asdict(decision.usage),
        "failure": None
        if failure is None
        else {"reason": failure.reason.value, "detail": failure.detail, "attempts": failure.attempts},
        # Left out where there are none: records of agents without stages stay as they were.
        **({"stages": [asdict(note) for note in decision.stages]} if decision.stages else {}),
    }


def fill_json(fill: Fill) -> JsonObject:
    """A fill as JSON values."""
    return {**fill._asdict(), "session": iso(fill.session), "filled_at": iso(fill.filled_at)}


def outcome_json(outcome: Outcome) -> JsonObject:
    """An outcome as JSON values."""
    return {
        **asdict(outcome),
        "cited_memories": list(outcome.cited_memories),
        "decided_at": iso(outcome.decided_at),
        "available_at": iso(outcome.available_at),
        "fill_session": iso(outcome.fill_session),
        "exit_session": iso(outcome.exit_session),
    }


def portfolio_json(portfolio: Portfolio) -> JsonObject:
    """A portfolio as JSON values."""
    return {
        "currency": portfolio.currency,
        "cash": portfolio.cash,
        "equity": portfolio.equity,
        "positions": dict(portfolio.positions),
    }


def recorded_steps(folder: RunFolder, run: RunRecord) -> list[JournaledStep]:
    """Return the steps of a run's journal, lessons first."""
    journal = Journal(folder.journal, run_id=run.run_id, read_only=True)
    try:
        return journal.steps()
    finally:
        journal.close()
