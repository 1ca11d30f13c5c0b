"""Rows of the journal: equal to what was written, checked once, refused by table, step and field."""

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from varve.backtests.record.journal import TABLES, Journal
from varve.backtests.record.step import StepRecord
from varve.config import canonical_json
from varve.errors import BadFileError
from varve.types import (
    Action,
    Decision,
    Failure,
    FailureReason,
    Fill,
    Instrument,
    Intent,
    MemoryEvent,
    ModelCall,
    Order,
    Outcome,
    Portfolio,
    StageNote,
    ToolCall,
    Usage,
)

AT = datetime(2023, 1, 4, 14, tzinfo=UTC)
TSLA = Instrument("TSLA")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
usages = st.builds(Usage, *[st.integers(0, 99)] * 3)
days, instants = st.dates(date(2020, 1, 1), date(2029, 1, 1)), st.datetimes(timezones=st.just(UTC))


def many(strategy):
    return st.lists(strategy, max_size=2).map(tuple)


decisions = st.builds(
    Decision,
    orders=many(st.builds(Intent, st.just(TSLA), st.sampled_from(Action))),
    confidence=st.none() | st.integers(0, 100),
    rationale=texts,
    cited_memories=many(texts),
    tool_calls=many(st.builds(ToolCall, texts, objects, texts, st.none() | texts)),
    usage=usages,
    failure=st.none() | st.builds(Failure, st.sampled_from(FailureReason), texts, st.integers(1, 2)),
    stages=many(st.builds(StageNote, texts, st.sampled_from(["done", "failed", "skipped"]), texts)),
)
replies = st.fixed_dictionaries(
    {
        "content": texts | st.lists(objects, max_size=1),
        "tool_calls": st.lists(
            st.fixed_dictionaries({"id": st.none() | texts, "name": texts, "args": objects}), max_size=2
        ),
        "invalid_tool_calls": st.lists(objects, max_size=1),
        "finish_reason": st.none() | texts,
        "refusal": st.none() | texts,
    },
    optional={"cut_items": st.integers(1, 9)},
)
steps = st.builds(
    StepRecord,
    phase=st.sampled_from(["warmup", "trade"]),
    step=st.integers(0, 9),
    session=days,
    decision_at=instants,
    fill_session=st.none() | days,
    instrument=st.just("TSLA"),
    observation_hash=texts,
    decision=decisions,
    orders=many(st.builds(Order, texts, numbers)),
    fills=many(st.builds(Fill, texts, days, instants, *[numbers] * 4, st.none() | texts)),
    outcomes=many(
        st.builds(
            Outcome, st.integers(0, 9), texts, instants, instants, numbers, days, numbers, days, numbers,
            numbers, st.integers(1, 9), many(texts),
        )
    ),
    portfolio=st.builds(
        Portfolio, texts, numbers, numbers, st.dictionaries(texts, numbers, max_size=2)
    ),
    model_calls=many(
        st.builds(ModelCall, texts, many(objects), many(objects), replies, usages, st.integers(0, 1), numbers)
    ),
    memory_events=many(st.builds(MemoryEvent, texts, texts, instants, objects)),
    seconds=st.floats(0, 9),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("journals")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(record=steps)
def test_every_row_gives_back_what_was_written(folder, record):
    (folder / "journal.db").unlink(missing_ok=True)
    journal = Journal(folder / "journal.db", run_id="r")
    journal.append(record)
    for table in TABLES:
        raw, rows = list(journal.raw_rows(table)), [row.as_json() for row in journal.rows(table)]
        assert canonical_json(rows) == canonical_json(raw)
        assert [list(row) for row in rows] == [list(row) for row in raw]
    journal.close()


def a_step():
    return StepRecord(
        phase="trade", step=3, session=date(2023, 1, 3), decision_at=AT, fill_session=date(2023, 1, 4),
        instrument="TSLA", observation_hash="ab", decision=Decision((Intent(TSLA, Action.BUY),), 70, "why"),
        orders=(Order("TSLA", 3),), fills=(Fill("TSLA", date(2023, 1, 4), AT, 3, 100.0, 100.1, 1.0),),
        outcomes=(), portfolio=Portfolio("USD", 700.0, 1000.0, {"TSLA": 3.0}),
        model_calls=(ModelCall("decide", ({"role": "user"},), (), {}, Usage(), 0, 0.1),),
        memory_events=(MemoryEvent("added", "m1", AT, {"text": "x"}),), seconds=0.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "column", "change", "field"),
    [
        ("steps", "decision", lambda v: {**v, "confidence": "high"}, "decision.confidence"),
        ("steps", "portfolio", lambda v: {"cash": 1.0}, "portfolio.currency"),
        ("steps", "fills", lambda v: [{**v[0], "price": None}], "fills.0.price"),
        ("model_calls", "messages", lambda v: {}, "messages"),
        ("model_calls", "usage", lambda v: {**v, "calls": 1.5}, "usage.calls"),
        ("memory_events", "data", lambda v: ["x"], "data"),
    ],
)
def test_a_damaged_row_names_file_table_step_and_field(tmp_path, table, column, change, field):
    journal = Journal(tmp_path / "journal.db", run_id="r")
    journal.append(a_step())
    journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        (text,) = db.execute(f"SELECT {column} FROM {table}").fetchone()
        db.execute(f"UPDATE {table} SET {column} = ?", [json.dumps(change(json.loads(text)))])
    db.close()
    journal = Journal(tmp_path / "journal.db", run_id="r", read_only=True)
    with pytest.raises(BadFileError) as caught:
        list(journal.rows(table))
    journal.close()
    for part in (str(tmp_path / "journal.db"), f"{table} of trade step 3", field):
        assert part in caught.value.message
    assert "copy the run folder again" in caught.value.mend


def test_a_column_of_a_newer_version_is_read_over(tmp_path):
    journal = Journal(tmp_path / "journal.db", run_id="r")
    journal.append(a_step())
    journal.append(replace(a_step(), step=4, decision_at=AT + timedelta(days=1)))
    journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("ALTER TABLE steps ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")
    db.close()
    journal = Journal(tmp_path / "journal.db", run_id="r", read_only=True)
    assert [step.row.step for step in journal.steps()] == [3, 4]
    journal.close()
