"""``backtest run --tune``: settings chosen on the warm-up alone, recorded, entered as trials, replayed."""

import json
import shutil
from datetime import date

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.integrity.replay import replay_run
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.lookup import find_run
from varve.backtests.record.trial_registry.lines import trial_of_run
from varve.backtests.record.trial_registry.registry import TrialRegistry
from varve.backtests.resume import resume_run
from varve.backtests.runner import run_backtest
from varve.backtests.simulate import prepare as preparing
from varve.backtests.simulate.prepare import prepare
from varve.errors import IntegrityError
from varve.market.perturb import scramble_after
from varve.market.select import LoadedMarket, load_market

GIVEN = {
    "agent": "macd", "ticker": "TSLA", "data": "sample", "world": "strong",
    "start": date(2023, 3, 1), "end": date(2023, 4, 14), "warmup_start": date(2022, 9, 1), "tune": True,
}  # fmt: skip


def test_the_test_window_does_not_enter_the_search(monkeypatch):
    config = RunConfig.build(**GIVEN)
    before = prepare(config)
    first = before.data.bars.bar(before.window.first - 1)

    def scrambled(*args, **kwargs):
        loaded = load_market(*args, **kwargs)
        return LoadedMarket(scramble_after(loaded.data, first.end, seed=2), loaded.origin, loaded.label)

    monkeypatch.setattr("varve.market.select.load_market", scrambled)
    after = prepare(config)
    assert after.data.bars.close[-1] != before.data.bars.close[-1]
    assert after.search == before.search
    assert after.trader_config == before.trader_config
    # it does hang on the warm-up
    other = prepare(RunConfig.build(**{**GIVEN, "warmup_start": date(2022, 11, 1)}))
    assert other.search.found.trials != before.search.found.trials


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def finished(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VARVE_HOME", str(home))
        return run_backtest(RunConfig.build(**{**GIVEN, "settings": {"signal": 7}}))


def test_the_record_tells_the_search(finished):
    manifest = finished.read()
    kept = manifest.tuning
    assert (kept.start, kept.end) == ("2022-09-01", "2023-02-28")
    assert manifest.window.start == "2023-03-01"
    assert manifest.window.warmup_sessions == 0
    assert manifest.agent_settings == kept.best
    assert kept.best["signal"] == kept.base["signal"] == 7
    best = max(kept.trials, key=lambda trial: trial.score or -9)
    assert {**kept.base, **best.params} == kept.best
    assert kept.best != kept.base
    page = finished.report.read_text()
    assert "Settings chosen on the warm-up from 2022-09-01 to 2023-02-28 alone" in page


def test_every_trial_is_in_the_registry(finished, home):
    trials = TrialRegistry(home).trials()
    kept = finished.read().tuning.trials
    searched = [trial for trial in trials if trial.origin == "search"]
    assert len(searched) == len(kept) == 20
    assert len({trial.settings for trial in searched}) == 20
    assert {(trial.start, trial.end) for trial in searched} == {("2022-09-01", "2023-02-28")}
    assert searched[3].sharpe == pytest.approx(kept[3].score / 252**0.5)
    # What was chosen is the same settings as those tried, and as a run that was given them.
    chosen = trial_of_run(finished.read()).settings
    assert chosen in {trial.settings for trial in searched}


def test_replay_and_resume_take_the_chosen_settings(finished, tmp_path, monkeypatch):
    def never(*args):
        raise AssertionError("searched again")

    monkeypatch.setattr(preparing, "search", never)
    assert replay_run(finished).digest == finished.read().run_digest
    shutil.copytree(finished.path, tmp_path / "copy")
    folder = RunFolder(tmp_path / "copy")
    folder.update(status="stopped", run_digest=None)
    assert resume_run(folder, given={"tune": True}).read().run_digest == finished.read().run_digest
    folder.update(agent_settings=folder.read().tuning.base)
    with pytest.raises(IntegrityError, match="differs"):
        replay_run(folder)


def test_a_run_that_was_given_them_trades_the_same(finished, home, monkeypatch):
    monkeypatch.setenv("VARVE_HOME", str(home))
    settings = finished.read().agent_settings
    plain = run_backtest(RunConfig.build(**{**GIVEN, "tune": False, "settings": settings}))
    # (Not the run digest: the metrics count the trials of their time.)
    for name in ("decisions.csv", "trades.csv", "equity.csv"):
        assert (plain.path / name).read_bytes() == (finished.path / name).read_bytes()
    assert trial_of_run(plain.read()).settings == trial_of_run(finished.read()).settings


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["--agent", "buy-and-hold", "--start", "2022-06-01"], 2, "no search space"),
        (["--agent", "finmem", "--start", "2022-06-01"], 2, "no search space"),
        (["--agent", "macd", "--start", "2020-01-02"], 2, "begins with the data on 2020-01-02"),
        (["--agent", "macd", "--start", "2022-06-01", "--warmup-start", "2022-05-20"], 2, "at least 20"),
        (["--agent", "macd", "--start", "2022-06-01", "--set", "fast=50"], 2, "must be below"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(backtest, varve_home, given, code, words):
    found, _, err = backtest("run", "--ticker", "TSLA", "--end", "2022-12-30", "--tune", *given)
    assert (found, words in err) == (code, True), err
    assert list(varve_home.iterdir()) == []


def test_on_the_command_line(backtest):
    code, out, err = backtest(
        "run", "--agent", "zscore", "--ticker", "ETH-USD", "--start", "2022-06-01", "--end", "2022-07-15",
        "--data", "sample", "--tune", "--set", "window=14",
    )  # fmt: skip
    assert code == 0, err
    assert "the best of" in " ".join(out.split())
    assert find_run("latest").read().agent_settings["window"] == 14
    json.dumps(find_run("latest").read().tuning.as_json(), allow_nan=False)
