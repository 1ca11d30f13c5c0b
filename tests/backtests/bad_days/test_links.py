"""A run folder of a stranger may hold links to files of the user's: none is ever written through."""

import os
import shutil
import stat

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.record.folder import RunFolder
from varve.backtests.runner import run_backtest
from varve.config import home

SETTINGS = {
    "agent": "finmem",
    "llm": "scripted",
    "ticker": "TSLA",
    "start": "2023-03-01",
    "end": "2023-03-10",
    "warmup_start": "2023-02-21",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with one finished run, one that was stopped, an audit, a replay and a rescore of the first."""
    folder = tmp_path_factory.mktemp("links") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VARVE_HOME", str(folder))
        patch.setattr("varve.backtests.config.default_llm_of", lambda agent: "scripted")
        config = RunConfig.build(**SETTINGS)
        whole = run_backtest(config)

        def stop(record, done, total):
            if done == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_backtest(config, on_step=stop)
        return folder, whole.run_id


@pytest.fixture
def copied(made, tmp_path, monkeypatch):
    """A copy of that home, to be harmed; the finished run, the stopped one, and a folder of the user's."""
    source, run_id = made
    target = tmp_path / "home"
    shutil.copytree(source, target, symlinks=True)
    monkeypatch.setenv("VARVE_HOME", str(target))
    (stopped,) = (path for path in (target / "runs").iterdir() if path.name != run_id)
    mine = tmp_path / "mine"
    mine.mkdir()
    return RunFolder(target / "runs" / run_id), RunFolder(stopped), mine


@pytest.fixture
def home_of(copied, backtest, monkeypatch):
    """The command line works in the copied home."""
    monkeypatch.setenv("VARVE_HOME", str(copied[0].path.parents[1]))


def state_of(folder):
    """Every name in a folder, with bytes, kind and time of writing."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        found[str(path.relative_to(folder))] = (
            stat.S_IFMT(info.st_mode),
            info.st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
    return found


COMMANDS = {
    "audit": lambda run: ("audit", run, "--seeds", 0),
    "report": lambda run: ("report", run, "--quiet"),
    "rescore": lambda run: ("rescore", run),
    "rebuild": lambda run: ("memory", "rebuild", run),
    "resume": lambda run: ("run", "--resume", run, "--quiet"),
}
REPLACED = (
    "metrics.json", "equity.csv", "decisions.csv", "trades.csv", "report.html", "equity.png", "drawdown.png",
    "price.png", "exposure.png", "rescore.html", "rescore.png", "memory.png", "audit.json",
    "rescore.json",
)  # fmt: skip
"""Written whole: a link of that name is replaced by the file."""
OPENED = {
    "run.json": ["report", "resume"],
    "run.lock": ["report", "resume"],
    "journal.db": ["resume"],
    "journal.db-wal": ["resume"],
    "journal.db-shm": ["resume"],
    "journal.db-journal": ["resume"],
    "inputs.parquet": ["resume"],
    "memory.parquet": ["resume"],
    "memory": ["rebuild", "resume"],
    "memory/chroma.sqlite3": ["rebuild", "resume"],
    "memory/varve.lock": ["rebuild", "resume"],
}
"""Opened as they are, by the commands that write to them: a link of that name is refused, or replaced."""


def put_link(run, name, mine):
    """Let that name lead to a file (or folder) of the user's, which holds what the name held."""
    there = run.path / name
    target = mine / name.replace("/", "_")
    if there.is_dir():
        shutil.move(there, target)
    elif there.exists():
        target.write_bytes(there.read_bytes())
        there.unlink()
    else:
        target.write_bytes(b"mine")
    there.parent.mkdir(exist_ok=True)
    there.symlink_to(target)


@pytest.mark.parametrize("name", OPENED)
def test_no_command_opens_a_link_in_a_run_folder_to_write(copied, backtest, home_of, name):
    finished, stopped, mine = copied
    for command in OPENED[name]:
        run = stopped if command == "resume" else finished
        (mine / command).mkdir()
        put_link(run, name, mine / command)
        before = state_of(mine)
        code, _, err = backtest(*COMMANDS[command](run.run_id))
        assert code in (0, 3), (command, err)
        assert state_of(mine) == before, command


@pytest.mark.parametrize("card", ["audit", "rescore"])
def test_what_is_written_whole_replaces_a_link(copied, backtest, home_of, card):
    finished, stopped, mine = copied
    for run in (finished, stopped):
        (mine / run.run_id).mkdir()
        for name in REPLACED:
            # A card that is a link is refused until the command that writes it was run.
            if name not in ("audit.json", "rescore.json") or (run is finished and name == f"{card}.json"):
                put_link(run, name, mine / run.run_id)
    before = state_of(mine)
    for command in dict.fromkeys([card, *COMMANDS]):
        arguments = COMMANDS[command]
        code, _, err = backtest(*arguments((stopped if command == "resume" else finished).run_id))
        assert code == 0, (command, err)
        assert state_of(mine) == before, command
    still = {path.name for path in finished.path.iterdir() if path.is_symlink()}
    assert not still
    # The list above is that of what is written: a name that is added to a run folder is added there.
    written = {path.name for path in finished.path.iterdir()}
    assert written <= {*REPLACED, *OPENED}, written - {*REPLACED, *OPENED}


def test_a_link_to_a_folder_among_the_runs_is_no_run(copied, backtest, home_of):
    finished, _, mine = copied
    elsewhere = mine / "theirs"
    shutil.copytree(finished.path, elsewhere)
    link = finished.path.with_name("20990101-000000-finmem-TSLA-abcdef")
    link.symlink_to(elsewhere)
    before = state_of(mine)
    code, _, err = backtest("report", link.name)
    assert code == 3
    assert "is a symbolic link" in err
    assert state_of(mine) == before
    # The user's own path to it is the user's own affair.
    assert backtest("report", elsewhere)[0] == 0


def test_everything_that_is_made_is_its_owners_alone(made):
    folder, _ = made
    open_to_others = [
        str(path.relative_to(folder))
        for path in (folder, *folder.rglob("*"))
        if path.is_dir() and path.lstat().st_mode & 0o077 and "memory" not in path.parts
    ]
    assert not open_to_others


@pytest.mark.parametrize("what", ["home", "runs"])
def test_home_and_runs_may_be_links_of_the_users_own(tmp_path, monkeypatch, backtest, what):
    real = tmp_path / "big disk"
    real.mkdir()
    if what == "home":
        (tmp_path / "link").symlink_to(real)
        monkeypatch.setenv("VARVE_HOME", str(tmp_path / "link"))
        assert home() == real.resolve()
    else:
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "runs").symlink_to(real)
        monkeypatch.setenv("VARVE_HOME", str(tmp_path / "own"))
    window = ("--start", "2023-03-01", "--end", "2023-03-10", "--quiet")
    for seed in (0, 1):
        code, _, err = backtest("run", "--agent", "macd", "--ticker", "TSLA", *window, "--seed", seed)
        assert code == 0, err
    _, out, _ = backtest("report", "latest")
    assert "2 settings in 2 trials" in " ".join(out.split())
    _, out, _ = backtest("trials", "list")
    assert "2 settings in 2 trials" in out
    assert "deleted" not in out
    assert len(list(os.scandir(real if what == "runs" else real / "runs"))) == 2


def test_runs_that_lead_nowhere_are_said_before_any_work(tmp_path, monkeypatch, backtest):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "runs").symlink_to(tmp_path / "unmounted" / "runs")
    monkeypatch.setenv("VARVE_HOME", str(tmp_path / "own"))
    code, _, err = backtest("run", "--agent", "macd", "--ticker", "TSLA", "--quiet")
    assert code == 3
    assert "no folder is there" in err
    assert "is its disk mounted?" in err
