"""Runs that begin with the memory of another run: refused, recorded, replayed and resumed."""

import json
import shutil
from datetime import date

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.integrity.audit import audit_run
from varve.backtests.integrity.replay import replay_run
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.lookup import find_run
from varve.backtests.record.memories import remembered, told_of_run
from varve.backtests.resume import resume_run, unfinished_run
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.prepare import prepare
from varve.cli.memory import memory_export
from varve.errors import BadFileError, IntegrityError, SettingError, UsageError
from varve.memory.disk.snapshot import read_snapshot

WARM = RunConfig.build(agent="finmem", llm="scripted", ticker="TSLA", start="2023-03-01", end="2023-03-31")
NEXT = {"agent": "finmem", "ticker": "TSLA", "start": "2023-04-10", "end": "2023-04-28"}
LONG_BEFORE = "2023-03-06"


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A home with one finished run, and its memory in a file."""
    home = tmp_path_factory.mktemp("warm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VARVE_HOME", str(home / "home"))
        folder = run_backtest(WARM)
        memory_export(str(folder.path), home / "warm.parquet", at=None)
    return home


@pytest.fixture
def file(warm, varve_home):
    return shutil.copy(warm / "warm.parquet", varve_home.parent / "warm.parquet")


@pytest.fixture
def kept(backtest, file):
    """The id of the imported snapshot."""
    code, out, err = backtest("memory", "import", file)
    assert code == 0, err
    (path,) = (find_home() / "memories").iterdir()
    assert path.stem[:12] in out
    return path.stem


def find_home():
    from varve.config import home

    return home()


def test_a_memory_goes_from_run_to_file_to_run(backtest, varve_home, warm, file):
    command = ["run", "--agent", "finmem", "--ticker", "TSLA", "--start", NEXT["start"], "--end", NEXT["end"]]
    code, out, err = backtest(*command, "--memory", file)
    assert code == 0, err
    folder = find_run("latest")
    manifest, entry = folder.read(), folder.read().memory
    assert manifest.config.memory == entry.snapshot
    (origin,) = (warm / "home" / "runs").iterdir()
    assert (entry.source["run_id"], entry.from_the_future) == (origin.name, False)
    sentence = f"It begins with memory {entry.snapshot[:12]}"
    assert sentence in out
    assert sentence in folder.report.read_text()
    assert entry.snapshot in folder.report.read_text()
    assert "knows its future" not in out + folder.report.read_text()
    # what it had in the beginning is what the other run had in the end
    told = told_of_run(folder)
    imported = [e for e in told[0].events if e.kind == "imported"]
    before = remembered(RunFolder(origin), told_of_run(RunFolder(origin)), "finmem")
    assert [e.memory_id for e in imported] == before.ids()
    assert len(imported) == sum(entry.memories.values()) > 50
    assert remembered(folder, told, "finmem").sessions > before.sessions
    # the warm-up begins where the memory ends, not before
    assert manifest.window.warmup_start == "2023-03-30"
    code, out, _ = backtest("memory", "show", "latest", "--top", "1")
    assert code == 0


def test_the_run_is_another_one_than_without_the_memory(varve_home, kept):
    settings = {**NEXT, "warmup_start": "2023-03-31"}
    with_it = run_backtest(RunConfig.build(**settings, memory=kept)).read()
    without = run_backtest(RunConfig.build(**settings)).read()
    assert with_it.run_digest != without.run_digest
    assert with_it.config_hash != without.config_hash
    assert without.memory is None


def test_it_replays_elsewhere_from_its_folder_alone(varve_home, kept, tmp_path, monkeypatch):
    folder = run_backtest(RunConfig.build(**NEXT, memory=kept))
    moved = RunFolder(shutil.move(folder.path, tmp_path / "moved"))
    monkeypatch.setenv("VARVE_HOME", str(tmp_path / "elsewhere"))
    assert replay_run(moved).digest == moved.read().run_digest
    whole = moved.snapshot.read_bytes()
    moved.snapshot.write_bytes(whole[:-20])
    with pytest.raises(BadFileError, match=r"memory\.parquet cannot be read"):
        replay_run(moved)
    moved.snapshot.write_bytes(whole)
    moved.update(memory={**moved.read().memory.as_json(), "snapshot": "0" * 64})
    with pytest.raises(IntegrityError, match="is not what the run began with"):
        replay_run(moved)


@pytest.mark.parametrize("bundle", [True, False])
def test_it_is_resumed_with_the_memory_that_it_began_with(backtest, varve_home, kept, file, bundle):
    config = RunConfig.build(**NEXT, memory=kept)
    digest = run_backtest(config).read().run_digest

    def stop(record, done, total):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_backtest(config, on_step=stop, bundle=bundle)
    folder = unfinished_run(config)
    shutil.rmtree(varve_home / "memories")
    assert resume_run(folder).read().run_digest == digest
    assert replay_run(folder).digest == digest
    code, _, err = backtest("run", "--resume", folder.run_id, "--memory", file)
    assert code == 2
    assert "is finished" in err  # the memory given beside it is the run's own


def test_it_is_not_resumed_with_another_memory(backtest, varve_home, kept, file):
    def stop(record, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_backtest(RunConfig.build(**NEXT), on_step=stop)
    code, _, err = backtest("run", "--resume", "latest", "--memory", file)
    assert code == 2
    assert "other settings: memory None" in err


@pytest.mark.parametrize("option", ["--start", "--warmup-start"])
def test_a_run_that_starts_before_the_memory_ends_is_refused(backtest, varve_home, file, option):
    dates = {"--start": NEXT["start"], "--end": NEXT["end"], option: LONG_BEFORE}
    given = [part for pair in dates.items() for part in pair]
    code, out, err = backtest("run", "--agent", "finmem", "--ticker", "TSLA", *given, "--memory", file)
    assert (code, out) == (2, "")
    said = " ".join(err.split())
    assert "knows what happened until 2023-03-31T13:00:00Z" in said
    assert f"use it from session {LONG_BEFORE} on" in said
    assert f"give {option} 2023-03-31 or later" in said
    assert not (varve_home / "runs").exists()


def test_unless_told_to_and_then_run_json_table_report_and_audit_say_so(backtest, varve_home, file):
    code, out, err = backtest(
        "run", "--agent", "finmem", "--ticker", "TSLA", "--start", LONG_BEFORE, "--end", "2023-03-31",
        "--memory", file, "--allow-future-memory",
    )  # fmt: skip
    assert code == 0, err
    folder = find_run("latest")
    assert folder.read().memory.from_the_future is True
    assert folder.read().config.allow_future_memory is True
    words = "began with a memory that knows its future, until 2023-03-31"
    assert words in " ".join(out.split())
    assert words in folder.report.read_text()
    assert replay_run(folder).digest == folder.read().run_digest
    future = next(check for check in audit_run(folder, seeds=0) if check.name == "future")
    assert future.passed is False
    assert "knows what happened until 2023-03-31" in future.detail


def test_the_first_session_that_may_use_it_is_the_last_that_it_knows(varve_home, kept):
    last = prepare(RunConfig.build(**{**NEXT, "warmup_start": "2023-03-30"}, memory=kept))
    assert str(last.data.bars.session(last.window.warmup_first)) == "2023-03-30"
    with pytest.raises(UsageError, match="session 2023-03-29"):
        prepare(RunConfig.build(**{**NEXT, "warmup_start": "2023-03-29"}, memory=kept))


def test_an_export_of_a_day_holds_what_was_remembered_then(backtest, warm, tmp_path, monkeypatch):
    monkeypatch.setenv("VARVE_HOME", str(warm / "home"))
    code, out, _ = backtest("memory", "export", "latest", tmp_path / "a.parquet", "--at", "2023-03-10")
    assert code == 0
    assert "known until 2023-03-13T13:00:00Z" in " ".join(out.split())
    taken = read_snapshot(tmp_path / "a.parquet")
    run = find_run("latest")
    told = [step for step in told_of_run(run) if step.session <= date(2023, 3, 10)]
    memory = remembered(run, told, "finmem")
    (image,) = taken.images.values()
    assert [row.record.id for row in image.rows] == memory.ids()
    assert image.counters["sessions"] == memory.sessions
    # a memory that was handed on is handed on again with the same content
    assert backtest("memory", "export", "latest", tmp_path / "b.parquet", "--at", "2023-03-12")[0] == 0
    assert read_snapshot(tmp_path / "b.parquet").id == taken.id


RUN = ("run", "--agent", "finmem", "--ticker", "TSLA", "--start", NEXT["start"], "--end", NEXT["end"])
WRONG = [
    ((*RUN, "--memory", "nowhere.parquet"), 3, ["nowhere.parquet", "backtest memory export"]),
    ((*RUN, "--memory", "abcdef"), 2, ["abcdef", "backtest memory import"]),
    ((*RUN, "--memory", "{file}", "--embedder", "table"), 2, ["table", "hashing"]),
    ((*RUN, "--memory", "{file}", "--ticker", "NFLX"), 2, ["nothing about NFLX, but about TSLA"]),
    ((*RUN, "--memory", "{file}", "--agent", "sma-cross"), 2, ["sma-cross remembers nothing"]),
    (("memory", "import", "nowhere.parquet"), 3, ["nowhere.parquet"]),
    (("memory", "export", "latest", "memory.csv"), 2, [".csv", "memory.parquet"]),
    (("memory", "export", "nowhere", "m.parquet"), 2, ["nowhere"]),
]


@pytest.mark.parametrize(("arguments", "exit_code", "words"), WRONG, ids=lambda v: " ".join(map(str, v))[-40:]
                         if isinstance(v, tuple) else "")  # fmt: skip
def test_a_wrong_command_gets_one_clear_message(
    backtest, varve_home, tmp_path, monkeypatch, file, arguments, exit_code, words
):
    monkeypatch.chdir(tmp_path)
    code, out, err = backtest(*(str(part).format(file=file) for part in arguments))
    assert (code, out) == (exit_code, ""), err
    unwrapped = " ".join(err.replace("│", " ").split())
    assert all(word in unwrapped for word in words), err
    assert not (varve_home / "runs").exists()


def test_a_memory_in_a_settings_file_is_found_as_on_the_command_line(backtest, varve_home, file, tmp_path):
    settings = tmp_path / "run.toml"
    settings.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in {**NEXT, "memory": str(file)}.items()))
    assert backtest("run", "--config", settings, "--quiet")[0] == 0
    assert find_run("latest").read().memory.snapshot == read_snapshot(file).id


def test_settings_name_a_memory_by_its_whole_id(varve_home):
    with pytest.raises(SettingError, match="memory"):
        RunConfig.build(**NEXT, memory="warm.parquet")
