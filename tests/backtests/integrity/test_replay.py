"""Replay: a run comes out again without its model, and the first difference is named."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import date

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.integrity.replay import replay_run
from varve.backtests.record.differences import MISSING, first_difference
from varve.backtests.record.folder import RunFolder
from varve.backtests.runner import run_backtest
from varve.errors import BadFileError, IntegrityError
from varve.testing.model_server import FakeModelServer

WINDOW = {"start": date(2023, 3, 1), "end": date(2023, 3, 24), "warmup_start": date(2023, 2, 10)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished FinMem run; tests work on copies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VARVE_HOME", str(tmp_path_factory.mktemp("home")))
        return run_backtest(RunConfig.build(agent="finmem", ticker="TSLA", **WINDOW))


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished.path, tmp_path / "copied")
    return RunFolder(tmp_path / "copied")


def change(folder, sql, *values):
    with sqlite3.connect(folder.journal) as db:
        assert db.execute(sql, values).rowcount > 0
    db.close()


def edit(folder, table, column, change_it, where):
    """Change one JSON cell by hand."""
    with sqlite3.connect(folder.journal) as db:
        rowid, value = db.execute(f"SELECT rowid, {column} FROM {table} WHERE {where}").fetchone()
        db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (change_it(value), rowid))
    db.close()


def test_a_run_replays_to_its_digest_on_another_machine(copy, varve_home):
    before = {path: path.read_bytes() for path in copy.path.rglob("*") if path.is_file()}
    replayed = replay_run(copy)
    assert replayed.digest == copy.read().run_digest
    assert replayed.steps == 7 + 17
    assert {path: path.read_bytes() for path in copy.path.rglob("*") if path.is_file()} == before
    assert list(varve_home.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "column", "change_it", "where", "named"),
    [
        ("steps", "portfolio", lambda v: v.replace('"cash":', '"cash":1'), "phase='trade' AND step=4",
         ["trading step 4", "2023-03-08", "portfolio.cash"]),
        ("steps", "observation_hash", lambda v: "0" * 64, "phase='warmup' AND step=2",
         ["warm-up step 2", "observation_hash", "0000"]),
        ("model_calls", "messages", lambda v: v.replace("TSLA", "TSLB", 1), "phase='trade' AND step=3",
         ["trading step 3", "model_calls[0].messages", "TSLB", "TSLA"]),
        ("model_calls", "reply", lambda v: v.replace('"rationale":"', '"rationale":"Invented: '),
         "phase='trade' AND step=5 AND reply LIKE '%confidence%'",
         ["trading step 5", "rationale", "Invented"]),
        ("memory_events", "data", lambda v: v.replace("{", '{"more":1,', 1), "phase='trade' AND step=6",
         ["trading step 6", "memory_events[0].data.more", "recorded 1, now nothing"]),
    ],
)  # fmt: skip
def test_a_changed_journal_is_found_with_date_field_and_both_values(
    copy, table, column, change_it, where, named
):
    edit(copy, table, column, change_it, where)
    with pytest.raises(IntegrityError) as caught:
        replay_run(copy)
    for part in named:
        assert part in str(caught.value)


def test_a_missing_step_is_found(copy):
    for table in ("steps", "model_calls", "memory_events"):
        change(copy, f"DELETE FROM {table} WHERE phase = 'trade' AND step = 16")
    with pytest.raises(IntegrityError, match="24 steps, its journal holds 23"):
        replay_run(copy)


def test_a_changed_digest_is_found(copy):
    copy.update(run_digest="0" * 64)
    with pytest.raises(IntegrityError, match="every step is equal"):
        replay_run(copy)


def test_other_data_is_refused(copy):
    copy.update(data_hash="0" * 64)
    with pytest.raises(IntegrityError, match="not the data of this run"):
        replay_run(copy)


def test_a_folder_without_its_data_says_so(copy):
    copy.inputs.unlink()
    with pytest.raises(BadFileError, match=r"inputs\.parquet"):
        replay_run(copy)


def test_a_journal_cut_short_in_its_file_is_damage(copy):
    whole = copy.journal.read_bytes()
    copy.journal.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(IntegrityError, match="damaged"):
        replay_run(copy)


def test_a_read_only_folder_replays(copy):
    for path in copy.path.iterdir():
        path.chmod(0o555 if path.is_dir() else 0o444)
    copy.path.chmod(0o555)
    try:
        assert replay_run(copy).digest is not None
    finally:
        copy.path.chmod(0o755)


def test_a_run_of_a_served_model_replays_without_server_key_or_cache(backtest, varve_home):
    with FakeModelServer(["ok", "ok", "nonsense", "ok", "empty", "nonsense", "ok"]) as server:
        code, _, err = backtest(
            "run", "--agent", "finmem", "--ticker", "TSLA", "--start", "2023-03-01", "--end", "2023-03-10",
            "--warmup-start", "2023-02-15", "--llm", f"openai:fake@{server.base_url}", "--quiet",
        )  # fmt: skip
    assert code == 0, err
    shutil.rmtree(varve_home / "cache")
    code, out, err = backtest("replay", "latest", "--json")
    assert code == 0, err
    (folder,) = (varve_home / "runs").iterdir()
    assert json.loads(out)["digest"] == json.loads((folder / "run.json").read_text())["run_digest"]


def test_a_replay_needs_neither_torch_nor_chromadb(finished):
    script = (
        "import sys\n"
        "absent = ('torch', 'transformers', 'chromadb', 'langchain_openai')\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in absent: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = ['backtest', 'replay', sys.argv[1]]\n"
        "from varve.cli import app as cli\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(finished.path)], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert finished.read().run_digest in done.stdout


def test_the_first_difference_in_order():
    then = {"a": [1, {"b": 2.0}], "c": "x"}
    assert first_difference(then, {"a": [1, {"b": 2.0}], "c": "x"}) is None
    assert first_difference(then, {"a": [1, {"b": 2.5}], "c": "y"}) == (".a[1].b", 2.0, 2.5)
    assert first_difference(then, {"a": [1], "c": "x"}) == (".a[1]", {"b": 2.0}, MISSING)
    assert first_difference({"a": None}, {"a": None, "d": 1}) == (".d", MISSING, 1)
    assert first_difference(1, 1.0) is not None
