"""The trial registry: nothing leaves it, nothing is put in unseen, and it never begins anew by itself."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.run_record import RunRecord, TrialsFound, TrialsProblem
from varve.backtests.record.trial_registry import hash_chain as chained
from varve.backtests.record.trial_registry.lines import Trial, trial_of_run
from varve.backtests.record.trial_registry.registry import TrialRegistry, registry_beside
from varve.backtests.results.trial_count import count_trials, trials_sentence
from varve.backtests.runner import run_backtest
from varve.errors import IntegrityError, StorageError

WINDOW = {"start": "2023-03-01", "end": "2023-04-14", "data": "sample"}


def manifest(
    run_id="r1", *, ticker="TSLA", start="2023-01-03", end="2023-06-30", seed=0, synthetic=True, **set_
):
    """A run record; the registry reads settings and window of it."""
    config = {"agent": "finmem", "ticker": ticker, "world": "default", "world_seed": 0, "seed": seed,
              "costs": "retail", "settings": {}, **set_}  # fmt: skip
    return RunRecord.model_validate({
        "run_id": run_id, "started_at": "2026-01-05T12:00:00Z", "synthetic": synthetic, "config": config,
        "agent_settings": config["settings"], "status": "finished", "data_label": "", "data_hash": "",
        "window": {"warmup_start": start, "start": start, "end": end, "warmup_sessions": 0, "sessions": 9},
        "instrument": {"symbol": ticker, "calendar": "XNYS", "currency": "USD", "lot_size": 1.0},
        "schema_version": 1, "fill_rule": "next_open",
    })  # fmt: skip


def fixed_clock():
    return datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def registry(varve_home):
    return TrialRegistry(clock=fixed_clock)


def started(registry, run_id, **changes):
    """A run entered in the registry, with a folder, as a run makes it."""
    entry = manifest(run_id, **changes)
    folder = RunFolder(registry.path.parent / "runs" / run_id)
    folder.path.mkdir(parents=True)
    folder.write(entry.changed(trial=registry.begin(entry).as_json()))
    return folder


def with_metrics(folder, sharpe_a_session):
    """The results of a run, as far as the registry reads them."""
    metrics = {"columns": [{"metrics": {"sharpe": sharpe_a_session * 252**0.5}}]}
    (folder.path / "metrics.json").write_text(json.dumps(metrics))


def run(**changes):
    return run_backtest(RunConfig.build(**{"agent": "sma-cross", "ticker": "TSLA", **WINDOW, **changes}))


def test_trials_come_back_with_their_results(registry):
    started(registry, "r1")
    started(registry, "r2", seed=3)
    with_metrics(RunFolder(registry.path.parent / "runs" / "r1"), 0.05)
    assert registry.enter_missing(manifest("r1"))
    assert not registry.enter_missing(manifest("r1"))
    first, second = registry.trials()
    assert (first.run_id, first.finished, first.sharpe) == ("r1", True, pytest.approx(0.05))
    assert (second.run_id, second.finished, second.seed) == ("r2", False, 3)
    assert first.settings == second.settings
    assert registry.complete()


def test_a_deleted_run_stays(registry):
    shutil.rmtree(started(registry, "r1").path)
    assert [trial.run_id for trial in registry.trials()] == ["r1"]


def test_trials_of_a_search_have_no_folder(registry):
    searched = [
        Trial("search", "macd", "TSLA", None, "2022-01-03", "2022-12-30", str(i), 0) for i in range(3)
    ]
    registry.add(searched)
    assert [(t.settings, t.run_id, t.at) for t in registry.trials()] == [
        (str(i), None, "2026-01-05T12:00:00Z") for i in range(3)
    ]


def lines_of(registry):
    return registry.path.read_text().splitlines(keepends=True)


DAMAGE = {
    "a changed figure": lambda lines: [lines[0], lines[1].replace("finmem", "finmam"), *lines[2:]],
    "a line taken out": lambda lines: [*lines[:2], *lines[3:]],
    "a line put in": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "lines swapped": lambda lines: [lines[0], lines[2], lines[1], lines[3]],
    "half a line": lambda lines: [*lines[:-1], lines[-1][:40]],
    "no last line end": lambda lines: [*lines[:-1], lines[-1].rstrip("\n")],
    "the last line taken off": lambda lines: lines[:-1],
    "the first line taken off": lambda lines: lines[1:],
    "nothing but the first line": lambda lines: lines[:1],
    "noise": lambda lines: [*lines[:2], "\x00\x07 \n", *lines[3:]],
    "nested too deep": lambda lines: [*lines[:2], "[" * 100_000 + "\n", *lines[3:]],
    "an empty file": lambda lines: [],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found_and_mended_from_what_is_left(registry, damage):
    for run_id in ("r1", "r2", "r3"):
        started(registry, run_id)
    registry.path.write_text("".join(damage(lines_of(registry))))
    for use in (registry.trials, registry.check, lambda: registry.begin(manifest("r4"))):
        with pytest.raises(IntegrityError) as caught:
            use()
        assert "backtest trials rebuild" in str(caught.value)
    done = registry.rebuild()
    assert {trial.run_id for trial in registry.trials()} == {"r1", "r2", "r3"}
    assert done.kept + done.added >= 3
    assert not registry.complete()
    assert list(registry.path.parent.glob("trials.damaged-*.jsonl")) == [done.aside]
    started(registry, "r4")
    assert {trial.run_id for trial in registry.trials()} == {"r1", "r2", "r3", "r4"}


def test_a_missing_registry_is_no_new_one(registry):
    started(registry, "r1")
    registry.path.unlink()
    with pytest.raises(IntegrityError, match="missing, though there are runs"):
        registry.check()
    assert not registry.path.exists()
    done = registry.rebuild()
    assert (done.kept, done.added, done.aside) == (0, 1, None)
    assert registry_beside(RunFolder(registry.path.parent / "runs" / "r1")) is not None


def test_a_rebuild_keeps_deleted_runs_and_says_what_it_lost(registry):
    for run_id in ("r1", "r2", "r3"):
        shutil.rmtree(started(registry, run_id).path)
    lines = lines_of(registry)
    registry.path.write_text("".join([*lines[:2], "gone\n", *lines[3:]]))
    done = registry.rebuild()
    assert (done.kept, done.added, done.lost) == (2, 0, 1)
    assert [trial.run_id for trial in registry.trials()] == ["r1", "r3"]


def test_a_rebuild_takes_results_from_folders_and_names_folders_it_cannot_read(registry):
    folder = started(registry, "r1")
    with_metrics(folder, 0.1)
    (started(registry, "r2").path / "run.json").write_text("{")
    registry.path.unlink()
    done = registry.rebuild()
    assert (done.added, done.damaged) == (1, ("r2",))
    (trial,) = registry.trials()
    assert trial.sharpe == pytest.approx(0.1)


def test_a_whole_registry_is_left_alone(registry):
    assert registry.rebuild() is None
    started(registry, "r1")
    registry.enter_missing(manifest("r1"))
    before = registry.path.read_bytes()
    assert registry.rebuild() is None
    assert registry.path.read_bytes() == before


def test_a_newer_schema_is_not_rebuilt_away(registry):
    header = {"kind": "registry", "schema": 2, "id": "x", "at": "2030-01-01T00:00:00Z"}
    registry.path.write_text("".join(chained.chained([header])))
    for use in (registry.trials, registry.check, registry.rebuild):
        with pytest.raises(IntegrityError, match="schema 2"):
            use()
    assert json.loads(registry.path.read_text())["schema"] == 2


def test_a_run_copied_from_elsewhere_is_not_one_of_here(registry, tmp_path):
    folder = started(registry, "r1")
    other = TrialRegistry(tmp_path / "other", clock=fixed_clock)
    started(other, "r9")
    shutil.copytree(folder.path, other.path.parent / "runs" / "r1")
    assert [trial.run_id for trial in other.trials()] == ["r9"]
    assert registry_beside(RunFolder(other.path.parent / "runs" / "r1")) is None
    shutil.copytree(folder.path, tmp_path / "copied")
    assert registry_beside(RunFolder(tmp_path / "copied")) is None


def test_nothing_is_entered_where_it_cannot_be_written(registry, monkeypatch):
    started(registry, "r1")
    before = registry.path.read_bytes()

    def full(handle, data):
        os.ftruncate(handle, len(before) + 7)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(StorageError, match="No space left"):
        registry.begin(manifest("r2"))
    monkeypatch.undo()
    assert registry.path.read_bytes() == before


def test_a_home_that_cannot_be_written_stops_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("VARVE_HOME", str(tmp_path / "file" / "home"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_many_processes_enter_at_once_and_every_entry_is_kept(varve_home):
    script = (
        "import sys\n"
        "from varve.backtests.record.trial_registry.lines import Trial\n"
        "from varve.backtests.record.trial_registry.registry import TrialRegistry\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "for i in range(15):\n"
        "    name = f'{sys.argv[1]}.{i}'\n"
        "    tried = Trial('search', 'macd', 'TSLA', None, '2022-01-03', '2022-12-30', name, 0)\n"
        "    TrialRegistry().add([tried, tried])\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for i in range(3)
    ]
    # All at the same moment, once each has imported what it needs.
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(timeout=120) for process in processes] == [0] * 3
    for process in processes:
        process.stdin.close()
        process.stdout.close()
    counted = [trial.settings for trial in TrialRegistry().trials()]
    assert sorted(counted) == sorted(f"{p}.{i}" for p in range(3) for i in range(15) for _ in range(2))


def of_window(start, end, settings="a", seed=0, ticker="TSLA", world=None, sharpe=None, run_id=None):
    return Trial("run", "x", ticker, world, start, end, settings, seed, run_id=run_id, sharpe=sharpe)


def test_counted_are_distinct_settings_on_the_ticker_where_windows_share_a_session():
    own = of_window("2023-01-03", "2023-06-30", run_id="own")
    trials = [
        of_window("2023-06-30", "2023-12-29", "b", sharpe=0.1),
        of_window("2022-01-03", "2023-01-03", "c"),
        of_window("2022-01-03", "2023-01-03", "c", sharpe=0.3),
        of_window("2023-01-03", "2023-06-30", "a", seed=1),
        of_window("2023-07-03", "2023-12-29", "later"),
        of_window("2022-01-03", "2022-12-30", "earlier"),
        of_window("2023-01-03", "2023-06-30", "d", ticker="NFLX"),
        of_window("2023-01-03", "2023-06-30", "e", world="noise/0"),
    ]
    count = count_trials(trials, own)
    assert (count.settings, count.apart_from_seeds, count.trials) == (4, 3, 5)
    assert count.sharpes == {("b", 0): 0.1, ("c", 0): 0.3}
    assert count_trials([*trials, own], own) == count


def test_what_is_no_other_setting():
    one = trial_of_run(manifest("r1"))
    for changes in ({"ticker": "NFLX"}, {"start": "2023-02-01"}, {"seed": 5}, {"world": "noise"}):
        assert trial_of_run(manifest("r2", **changes)).settings == one.settings
    assert trial_of_run(manifest("r3", costs="zero")).settings != one.settings
    assert trial_of_run(manifest("r4", settings={"k": 2})).settings != one.settings
    assert trial_of_run(manifest("r5", synthetic=False)).world is None


def test_a_run_is_entered_when_it_starts_and_its_report_says_how_many_were_tried(varve_home):
    first = run()
    assert "1 setting in 1 trial" in first.report.read_text()

    def stop(record, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_backtest(
            RunConfig.build(agent="sma-cross", ticker="TSLA", **WINDOW, settings={"fast": 3}), on_step=stop
        )
    shutil.rmtree(next(p for p in (varve_home / "runs").iterdir() if p != first.path))
    again = run()
    assert again.read().run_digest == first.read().run_digest
    found = again.read().trials
    assert (found.settings, found.trials, found.complete) == (2, 3, True)
    assert found.deflated_sharpe < found.probabilistic_sharpe
    assert "2 settings in 3 trials" in again.report.read_text()
    states = [(trial.finished, trial.sharpe is not None) for trial in TrialRegistry().trials()]
    assert states == [(True, True), (False, False), (True, True)]
    assert "trials" not in (again.path / "metrics.json").read_text()


def test_the_command_lists_and_mends(backtest, varve_home):
    assert backtest("trials", "list")[1] == "nothing was tried yet\n"
    assert backtest("run", "--agent", "macd", "--ticker", "TSLA", "--start", "2023-03-01", "--end",
                    "2023-04-14", "--quiet")[0] == 0  # fmt: skip
    code, out, _ = backtest("trials", "list")
    assert code == 0
    assert "macd TSLA (sample default/0) 2023-03-01 to 2023-04-14 seed 0" in out
    assert "TSLA (sample default/0): 1 setting in 1 trial" in out
    assert backtest("trials", "rebuild")[1].endswith("is whole, with 1 trial; nothing to mend\n")
    (varve_home / "trials.jsonl").unlink()
    for command in (("trials", "list"), ("compare", "latest"), ("run", "--ticker", "TSLA")):
        code, out, err = backtest(*command)
        assert (code, out) == (5, "")
        assert "backtest trials rebuild" in err
    code, out, _ = backtest("trials", "rebuild")
    assert code == 0
    assert "0 trials kept, 1 from run folders" in out
    assert "not known: runs that were deleted" in out
    assert "at least 1 setting" in backtest("report", "latest")[1].replace("\n", " ")
    shutil.rmtree(varve_home / "runs")
    assert "finished, deleted" in backtest("trials", "list")[1]


def test_the_sentence_says_what_is_known():
    assert trials_sentence(None) == ""
    told = trials_sentence(TrialsProblem(problem="damaged"))
    assert told.startswith("Without a deflated Sharpe ratio: damaged")
    found = TrialsFound(
        ticker="TSLA", settings=3, trials=5, complete=False, known_sharpes=3, luck_sharpe_per_session=0.1,
        deflated_sharpe=0.4, probabilistic_sharpe=0.8, minimum_track_record_sessions=None,
    )  # fmt: skip
    text = trials_sentence(found)
    assert "at least 3 settings in 5 trials" in text
    assert "0.80; above the best that luck finds in 3: 0.40" in text
    sure = found.model_copy(update={"probabilistic_sharpe": 0.9999, "deflated_sharpe": 1e-9})
    assert "above 0: > 0.99; above the best that luck finds in 3: < 0.01" in trials_sentence(sure)
    without = found.model_copy(update={"deflated_sharpe": None, "withheld": "no position"})
    assert trials_sentence(without).endswith("Nothing can be said of this run's Sharpe ratio: no position.")
    older = found.model_copy(update={"deflated_sharpe": None})
    assert trials_sentence(older).endswith("this run's Sharpe ratio: it has none.")


def test_a_registry_that_cannot_be_used_is_told_in_the_report(varve_home):
    from varve.backtests.derive import derive

    folder = run()
    (varve_home / "trials.jsonl").write_text("noise")
    derive(folder)
    assert "trial registry" in folder.read().trials.problem
    assert "Without a deflated Sharpe ratio" in folder.report.read_text()
