"""FinAgent from the command line: switches, figures per stage, replay, and images in the record."""

import json
from datetime import date

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.record.folder import RunFolder
from varve.backtests.runner import run_backtest
from varve.finllm.scripted.chat_model import ScriptedModel

WINDOW = ["--ticker", "TSLA", "--start", "2023-03-01", "--end", "2023-03-08", "--warmup-start", "2023-02-16"]
STAGES = ["intelligence", "past_intelligence", "low_reflection", "high_reflection", "decide"]


def folder_of(varve_home):
    (folder,) = (varve_home / "runs").iterdir()
    return folder


def test_a_run_tells_calls_and_tokens_of_each_stage_and_replays(backtest, varve_home):
    code, out, err = backtest("run", "--agent", "finagent", "--profile", "neutral", *WINDOW, "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)["columns"][0]["metrics"]
    assert list(figures["stages"]) == STAGES
    for key in ("calls", "input_tokens", "output_tokens"):
        assert sum(stage[key] for stage in figures["stages"].values()) == figures["usage"][key]
    assert figures["stages"]["decide"]["done"] == figures["decisions"] == 5
    assert figures["stages"]["low_reflection"]["shown_table"] == 5 + 3  # decisions and lessons
    assert figures["tools"]["strategy_macd"] > 0
    assert figures["tools"]["strategy_kdj_rsi"] == 0
    assert backtest("replay", "latest")[0] == 0
    page = (folder_of(varve_home) / "report.html").read_text()
    assert "past intelligence" in page or "past_intelligence" in page


def test_parts_are_switched_off_by_an_option_and_wrong_names_are_told(backtest, varve_home):
    without = ["--without", "tools", "--without", "high_reflection"]
    code, out, err = backtest("run", "--agent", "finagent", *without, *WINDOW, "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)["columns"][0]["metrics"]
    assert list(figures["stages"]) == ["intelligence", "past_intelligence", "low_reflection", "decide"]
    assert figures["tools"] == {}
    manifest = json.loads((folder_of(varve_home) / "run.json").read_text())
    assert manifest["agent_settings"]["without"] == ["high_reflection", "tools"]
    code, _, err = backtest("run", "--agent", "finagent", "--without", "memory", *WINDOW)
    assert code == 2
    assert "without" in err


def test_a_run_with_images_says_so_and_replays_without_the_model(backtest, varve_home, monkeypatch):
    monkeypatch.setattr(ScriptedModel, "vision", True, raising=False)
    short = [
        "--ticker",
        "TSLA",
        "--start",
        "2023-03-01",
        "--end",
        "2023-03-03",
        "--warmup-start",
        "2023-02-21",
    ]
    code, out, err = backtest("run", "--agent", "finagent", *short, "--json")
    assert (code, err) == (0, "")
    stages = json.loads(out)["columns"][0]["metrics"]["stages"]
    assert stages["low_reflection"]["shown_image"] > 0
    assert stages["low_reflection"]["shown_table"] == 0
    assert json.loads((folder_of(varve_home) / "run.json").read_text())["model"]["vision"] is True
    monkeypatch.undo()
    monkeypatch.setenv("VARVE_HOME", str(varve_home))
    assert backtest("replay", "latest")[0] == 0


def test_a_run_stopped_in_the_middle_goes_on_to_the_same_digest(backtest, varve_home):
    settings = {"agent": "finagent", "ticker": "TSLA", "warmup_start": date(2023, 2, 16),
                "start": date(2023, 3, 1), "end": date(2023, 3, 8)}  # fmt: skip
    whole = run_backtest(RunConfig.build(**settings)).read().run_digest

    def stop(record, done, total):
        if done == 6:  # three lessons and three decisions
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_backtest(RunConfig.build(**settings), on_step=stop)
    (stopped,) = (f for f in map(RunFolder, (varve_home / "runs").iterdir()) if f.read().status == "stopped")
    assert backtest("run", "--resume", stopped.run_id, "--quiet")[0] == 0
    assert stopped.read().run_digest == whole
