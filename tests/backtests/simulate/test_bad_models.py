"""A model server that misbehaves: failures are counted, faults stop the run, nothing is lost."""

import json
import sqlite3

import pytest

from varve.testing.model_server import FakeModelServer

WINDOW = ("--start", "2023-03-01", "--end", "2023-03-31", "--warmup-start", "2023-02-15")


def run(backtest, server, *more):
    return backtest(
        "run",
        "--agent",
        "finmem",
        "--ticker",
        "TSLA",
        "--llm",
        f"openai:fake@{server.base_url}",
        *WINDOW,
        *more,
    )


def the_run(home):
    (folder,) = (home / "runs").iterdir()
    return folder


def journal(folder, sql):
    with sqlite3.connect(folder / "journal.db") as db:
        rows = db.execute(sql).fetchall()
    db.close()
    return rows


@pytest.fixture(autouse=True)
def _a_key_and_no_patience(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")
    monkeypatch.setattr("varve.finllm.chat.session.time.sleep", lambda seconds: None, raising=False)


def test_a_well_behaved_server_runs_to_a_report(backtest, varve_home):
    with FakeModelServer(["ok"]) as server:
        code, out, err = run(backtest, server, "--json")
        assert code == 0, err
        asked = len(server.requests)
    agent = json.loads(out)["columns"][0]["metrics"]
    assert (agent["failures"], agent["decisions"]) == (0, 22)
    assert agent["usage"]["calls"] == asked
    folder = the_run(varve_home)
    assert "fake" in json.loads((folder / "run.json").read_text())["config"]["llm"]
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"sk-secret-of-the-test" not in path.read_bytes(), path


@pytest.mark.parametrize(
    "behaviour", ["empty", "nonsense", "unknown_memory", "wrong_action", "cut", "bad_json"]
)
def test_one_bad_reply_is_asked_again_and_not_counted(backtest, varve_home, behaviour):
    with FakeModelServer(["ok", "ok", "ok", "ok", behaviour, "ok"]) as server:
        code, out, err = run(backtest, server, "--json")
    assert code == 0, err
    assert json.loads(out)["columns"][0]["metrics"]["failures"] == 0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [("empty", "empty_reply"), ("nonsense", "unparsable"), ("unknown_memory", "unknown_memory"),
     ("wrong_action", "unknown_action"), ("cut", "token_limit")],
)  # fmt: skip
def test_two_bad_replies_are_a_failure_with_its_reason(backtest, varve_home, behaviour, reason):
    # The warm-up asks first; the failure falls on a trading day.
    with FakeModelServer([*["ok"] * 10, behaviour, behaviour, "ok"]) as server:
        code, out, err = run(backtest, server, "--json")
    assert code == 0, err
    agent = json.loads(out)["columns"][0]["metrics"]
    assert agent["failures"] + agent["warmup_failures"] == 1
    folder = the_run(varve_home)
    assert journal(folder, "SELECT failure FROM steps WHERE failure IS NOT NULL") == [(reason,)]
    (decision,) = journal(folder, "SELECT decision FROM steps WHERE failure IS NOT NULL")[0:1]
    made = json.loads(decision[0])["failure"]
    assert made["attempts"] == 2
    memories = journal(folder, "SELECT data FROM memory_events WHERE kind = 'added'")
    assert not [m for (m,) in memories if reason in m]


def test_too_many_failures_stop_the_run_and_keep_its_steps(backtest, varve_home):
    with FakeModelServer(["nonsense"]) as server:
        code, out, err = run(backtest, server)
    assert code == 4
    assert out == ""
    assert "5 of 50" in err
    folder = the_run(varve_home)
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["status"] == "stopped"
    assert "no decision" in manifest["reason"]
    assert journal(folder, "SELECT count(*) FROM steps WHERE failure IS NOT NULL") == [(6,)]


@pytest.mark.parametrize("behaviour", ["500", "429", "close"])
def test_a_passing_fault_is_tried_again(backtest, varve_home, behaviour):
    with FakeModelServer(["ok", behaviour, behaviour, "ok"]) as server:
        code, out, err = run(backtest, server, "--json")
    assert code == 0, err
    assert json.loads(out)["columns"][0]["metrics"]["failures"] == 0


def test_a_server_that_stays_away_stops_the_run_without_a_decision(backtest, varve_home):
    with FakeModelServer([*["ok"] * 12, "500"]) as server:
        code, out, err = run(backtest, server)
    assert code == 4
    assert out == ""
    assert "500" in err
    assert "sk-secret" not in err
    folder = the_run(varve_home)
    assert json.loads((folder / "run.json").read_text())["status"] == "stopped"
    steps = journal(folder, "SELECT phase, step FROM steps")
    assert len(steps) == 12
    assert journal(folder, "SELECT count(*) FROM steps WHERE failure IS NOT NULL") == [(0,)]


def test_nobody_listening_is_named(backtest, varve_home):
    code, _, err = backtest(
        "run", "--agent", "finmem", "--ticker", "TSLA", "--llm", "openai:fake@http://127.0.0.1:9/v1", *WINDOW
    )
    assert code == 4
    assert "127.0.0.1:9" in err
