"""``backtest memory`` as a user types it, beside the memory that the run really had."""

import re
import shutil
from datetime import date

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.memories import remembered, told_of_run, until
from varve.backtests.runner import run_backtest
from varve.memory import LayeredMemory, MemoryConfig, get_embedder

CONFIG = RunConfig.build(agent="finmem", llm="scripted", ticker="TSLA", start="2023-03-01", end="2023-04-14")


@pytest.fixture(scope="module")
def home_with_run(tmp_path_factory):
    """A home with one finished FinMem run on a sample world."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VARVE_HOME", str(home))
        run_backtest(CONFIG)
    return home


@pytest.fixture
def run(home_with_run, varve_home):
    """A copy of that run in this test's own home."""
    shutil.copytree(home_with_run, varve_home, dirs_exist_ok=True)
    (folder,) = (varve_home / "runs").iterdir()
    return RunFolder(folder)


def stored(run):
    """The memory of a run as its store has it."""
    manifest = run.read()
    memory = LayeredMemory.load(
        MemoryConfig.build(**manifest.agent_settings["memory"]),
        get_embedder("hashing"),
        folder=run.memory,
        run_id=manifest.run_id,
    )
    memory.abandon()
    return memory


def stored_rows(run):
    """Ids, texts, states and vectors by collection, as chromadb holds them."""
    import chromadb

    client = chromadb.PersistentClient(str(run.memory), chromadb.Settings(anonymized_telemetry=False))
    found = {}
    for collection in client.list_collections():
        got = collection.get(include=["embeddings", "documents", "metadatas"])
        rows = zip(got["ids"], got["documents"], got["metadatas"], got["embeddings"], strict=True)
        found[collection.name] = sorted(
            (one, text, sorted(told.items()), bytes(v)) for one, text, told, v in rows
        )
    client.close()
    return found


def test_the_memory_made_again_from_the_journal_is_the_stored_one(run):
    told = told_of_run(run)
    assert remembered(run, told, "finmem").digest() == stored(run).digest()


def shown_ids(out):
    return re.findall(r"^(m\d{6}) ", out, re.M)


def test_show_prints_what_was_remembered_that_day(backtest, run):
    code, out, err = backtest("memory", "show", "latest", "--at", "2023-03-11", "--top", "10000")
    assert code == 0, err
    assert out.startswith("SYNTHETIC")
    assert "after session 2023-03-10" in " ".join(out.split())
    told = until(told_of_run(run), date(2023, 3, 11))
    memory = remembered(run, told, "finmem")
    assert sorted(shown_ids(out)) == memory.ids()
    for tier, size in memory.sizes().items():
        assert f"{tier} · {size}" in out
    assert memory.ids() != stored(run).ids()


def test_show_with_a_query_ranks_as_recall_does_and_reads_vectors_from_the_store(backtest, run, monkeypatch):
    memory = stored(run)
    expected = memory.recall("record deliveries", told_of_run(run)[-1].at, 4, "short")["short"]
    embedder, asked = get_embedder("hashing"), []
    embed = embedder.embed
    monkeypatch.setattr(embedder, "embed", lambda texts: (asked.extend(texts), embed(texts))[1])
    code, out, _ = backtest("memory", "show", run.run_id, "--tier", "short", "--query", "record deliveries",
                            "--top", "4")  # fmt: skip
    assert code == 0
    assert shown_ids(out) == [hit.id for hit in expected]
    assert f"{expected[0].score:.2f}" in out
    live = {memory.get(one).text for one in memory.ids()}
    assert "record deliveries" in asked
    assert not live & set(asked)
    assert "reflection" not in out


def test_show_says_where_the_store_cannot_be_read_and_goes_on(backtest, run):
    whole = backtest("memory", "show", "latest", "--query", "deliveries")
    (run.memory / "chroma.sqlite3").write_bytes(b"no database" * 1000)
    code, out, err = backtest("memory", "show", "latest", "--query", "deliveries")
    assert (code, out) == whole[:2]
    assert f"backtest memory rebuild {run.run_id}" in err


@pytest.mark.parametrize("harm", ["damaged", "gone", "half a rebuild"])
def test_rebuild_makes_the_store_anew_from_the_journal(backtest, run, harm):
    expected, rows = stored(run).digest(), stored_rows(run)
    if harm == "gone":
        shutil.rmtree(run.memory)
    elif harm == "damaged":
        (run.memory / "chroma.sqlite3").write_bytes(b"no database" * 1000)
    else:
        shutil.copytree(run.memory, run.path / "memory.new")
    code, out, err = backtest("memory", "rebuild", "latest")
    assert code == 0, err
    assert f"{len(stored(run)):,} memories" in out
    assert stored(run).digest() == expected
    assert stored_rows(run) == rows
    assert not (run.path / "memory.new").exists()


def test_timeline_prints_a_line_a_month_and_draws_the_chart(backtest, run, monkeypatch):
    drawn = (run.path / "memory.png").read_bytes()
    (run.path / "memory.png").unlink()
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = backtest("memory", "timeline", "latest")
    assert code == 0
    last = next(line for line in out.splitlines() if line.startswith("2023-04")).split()
    assert [int(n.replace(",", "")) for n in last[1:5]] == list(stored(run).sizes().values())
    assert (run.path / "memory.png").read_bytes() == drawn


@pytest.mark.parametrize("width", [80, 50])
@pytest.mark.parametrize("command", [("show", "latest"), ("show", "latest", "--query", "x"),
                                     ("timeline", "latest")])  # fmt: skip
def test_lines_fit_the_terminal(backtest, run, monkeypatch, width, command):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = backtest("memory", *command)
    assert code == 0
    assert max(len(line) for line in out.splitlines() if str(run.path) not in line) <= width


def test_the_report_shows_the_timeline_and_the_life_of_cited_memories(run):
    page = run.report.read_text()
    assert 'alt="memory chart"' in page
    assert page.count('<details class="life">') > 50
    assert re.search(r"recalled \d+× · cited \d+× · credits [+−]\d.* · short → mid", page)
    assert re.search(r'<span class="soft">2023-\d\d-\d\d up to mid</span>', page)


WRONG = [
    (("show", "latest", "--at", "2020-05-05"), 3, ["2020-05-05", "begins 2023-"]),
    (("show", "latest", "--tier", "shrt"), 2, ["shrt", "did you mean 'short'"]),
    (("show", "nowhere"), 2, ["nowhere"]),
    (("show", "latest", "--at", "May"), 2, ["May"]),
    (("show", "latest", "--query", ""), 2, ["query is empty"]),
    (("show", "latest", "--top", "0"), 2, ["top"]),
    (("timeline", "nowhere"), 2, ["nowhere"]),
    (("rebuild", "nowhere"), 2, ["nowhere"]),
]


@pytest.mark.parametrize(("arguments", "exit_code", "words"), WRONG, ids=lambda v: str(v)[:40])
def test_a_wrong_command_gets_one_clear_message(backtest, run, arguments, exit_code, words):
    code, out, err = backtest("memory", *arguments)
    assert (code, out) == (exit_code, ""), err
    unwrapped = " ".join(err.replace("│", " ").split())
    assert all(word in unwrapped for word in words), err


def test_a_run_without_a_memory_says_so(backtest, varve_home):
    backtest("run", "--agent", "sma-cross", "--ticker", "TSLA", "--start", "2023-03-01", "--end",
             "2023-03-31", "--quiet")  # fmt: skip
    for command in ("show", "timeline", "rebuild"):
        code, _, err = backtest("memory", command, "latest")
        assert code == 3
        assert "sma-cross remembers nothing" in err
    (folder,) = (varve_home / "runs").iterdir()
    assert not (folder / "memory.png").exists()


def test_a_run_that_is_being_written_is_not_rebuilt(backtest, run):
    from varve.backtests.record.writer_lock import sole_writer

    with sole_writer(run):
        code, _, err = backtest("memory", "rebuild", "latest")
    assert code == 2
    assert "another process" in err


def test_nothing_of_a_look_at_a_memory_enters_its_journal(backtest, run):
    before = run.journal.read_bytes()
    for command in (("show", "latest", "--query", "x"), ("timeline", "latest"), ("rebuild", "latest")):
        assert backtest("memory", *command)[0] == 0
    assert run.journal.read_bytes() == before
