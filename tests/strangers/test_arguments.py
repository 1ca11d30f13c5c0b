"""Arguments and surroundings that make no sense: one message each, exit code 2, and nothing is harmed."""

import os
import subprocess
import sys

import pytest

LONG = "A" * 5000
RUN = ["run", "--ticker", "TSLA", "--start", "2023-03-01", "--end", "2023-03-10"]
RULE = [*RUN, "--agent", "buy-and-hold"]

NO_SENSE = [
    ["run", "--ticker", "A**"], ["run", "--ticker", LONG], ["data", "show", "A**"], ["data", "show", LONG],
    ["data", "show", "../x"], ["report", LONG], ["memory", "show", LONG], ["run", "--resume", LONG],
    ["list", LONG],
    ["compare", LONG], [*RULE, "--world", LONG], [*RULE, "--agent", LONG], [*RUN, "--memory", LONG],
    ["report", "a\0b"], ["data", "show", "a\0b"], ["report", "\udc80"], ["run", "--ticker", "\udc80"],
    [*RUN, "--set", "profile=\udc80"], [*RUN, "--llm", "hf:~nosuchuser/x"],
    [*RUN, "--embedder", "hf:~nosuchuser/x"],
    [*RUN, "--llm", "hf:a+~nosuchuser/x"], [*RUN, "--memory", "~nosuchuser/x.parquet"],
    ["llm", "doctor", "--llm", "hf:~nosuchuser/x"], [*RUN, "--llm", "openai:x@http://[::1"],
    [*RUN, "--llm", "openai:x@http://a:99999"], [*RUN, "--llm", "openai:x@http://u:p@h"],
    [*RUN, "--llm", LONG],
    *([*RUN, "--set", pair] for pair in (
        "a", "=1", "a.b.c=1", "a..b=1", ".=1", ".".join("a" * 5000) + "=1", "top_k=nan", "top_k=1e400",
        "top_k=-1",
        "top_k=" + "9" * 400, "top_k=[1]", "top_k={a=1}", "top_k=2020-01-01", "sizer=1", "costs=x",
        "memory=1",
        "memory.preset=[1]", "memory.short=1", "memory.short.tau_days=nan", "memory.short.tau_days=1e300",
        "memory.purge_after_taus=1e300", "top_k=" + "[" * 5000, "x=" + "{a=" * 3000, "seed=1", "a\nb=1",
        "costs.commission_bps=-1", "costs.commission_bps=1e300", "sizer.fraction=1",
    )),
    *([*RULE, "--sizer", "fraction", "--set", pair] for pair in ("sizer.fraction=nan", "sizer.fraction=2")),
    *([*RULE, "--seed", value] for value in ("-1", "1.5", "nan", "9" * 400)),
    *([*RULE, "--cash", value] for value in ("nan", "inf", "-1", "0", "1e308", "9" * 400)),
    *([*RULE, "--horizon", value] for value in ("0", "-1", "9" * 30)),
    *(["run", "--ticker", "TSLA", "--agent", "buy-and-hold", "--start", day]
      for day in ("2023-02-30", "10000-01-01", "0", "soon", "-1")),
    ["ablate", "--ticker", "TSLA", "--seeds", "9" * 50],
    ["ablate", "--ticker", "TSLA", "--seeds", "0"], ["run", "--json", "--quiet", "--ticker", "A"],
    ["run"], ["run", "--set"],
    ["nonsense"], ["--nonsense"], ["run", "--sed", "1"], ["run", "extra", "--ticker", "TSLA"],
]  # fmt: skip


def named(words):
    return " ".join(words)[:60].encode("ascii", "backslashreplace").decode()


@pytest.mark.parametrize("words", NO_SENSE, ids=named)
def test_what_makes_no_sense_is_one_message(backtest, varve_home, words):
    code, out, err = backtest(*words)
    assert code == 2, err
    assert out == "" or words[0] == "llm"  # the doctor says what is installed, first
    assert err.count("error: ") == 1
    assert len(err) < 5000
    assert [path.name for path in varve_home.rglob("*")] in ([], ["memories"])


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "1677-01-01", "2262-04-12"])
def test_a_day_without_data_is_one_message(backtest, day):
    for option in ("--start", "--end", "--warmup-start"):
        code, _, err = backtest("run", "--ticker", "TSLA", "--agent", "buy-and-hold", option, day)
        assert code in (2, 3), err
        assert err.count("error: ") == 1


@pytest.mark.parametrize("change", [
    {"COLUMNS": "0"}, {"COLUMNS": "x"}, {"COLUMNS": "-1"}, {"COLUMNS": "1"}, {"COLUMNS": "9" * 50},
    {"LINES": "0"},
    {"TERMINAL_WIDTH": "x"}, {"TERMINAL_WIDTH": "0"}, {"PYTHONIOENCODING": "ascii"}, {"TERM": ""},
])  # fmt: skip
def test_a_terminal_of_no_size_shows_what_any_shows(tmp_path, change):
    env = {**os.environ, "VARVE_HOME": str(tmp_path), **change}
    for words in (["data", "list"], ["--help"], ["run", "--help"], ["list", "settings", "finmem"]):
        done = subprocess.run(
            [sys.executable, "-m", "varve.cli.app", *words], env=env, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, ""), (words, done.stderr)
        assert len(done.stdout.splitlines()) < 400


@pytest.mark.parametrize("home", ["~nouser/x", "/dev/null/x", "x" * 5000, "/proc/nothing"])
def test_a_home_that_can_be_none_is_one_message(home):
    env = {**os.environ, "VARVE_HOME": home}
    for words in ([*RULE], ["data", "show", "NONE"], ["trials", "list"]):
        done = subprocess.run(
            [sys.executable, "-m", "varve.cli.app", *words], env=env, capture_output=True, text=True
        )
        assert done.returncode in ((0, 2, 3) if words[0] != "run" else (2, 3)), done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.count("error: ") == (done.returncode != 0)


def test_no_home_at_all_is_one_message(backtest, monkeypatch):
    monkeypatch.delenv("VARVE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    for words in ([*RULE], ["trials", "list"], ["data", "list"], ["llm", "models"]):
        code, _, err = backtest(*words)
        assert code == 2
        assert "set VARVE_HOME" in err
        assert err.count("error: ") == 1
