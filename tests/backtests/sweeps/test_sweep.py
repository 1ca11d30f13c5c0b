"""Sweeps: what a file asks for, and runs that fail, are stopped, are skipped and go on."""

import json
from datetime import date
from types import SimpleNamespace

import pytest

from varve.backtests.studies.compare.entrants import names
from varve.backtests.sweeps.plan import read_sweep
from varve.backtests.sweeps.threads import run_sweep
from varve.errors import BadFileError, SettingError, UsageError
from varve.testing import model_server as fake


def written(tmp_path, text, name="sweep.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


GROUPS = """
[run]
ticker = "TSLA"
settings.top_k = 3

[vary]
seed = [0, 1]

[[group]]
run.agent = "finmem"
run.settings.max_news = 4
vary.settings.profile = ["risk_seeking", "risk_averse"]

[[group]]
run.agent = "finmem"
run.settings.top_k = 2
vary.ticker = ["AMZN", "NFLX"]
"""


def test_every_combination_of_a_group_in_order_the_last_fastest(tmp_path):
    runs = read_sweep(written(tmp_path, GROUPS)).runs
    assert [(r.ticker, r.seed, r.settings) for r in runs] == [
        ("TSLA", 0, {"top_k": 3, "max_news": 4, "profile": "risk_seeking"}),
        ("TSLA", 0, {"top_k": 3, "max_news": 4, "profile": "risk_averse"}),
        ("TSLA", 1, {"top_k": 3, "max_news": 4, "profile": "risk_seeking"}),
        ("TSLA", 1, {"top_k": 3, "max_news": 4, "profile": "risk_averse"}),
        ("AMZN", 0, {"top_k": 2}),
        ("NFLX", 0, {"top_k": 2}),
        ("AMZN", 1, {"top_k": 2}),
        ("NFLX", 1, {"top_k": 2}),
    ]


def test_lists_that_are_values_stand_in_lists(tmp_path):
    text = (
        '[run]\nagent = "finagent"\nticker = "TSLA"\n[vary]\nsettings.without = [[], ["tools"], ["vision"]]'
    )
    runs = read_sweep(written(tmp_path, text)).runs
    assert [run.settings["without"] for run in runs] == [[], ["tools"], ["vision"]]


def test_the_same_runs_are_the_same_sweep_in_whatever_order(tmp_path):
    one = read_sweep(written(tmp_path, '[run]\nagent = "macd"\n[vary]\nticker = ["TSLA", "AMZN"]'))
    other = read_sweep(
        written(tmp_path, '[vary]\nticker = ["AMZN", "TSLA"]\n[run]\nagent = "macd"\n', "b.toml")
    )
    more = read_sweep(written(tmp_path, '[run]\nagent = "macd"\n[vary]\nticker = ["TSLA"]', "c.toml"))
    assert one.identity == other.identity != more.identity


TSLA = "[run]\nticker = 'TSLA'\n"
REFUSED = (
    ("[runs]\nticker = 'TSLA'", SettingError, "unknown key 'runs'; known: run, vary, group"),
    ("ticker = 'TSLA'", SettingError, "settings of the runs go under run: run.ticker"),
    (TSLA + "seeed = 3", SettingError, "did you mean 'seed'?"),
    ("[[group]]\nrun.ticker = 'TSLA'\n[[group]]\nvery.a = [1]", SettingError, "group 2: unknown key 'very'"),
    (TSLA + "[vary]\nseed = 3", SettingError, "vary.seed is 3; a list of values expected"),
    (TSLA + "[vary]\nseed = []", SettingError, "vary.seed is []"),
    (TSLA + "agent = 'finmen'", SettingError, "did you mean 'finmem'"),
    (TSLA + "settings.top_kk = 3", SettingError, "unknown setting 'top_kk'"),
    (TSLA + "[vary]\nsettings.profile = ['bold']", SettingError, "setting 'profile' cannot be 'bold'"),
    ("[run]\nseed = 1", SettingError, "setting 'ticker'"),
    ("run = 3", SettingError, "run must be a table"),
    (TSLA + "[[group]]\nrun = 3", SettingError, "group 1: run must be a table"),
    (TSLA + "[vary]\nseed = [1, 1]", UsageError, "runs 1 and 2 are the same: finmem TSLA seed 1"),
    (TSLA + f"[vary]\nseed = {list(range(1001))}", UsageError, "more than 1000 runs"),
    ("[run", BadFileError, "cannot be read as TOML"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_a_file_may_not_say(tmp_path, text, kind, message):
    with pytest.raises(kind) as caught:
        read_sweep(written(tmp_path, text))
    assert message in str(caught.value)


SHORT = """
[run]
data = "sample"
start = 2023-03-01
end = 2023-03-16
agent = "macd"

[vary]
ticker = ["TSLA", "NOPE", "AMZN"]
"""


def test_a_failing_run_stops_no_other_and_finished_ones_are_skipped(tmp_path, backtest, varve_home):
    path = written(tmp_path, SHORT)
    code, out, err = backtest("sweep", path)
    assert code == 3
    assert "failed: macd on NOPE, seed 0: " in err
    assert f"go on with what is not finished: backtest sweep {path}" in err
    assert "1  macd TSLA seed 0" in out
    assert "2  macd AMZN seed 0" in out
    folders = sorted((varve_home / "runs").iterdir())
    assert len(folders) == 2
    before = [(folder / "run.json").read_bytes() for folder in folders]
    code, out, _ = backtest("sweep", path, "--json")
    assert code == 3
    told = json.loads(out)
    assert [run["state"] for run in told["runs"]] == ["finished", "failed", "finished"]
    compared = [column["run_id"] for column in told["comparison"]["runs"]]
    assert [run_id.split("-")[3] for run_id in compared] == ["TSLA", "AMZN"]
    assert sorted(compared) == [folder.name for folder in folders]
    assert sorted((varve_home / "runs").iterdir()) == folders
    assert [(folder / "run.json").read_bytes() for folder in folders] == before


def test_compared_runs_are_named_by_what_tells_those_of_a_kind_apart():
    def entrant(agent, **settings):
        trial = SimpleNamespace(agent=agent, ticker="TSLA", seed=0)
        return SimpleNamespace(trial=trial, settings={"agent": agent, "llm": "scripted", **settings})

    runs = [
        entrant("finmem", top_k=5, profile="a"),
        entrant("finmem", top_k=5, profile="b"),
        entrant("macd", fast=12),
    ]
    assert names(runs) == ["finmem TSLA seed 0 profile=a", "finmem TSLA seed 0 profile=b", "macd TSLA seed 0"]


def test_a_damaged_record_is_told(tmp_path, varve_home):
    sweep = read_sweep(written(tmp_path, SHORT))
    (varve_home / "sweeps").mkdir()
    (varve_home / "sweeps" / f"{sweep.identity[:16]}.json").write_text("{")
    with pytest.raises(BadFileError, match="cannot be read"):
        run_sweep(sweep)


def test_runs_that_were_stopped_go_on(tmp_path, varve_home):
    """One is stopped by its model, the other by hand; both end as if they never had been."""
    answers = ["ok"] * 4 + [fake.status(401)]
    with fake.FakeModelServer([*answers, "ok"]) as server:
        text = f"""
        [run]
        agent = "finmem"
        ticker = "TSLA"
        data = "sample"
        start = 2023-03-01
        end = 2023-03-10
        warmup_start = 2023-02-24
        [vary]
        llm = ["openai:fake@{server.base_url}", "scripted"]
        """
        sweep = read_sweep(written(tmp_path, text))

        def by_hand(states):
            # The served run has failed by then, and the other not yet ended.
            if states[0].state == "failed" and states[1].done:
                raise KeyboardInterrupt

        try:
            states = run_sweep(sweep, use_cache=False, on_change=by_hand)
        except KeyboardInterrupt:
            pass
        else:
            assert states[0].state == "failed"
        again = run_sweep(sweep, use_cache=False)
    assert [state.state for state in again] == ["finished", "finished"]
    served = again[0].folder.read()
    assert served.resumed_at
    assert served.window.end == str(date(2023, 3, 10))
    assert len(list((varve_home / "runs").iterdir())) == 2
