"""Resume: a run stopped anywhere goes on to the digest that it would have had."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.integrity.replay import replay_run
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.writer_lock import sole_writer
from varve.backtests.resume import resume_run, unfinished_run
from varve.backtests.runner import run_backtest
from varve.errors import IntegrityError, ModelTransportError, UsageError
from varve.testing.model_server import FakeModelServer

SETTINGS = {
    "agent": "finmem",
    "llm": "scripted",
    "ticker": "TSLA",
    "start": "2023-03-01",
    "end": "2023-03-31",
    "warmup_start": "2023-02-01",
}
CONFIG = RunConfig.build(**SETTINGS)

KILLED = {**SETTINGS, "settings": {"memory": {"flush_every_sessions": 7}}}
"""The same run, its memory written to disk between steps too; when it is written is no part of a result."""

ROOT = Path(__file__).parents[2]


def killed_at(folder, shares):
    """What the worker tells of the whole run, and of those killed at these shares of its calls."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killing_runs", str(folder), json.dumps(KILLED),
         *map(str, shares)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    whole, *resumed = map(json.loads, done.stdout.splitlines())
    assert len(resumed) == len(shares)
    return whole, resumed


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The run when nothing happens to it, and some runs that were killed and resumed."""
    return killed_at(tmp_path_factory.mktemp("killed"), [0.0, 0.15, 0.28, 0.42, 0.985])


@pytest.fixture(scope="module")
def whole(killed):
    """The digest of the run when nothing happens to it."""
    return killed[0]["digest"]


def check_all(whole, resumed):
    for one in resumed:
        assert one["was"] == "running", one
        assert one["status"] == ["finished", None], one
        assert one["digest"] == one["replayed"] == whole["digest"], one
        assert one["memory"] == whole["memory"], one


def check_resumed(folder, digest):
    assert resume_run(folder).read().run_digest == digest
    assert replay_run(folder).digest == digest
    manifest = folder.read()
    assert (manifest.status, manifest.reason) == ("finished", None)


def test_a_killed_run_goes_on_to_the_same_digest_and_memory(killed):
    whole, resumed = killed
    check_all(whole, resumed)
    steps = [one["steps"] for one in resumed]
    assert steps[0] == 0
    assert 0 < steps[1] < steps[2] < steps[3]  # killed in the midst of it


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_killed_at_any_of_a_hundred_points_goes_on(tmp_path):
    # Spread by the golden ratio: no two trials lie close to each other.
    whole, resumed = killed_at(tmp_path, [trial * 0.6180339887498949 % 1.0 for trial in range(100)])
    check_all(whole, resumed)
    assert len({one["killed_at"] for one in resumed}) == 100


def stopped_by(error, at_step):
    def on_step(record, done, total):
        if done == at_step:
            raise error

    return on_step


def test_an_interrupted_run_is_offered_and_resumed(backtest, varve_home, whole):
    with pytest.raises(KeyboardInterrupt):
        run_backtest(CONFIG, on_step=stopped_by(KeyboardInterrupt(), 20))
    folder = unfinished_run(CONFIG)
    assert folder.read().reason == "interrupted"
    arguments = ["run", "--agent", "finmem", "--ticker", "TSLA", "--start", SETTINGS["start"]]
    arguments += ["--end", SETTINGS["end"], "--warmup-start", SETTINGS["warmup_start"], "--llm", "scripted"]
    code, _, err = backtest(*arguments, "--quiet")
    assert code == 0
    assert f"--resume {folder.run_id}" in err
    code, out, err = backtest("run", "--resume", folder.run_id, "--quiet")
    assert (code, out.strip()) == (0, str(folder.report)), err
    assert folder.read().run_digest == whole
    assert unfinished_run(CONFIG) is None


def test_a_server_that_comes_back(varve_home, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr("varve.finllm.chat.session.time.sleep", lambda seconds: None)
    with FakeModelServer(["ok"] * 20 + ["500"] * 5 + ["ok"]) as server:
        config = CONFIG.model_copy(update={"llm": f"openai:fake@{server.base_url}"})
        with pytest.raises(ModelTransportError):
            run_backtest(config)
        resumed = resume_run(unfinished_run(config))
        asked = len(server.requests)
        again = run_backtest(config)
        assert len(server.requests) == asked
        assert again.read().run_digest == resumed.read().run_digest
        replies = again.read().replies
        assert replies.cached == replies.calls == asked - 5
        fresh = run_backtest(config, use_cache=False)
        assert len(server.requests) > asked
        assert fresh.read().run_digest == again.read().run_digest


@pytest.fixture
def stopped(varve_home):
    with pytest.raises(KeyboardInterrupt):
        run_backtest(CONFIG, on_step=stopped_by(KeyboardInterrupt(), 12))
    return unfinished_run(CONFIG)


def test_another_setting_is_refused_and_shown(stopped):
    with pytest.raises(UsageError, match=r"seed 0, now 7"):
        resume_run(stopped, given={"seed": 7, "settings": {}})
    with pytest.raises(UsageError, match=r"profile"):
        resume_run(stopped, given={"settings": {"profile": "risk_averse"}})


def test_another_package_is_refused_and_shown(stopped):
    software = stopped.read().software
    stopped.update(software={**software.as_json(), "versions": {**software.versions, "pandas": "2.9.9"}})
    with pytest.raises(IntegrityError, match=r"pandas 2\.9\.9, now 3\."):
        resume_run(stopped)


def test_another_model_is_refused_and_shown(stopped):
    model = stopped.read().model
    stopped.update(model={**model.as_json(), "settings": {**model.settings, "version": 0}})
    with pytest.raises(IntegrityError, match=r"version 0, now 1"):
        resume_run(stopped)


def test_other_data_is_refused(stopped):
    stopped.update(data_hash="0" * 64)
    with pytest.raises(IntegrityError, match="not the data"):
        resume_run(stopped)


def test_a_second_process_is_refused(stopped):
    with sole_writer(stopped), pytest.raises(UsageError, match="another process"):
        resume_run(stopped)
    assert resume_run(stopped).read().status == "finished"


def test_a_finished_run_is_not_resumed(stopped):
    resume_run(stopped)
    with pytest.raises(UsageError, match="is finished"):
        resume_run(stopped)


def test_a_run_without_bundled_data_goes_on_with_what_is_stored(varve_home, whole):
    with pytest.raises(KeyboardInterrupt):
        run_backtest(CONFIG, bundle=False, on_step=stopped_by(KeyboardInterrupt(), 9))
    folder = unfinished_run(CONFIG)
    assert not folder.inputs.exists()
    check_resumed(folder, whole)


def test_a_clock_that_is_set_back_leaves_no_stamp_before_the_start(stopped, whole):
    began = stopped.read().started_at
    resume_run(stopped, clock=lambda: datetime(1999, 1, 1, tzinfo=UTC))
    manifest = stopped.read()
    assert manifest.resumed_at == (began,)
    assert manifest.finished_at == began
    assert manifest.run_digest == whole


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(tmp_path, whole):
    script = (
        "import json, resource, signal, sys\n"
        "from varve.backtests import runner as run\nfrom varve.backtests.config import RunConfig\n"
        "def begun(prepared, folder):\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
        "run.run_backtest(RunConfig.build(**json.loads(sys.argv[1])), on_start=begun)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(SETTINGS)],
        env={**os.environ, "VARVE_HOME": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert "StorageError" in done.stderr
    (path,) = (tmp_path / "runs").iterdir()
    check_resumed(RunFolder(path), whole)
