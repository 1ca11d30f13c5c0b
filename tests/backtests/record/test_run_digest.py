"""The run digest: version 2 hashes what it names and nothing else; an old run keeps version 1 as it was."""

import hashlib
import json
import shutil
import sqlite3
from datetime import date

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.derive import derive
from varve.backtests.integrity.audit import audit_run
from varve.backtests.integrity.replay import replay_run
from varve.backtests.record.digest import LATEST, VERSION_2, digest_1, digest_2, projected
from varve.backtests.record.folder import DERIVED_FILES, RunFolder
from varve.backtests.record.journal import Journal
from varve.backtests.resume import resume_run, unfinished_run
from varve.backtests.runner import run_backtest
from varve.config import canonical_json
from varve.errors import BadFileError, IntegrityError

GIVEN = {
    "ticker": "TSLA", "data": "sample", "start": date(2023, 3, 1), "end": date(2023, 3, 24),
    "llm": "scripted", "warmup_start": date(2023, 2, 1),
}  # fmt: skip
CONFIG = RunConfig.build(agent="finmem", **GIVEN)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("VARVE_HOME", str(tmp_path_factory.mktemp("home")))
    yield run_backtest(CONFIG)
    patch.undo()


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "copied")
    return RunFolder(tmp_path / "copied")


def digests(folder):
    """Versions 1 and 2 of what lies in a folder now."""
    journal = Journal(folder.journal, run_id=folder.read().run_id, read_only=True)
    try:
        return digest_1(journal, folder.derived), digest_2(journal)
    finally:
        journal.close()


def change(folder, *statements):
    with sqlite3.connect(folder.journal) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def edit(folder, table, column, change_it):
    """Change a JSON cell of the last row."""
    with sqlite3.connect(folder.journal) as db:
        rowid, text = db.execute(f"SELECT rowid, {column} FROM {table} ORDER BY rowid DESC").fetchone()
        changed = json.dumps(change_it(json.loads(text)))
        db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [changed, rowid])
    db.close()


def as_old(folder):
    """Make a run one of before there were versions: as that Varve left it."""
    raw = json.loads((folder.path / "run.json").read_text())
    del raw["digest_version"]
    raw["run_digest"] = digests(folder)[0]
    (folder.path / "run.json").write_text(json.dumps(raw, indent=2) + "\n")
    return raw["run_digest"]


def test_a_new_run_has_the_newest_version(finished):
    run = finished.read()
    assert run.digest_version == LATEST == 2
    assert run.run_digest == digests(finished)[1] != digests(finished)[0]


def test_what_version_2_names_is_fixed():
    # Never edit it: a new field belongs to a new number.
    told = hashlib.sha256(canonical_json(VERSION_2).encode()).hexdigest()
    assert told == "4ad499e45099567903f69894632dd7e70c3fc3404df0ce696eefd62f77de0be6"


def test_a_column_that_is_added_later_does_not_change_version_2(copy):
    one, two = digests(copy)
    change(
        copy,
        "ALTER TABLE steps ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'",
        "ALTER TABLE model_calls ADD COLUMN price REAL NOT NULL DEFAULT 0.5",
        "ALTER TABLE memory_events ADD COLUMN why TEXT",
    )
    assert digests(copy)[1] == two
    assert digests(copy)[0] != one
    assert replay_run(copy).digest == two


@pytest.mark.parametrize(
    ("table", "column"), [("steps", "decision"), ("steps", "portfolio"), ("model_calls", "reply")]
)
def test_an_entry_that_is_added_later_does_not_change_version_2(copy, table, column):
    two = digests(copy)[1]
    edit(copy, table, column, lambda value: {**value, "later": 1})
    assert digests(copy)[1] == two


def test_version_2_holds_no_name_timing_attempt_cache_hit_or_derived_file(copy):
    two = digests(copy)[1]
    for table in VERSION_2:
        change(copy, f"UPDATE {table} SET run_id = 'another'")
    change(
        copy, "UPDATE steps SET seconds = 9", "UPDATE model_calls SET seconds = 9, attempt = 1, cached = 1"
    )
    copy.update(run_id="another")
    for path in copy.derived:
        path.write_text("other")
    assert digests(copy)[1] == two


@pytest.mark.parametrize("table", VERSION_2)
def test_version_2_holds_every_field_that_it_names(copy, table):
    rows = digests(copy)
    for column in VERSION_2[table]:
        other = {"step": "step + 100", "ordinal": "ordinal + 100", "cut_items": "cut_items + 1"}
        value = other.get(column, "'\"other\"'")
        if column == "phase":
            continue  # Every other phase is no phase.
        again = RunFolder(copy.path.with_name(f"{table}-{column}"))
        shutil.copytree(copy.path, again.path)
        change(again, f"UPDATE {table} SET {column} = {value} WHERE rowid = (SELECT max(rowid) FROM {table})")
        assert digests(again)[1] != rows[1], column


def test_fields_are_taken_from_objects_in_lists_and_absent_ones_stay_absent():
    fields = {"a": None, "b": {"c": None}}
    assert projected([{"a": 1, "x": 2}, {"b": {"c": None, "x": 1}}], fields) == [{"a": 1}, {"b": {"c": None}}]
    assert projected({"b": None}, fields) == {"b": None}
    assert projected({"a": {"x": 1}}, fields) == {"a": {"x": 1}}


def test_an_old_run_verifies_with_its_derived_files_as_they_are_stored(copy):
    # A table as another version of Varve writes it; it is not built again, but hashed as it stands.
    (copy.path / "equity.csv").write_text("session,equity\n")
    digest = as_old(copy)
    assert replay_run(copy).digest == digest
    assert (copy.path / "equity.csv").read_text() == "session,equity\n"


@pytest.mark.parametrize("name", DERIVED_FILES)
def test_an_old_run_with_an_edited_or_missing_table_says_so(copy, name):
    as_old(copy)
    (copy.path / name).write_text("edited")
    with pytest.raises(IntegrityError, match=rf"every step is equal.*{name}") as caught:
        replay_run(copy)
    assert "backtest report" in caught.value.mend
    (copy.path / name).unlink()
    with pytest.raises(BadFileError, match=rf"{name} is missing"):
        replay_run(copy)
    derive(copy)
    assert replay_run(copy).digest == copy.read().run_digest


def test_a_report_never_lifts_an_old_run_to_a_newer_version(copy):
    (copy.path / "equity.csv").write_text("session,equity\n")
    digest = as_old(copy)
    before = {path.name: path.read_bytes() for path in copy.derived}
    derive(copy)
    assert (copy.read().run_digest, copy.read().digest_version) == (digest, 1)
    assert "digest_version" not in json.loads((copy.path / "run.json").read_text())
    assert {path.name: path.read_bytes() for path in copy.derived} == before
    assert digest in copy.report.read_text()
    assert replay_run(copy).digest == digest


def test_an_old_run_whose_tables_are_lost_keeps_its_digest_and_no_longer_verifies(copy):
    (copy.path / "equity.csv").write_text("session,equity\n")
    digest = as_old(copy)
    (copy.path / "equity.csv").unlink()
    derive(copy)
    # Built again, it is not what was hashed.
    assert (copy.path / "equity.csv").read_text() != "session,equity\n"
    assert copy.read().run_digest == digest
    with pytest.raises(IntegrityError, match=r"every step is equal.*equity\.csv"):
        replay_run(copy)


def test_a_card_stays_tied_to_an_old_run(copy):
    digest = as_old(copy)
    checks = audit_run(copy, seeds=0)
    assert [check.passed for check in checks] == [True] * 4
    derive(copy)
    assert json.loads((copy.path / "audit.json").read_text())["run_digest"] == digest
    assert "<h2>Audit</h2>" in copy.report.read_text()


def test_an_old_run_that_was_stopped_is_finished_in_the_latest_version(finished, monkeypatch, tmp_path):
    def stop(record, done, total):
        if done == 9:
            raise KeyboardInterrupt

    monkeypatch.setenv("VARVE_HOME", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        run_backtest(CONFIG, on_step=stop)
    folder = unfinished_run(CONFIG)
    raw = json.loads((folder.path / "run.json").read_text())
    del raw["digest_version"]
    (folder.path / "run.json").write_text(json.dumps(raw, indent=2) + "\n")
    run = resume_run(folder).read()
    assert (run.digest_version, run.run_digest) == (2, digests(finished)[1])
    assert replay_run(folder).digest == run.run_digest
