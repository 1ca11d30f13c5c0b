"""The command as a user types it, rightly and wrongly: one clear message, the right exit code."""

import json
import sqlite3

import pytest

WINDOW = ("--start", "2023-03-01", "--end", "2023-04-14")


def stored_files(home):
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())


def test_run_prints_a_table_one_sentence_and_the_report(backtest, varve_home):
    code, out, err = backtest("run", "--agent", "finmem", "--ticker", "TSLA", *WINDOW)
    assert code == 0, err
    for shown in (out, err):
        assert shown.startswith("finmem asks scripted · SYNTHETIC sample world")
    for words in ("finmem", "buy-and-hold", "Sharpe", "95 % interval", "max drawdown", "failures", "tokens"):
        assert words in out
    assert "say little" in out
    (run,) = (varve_home / "runs").iterdir()
    assert f"report: {run / 'report.html'}" in out
    for name in ("run.json", "journal.db", "inputs.parquet", "metrics.json", "equity.csv", "decisions.csv",
                 "trades.csv", "report.html", "equity.png", "drawdown.png", "price.png",
                 "exposure.png"):  # fmt: skip
        assert (run / name).stat().st_size > 0, name
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["synthetic"] is True
    assert manifest["status"] == "finished"
    assert manifest["config"]["costs"] == "retail"
    page = (run / "report.html").read_text()
    assert "SYNTHETIC" in page
    assert "It is not a language model" in page
    assert "http://" not in page
    assert "https://" not in page


def test_json_and_quiet_print_nothing_else(backtest):
    code, out, err = backtest("run", "--agent", "buy-and-hold", "--ticker", "TSLA", *WINDOW, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["columns"][0]["name"] == "buy-and-hold"
    code, out, err = backtest("report", "latest", "--quiet")
    assert (code, err) == (0, "")
    assert out.strip().endswith("report.html")
    assert len(out.splitlines()) == 1


def test_report_rebuilds_what_was_deleted_to_the_byte(backtest, varve_home):
    backtest("run", "--agent", "sma-cross", "--ticker", "ETH-USD", *WINDOW, "--quiet")
    (run,) = (varve_home / "runs").iterdir()
    derived = [p for p in run.iterdir() if p.suffix in (".csv", ".png", ".html") or p.name == "metrics.json"]
    before = {p.name: p.read_bytes() for p in derived}
    for path in derived:
        path.unlink()
    assert backtest("report", run.name[:15], "--quiet")[0] == 0
    assert {p.name: p.read_bytes() for p in derived} == before


def test_settings_come_from_a_file_and_options_win(backtest, tmp_path, varve_home):
    file = tmp_path / "run.toml"
    file.write_text(
        'agent = "sma-cross"\nticker = "NFLX"\nstart = 2023-03-01\nend = 2023-04-14\ncosts = "zero"\n'
    )
    code, out, _ = backtest("run", "--config", file, "--costs", "retail", "--set", "fast=3", "--json")
    assert code == 0
    (run,) = (varve_home / "runs").iterdir()
    manifest = json.loads((run / "run.json").read_text())
    assert (manifest["config"]["ticker"], manifest["config"]["costs"]) == ("NFLX", "retail")
    assert manifest["agent_settings"]["fast"] == 3
    assert json.loads(out)["ticker"] == "NFLX"


RUN = ("run", "--ticker", "TSLA", "--data", "sample")
WRONG = [
    ((*RUN, "--agent", "finmen"), 2, ["finmen", "did you mean 'finmem'"]),
    (("run", "--agent", "finmem"), 2, ["no ticker", "--ticker"]),
    (("run", "--ticker", "TLSA"), 3, ["TLSA", "TSLA"]),
    (("run", "--ticker", "XYZ"), 3, ["XYZ", "backtest data import", "backtest data pull"]),
    (("run", "--ticker", "../etc", "--data", "store"), 2, ["../ETC"]),
    ((*RUN, "--profile", "risk_lover"), 2, ["risk_lover", "risk_averse"]),
    ((*RUN, "--llm", "scriptd"), 2, ["scriptd", "scripted"]),
    ((*RUN, "--llm", "openai:gpt"), 2, ["openai:", "@"]),
    ((*RUN, "--embedder", "hash"), 2, ["hash", "hashing"]),
    ((*RUN, "--sizer", "allin"), 2, ["allin", "all_in"]),
    ((*RUN, "--costs", "retial"), 2, ["retial", "retail"]),
    ((*RUN, "--world", "noisy"), 2, ["noisy", "noise"]),
    ((*RUN, "--data", "shop"), 2, ["shop", "'auto', 'store' or 'sample'"]),
    ((*RUN, "--fill", "now"), 2, ["now", "same_close"]),
    ((*RUN, "--set", "topk=3"), 2, ["topk", "top_k"]),
    ((*RUN, "--set", "top_k"), 2, ["--set", "NAME=VALUE"]),
    ((*RUN, "--set", "top_k=many"), 2, ["top_k", "many"]),
    ((*RUN, "--cash", "-1"), 2, ["initial_cash", "-1"]),
    ((*RUN, "--start", "2023-05-01", "--end", "2023-04-01"), 2, ["2023-05-01", "2023-04-01", "swap"]),
    ((*RUN, "--start", "2031-05-01"), 3, ["2031-05-01", "2024-12-31"]),
    ((*RUN, "--start", "2023-03-04", "--end", "2023-03-05"), 3, ["2023-03-04"]),
    ((*RUN, "--start", "2023-03-01", "--warmup-start", "2023-04-01"), 2, ["2023-04-01", "overlaps"]),
    ((*RUN, "--start", "1st of May"), 2, ["1st of May"]),
    ((*RUN, "--config", "nowhere.toml"), 3, ["nowhere.toml"]),
    (("report", "20200101"), 2, ["20200101"]),
    (("list", "agent"), 2, ["agents"]),
    (("data", "show", "TSAL"), 2, ["TSAL", "TSLA"]),
    (("data", "import", "nowhere.csv", "--ticker", "X"), 3, ["nowhere.csv"]),
    (("data", "import", "prices.xlsx", "--ticker", "X"), 3, [".xlsx", ".csv"]),
    (("data", "pull", "TSLA", "--source", "yahu", "--start", "2022-01-01"), 2, ["yahu", "yahoo"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"), WRONG, ids=lambda v: " ".join(v)[:60] if isinstance(v, tuple) else ""
)
def test_a_wrong_command_gets_one_clear_message(backtest, varve_home, arguments, exit_code, words):
    code, out, err = backtest(*arguments)
    assert code == exit_code, err
    assert out == ""
    unwrapped = " ".join(err.replace("│", " ").split())
    assert all(word in unwrapped for word in words), err
    assert stored_files(varve_home) == []


def test_an_unwritable_home_is_named(backtest, monkeypatch, tmp_path):
    file = tmp_path / "home"
    file.write_text("a file where a folder should be")
    monkeypatch.setenv("VARVE_HOME", str(file))
    code, _, err = backtest("run", "--agent", "buy-and-hold", "--ticker", "TSLA", *WINDOW)
    assert code == 3
    assert str(file) in err
    assert "VARVE_HOME" in err
    prices = tmp_path / "p.csv"
    prices.write_text("date,close\n2023-01-03,1\n2023-01-04,2\n")
    code, _, err = backtest("data", "import", prices, "--ticker", "X")
    assert code == 3
    assert str(file) in err


def test_a_bad_import_keeps_what_was_stored(backtest, varve_home, tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("date,close\n2023-01-03,10\n2023-01-04,11\n2023-01-05,12\n")
    bad.write_text("date,close\n2023-01-03,10\n2023-01-04,-11\n")
    assert backtest("data", "import", good, "--ticker", "abc")[0] == 0
    before = {name: (varve_home / name).read_bytes() for name in stored_files(varve_home)}
    code, _, err = backtest("data", "import", bad, "--ticker", "ABC")
    assert code == 3
    assert "-11" in err
    assert {name: (varve_home / name).read_bytes() for name in stored_files(varve_home)} == before
    code, out, _ = backtest("data", "list")
    assert "ABC" in out
    assert backtest("data", "show", "ABC")[1].count("next_close") == 1


def test_lists_show_what_is_registered(backtest):
    for what, name in [("agents", "finmem"), ("strategies", "sma-cross"), ("llms", "scripted"),
                       ("embedders", "hashing"), ("sources", "yahoo")]:  # fmt: skip
        code, out, _ = backtest("list", what)
        assert code == 0
        line = next(line for line in out.splitlines() if line.startswith(name))
        assert len(line.split()) > 2


def test_version(backtest):
    code, out, _ = backtest("--version")
    assert code == 0
    assert out.startswith("varve ")


def test_pull_without_a_network_says_so_and_stores_nothing(backtest, varve_home, network_guard):
    code, _, err = backtest("data", "pull", "TSLA", "--start", "2022-01-01")
    network_guard.clear()
    assert code == 3
    assert "TSLA" in err
    assert [name for name in stored_files(varve_home) if "TSLA" in name] == []


def test_an_unfinished_run_can_be_reported_and_says_that_it_stopped(backtest, varve_home):
    backtest("run", "--agent", "sma-cross", "--ticker", "TSLA", *WINDOW, "--quiet")
    (run,) = (varve_home / "runs").iterdir()
    with sqlite3.connect(run / "journal.db") as db:
        db.execute("DELETE FROM steps WHERE step >= 10")
    db.close()
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(
        json.dumps({**manifest, "status": "stopped", "reason": "the model is away"})
    )
    assert backtest("report", "latest", "--quiet")[0] == 0
    assert "the model is away" in (run / "report.html").read_text()
    assert json.loads((run / "metrics.json").read_text())["columns"][0]["metrics"]["sessions"] == 11
