"""The journal: a step is whole or absent, reads back as written, and its digest ignores timings alone."""

import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from varve.backtests.record.digest import digest_1
from varve.backtests.record.journal import Journal
from varve.backtests.record.step import StepRecord
from varve.errors import IntegrityError, StorageError
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
    Portfolio,
    Usage,
)

TSLA = Instrument("TSLA")
AT = datetime(2023, 1, 4, 14, 0, tzinfo=UTC)


def a_step(step: int = 0, seconds: float = 0.5) -> StepRecord:
    return StepRecord(
        phase="trade",
        step=step,
        session=date(2023, 1, 3),
        decision_at=AT.replace(day=4 + step),
        fill_session=date(2023, 1, 4),
        instrument="TSLA",
        observation_hash="ab",
        decision=Decision((Intent(TSLA, Action.BUY),), 70, "why", ("m000001",), usage=Usage(10, 2, 1)),
        orders=(Order("TSLA", 3.0),),
        fills=(Fill("TSLA", date(2023, 1, 4), AT, 3.0, 100.0, 100.1, 1.0),),
        outcomes=(),
        portfolio=Portfolio("USD", 700.0, 1000.0, {"TSLA": 3.0}),
        model_calls=(ModelCall("decide", ({"role": "user", "content": "é"},), (), {}, Usage(), 0, seconds),),
        memory_events=(MemoryEvent("added", "m000001", AT, {"text": "x"}),),
        seconds=seconds,
    )


def written(folder, *records, run_id="r"):
    journal = Journal(folder / "journal.db", run_id=run_id)
    for record in records:
        journal.append(record)
    return journal


def test_a_step_reads_back_as_it_was_written(tmp_path):
    journal = written(tmp_path, a_step())
    (row,) = journal.rows("steps")
    assert row.decision.orders == (("TSLA", "BUY"),)
    assert row.fills[0].price == 100.1
    assert row.portfolio.positions == {"TSLA": 3.0}
    (call,) = journal.rows("model_calls")
    assert call.messages == ({"role": "user", "content": "é"},)
    (event,) = journal.rows("memory_events")
    assert (event.kind, event.at, event.data) == ("added", "2023-01-04T14:00:00Z", {"text": "x"})


def test_digest_ignores_timings_and_run_names_but_nothing_else(tmp_path):
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
    plain = digest_1(written(tmp_path / "a", a_step()), [])
    assert digest_1(written(tmp_path / "b", a_step(seconds=9.0), run_id="other"), []) == plain
    failed = replace(a_step(), decision=Decision(failure=Failure(FailureReason.EMPTY_REPLY, "nothing")))
    assert digest_1(written(tmp_path / "c", failed), []) != plain
    moved = replace(a_step(), memory_events=())
    assert digest_1(written(tmp_path / "d", moved), []) != plain


def test_digest_holds_the_derived_files(tmp_path):
    journal = written(tmp_path, a_step())
    file = tmp_path / "equity.csv"
    file.write_text("1")
    before = digest_1(journal, [file])
    file.write_text("2")
    assert digest_1(journal, [file]) != before


def test_a_step_that_cannot_be_written_leaves_nothing_of_itself(tmp_path):
    journal = written(tmp_path, a_step(0))
    twice = replace(a_step(1), memory_events=(*a_step().memory_events,) * 2)
    broken = replace(twice, model_calls=(replace(a_step().model_calls[0], stage=None),))  # NOT NULL refuses
    with pytest.raises(StorageError, match="step 1 of 2023-01-03"):
        journal.append(broken)
    assert [row.step for row in journal.rows("steps")] == [0]
    assert len(list(journal.rows("memory_events"))) == 1
    journal.append(twice)
    assert [row.step for row in journal.rows("steps")] == [0, 1]


def test_a_newer_schema_is_refused(tmp_path):
    written(tmp_path, a_step()).close()
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("PRAGMA user_version = 4")
    with pytest.raises(IntegrityError, match="schema 4"):
        Journal(tmp_path / "journal.db", run_id="r")


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    (tmp_path / "journal.db").write_text("not a database, but long enough to look at " * 50)
    with pytest.raises(IntegrityError, match="damaged"):
        Journal(tmp_path / "journal.db", run_id="r")


@pytest.mark.parametrize("steps", [1, 4])
def test_kill_9_keeps_every_finished_step(tmp_path, steps):
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from tests.backtests.record.test_journal import a_step, written
written(Path({str(tmp_path)!r}), *(a_step(i) for i in range({steps})))
print("ready", flush=True)
import time; time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    journal = Journal(tmp_path / "journal.db", run_id="r")
    assert [row.step for row in journal.rows("steps")] == list(range(steps))
