"""FinMem on a model of random weights: constrained, no reply can be invalid."""

from dataclasses import replace
from datetime import date

import pytest

from tests.support.tiny_models import write_tiny_llm
from varve.backtests.config import RunConfig
from varve.backtests.report.metric_rows import table_rows
from varve.backtests.results.metrics_file import read_metrics
from varve.backtests.results.stage_figures import abstentions
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.prepare import prepare
from varve.backtests.simulate.steps import simulate


def run(folder, temperature=0.0, **more):
    settings = {"top_k": 1, "max_news": 3, "memory_tokens": 24, "news_tokens": 24}
    config = RunConfig.build(
        ticker="TSLA", data="sample", llm=f"hf:{folder}", start=date(2024, 6, 3), end=date(2024, 6, 7),
        warmup_start=date(2024, 5, 21), settings=settings, **more,
    )  # fmt: skip
    prepared = prepare(config)
    if temperature:
        warm = prepared.model.model_copy(update={"temperature": temperature})
        prepared = replace(prepared, model=warm)
    return prepared, simulate(prepared)


@pytest.mark.parametrize(("family", "seed"), [("hermes", 0), ("llama3", 3)])
def test_a_whole_episode_with_tool_calls_has_no_invalid_reply(tmp_path, monkeypatch, family, seed):
    monkeypatch.setenv("VARVE_MODEL_MAX_TOKENS", "160")
    folder = write_tiny_llm(tmp_path / family, family, seed=seed, max_position_embeddings=8192)
    _, steps = run(folder, temperature=1.5)  # drawn, so that random weights ask this and that
    calls = [call for step in steps for call in step.model_calls]
    asked = [one["name"] for call in calls for one in call.reply["tool_calls"]]
    assert [step.decision.failure for step in steps] == [None] * len(steps)
    assert all(not call.reply["invalid_tool_calls"] for call in calls)
    assert all(call.reply["finish_reason"] == "tool_calls" for call in calls)
    assert {call.attempt for call in calls} == {0}
    assert asked.count("decide") == sum(step.phase == "trade" for step in steps)
    assert "explain" in asked
    assert set(asked) - {"decide", "explain"}, "a model that never asks does not test the tools"


def test_an_episode_in_score_mode_cites_what_was_shown_and_asks_nothing(tmp_path):
    folder = write_tiny_llm(tmp_path / "tiny", max_position_embeddings=8192)
    prepared, steps = run(folder, decide="score", abstain_below=100, abstain_as="FLAT")
    trades = [step for step in steps if step.phase == "trade"]
    assert [step.decision.failure for step in trades] == [None] * len(trades)
    for step in trades:
        (call,) = step.model_calls
        arguments = call.reply["tool_calls"][0]["args"]
        assert (arguments["action"], arguments["abstained"]) == ("FLAT", True)
        assert step.decision.orders[0].action == "FLAT"
        assert step.decision.rationale.startswith("Abstained: ")
        assert len(step.decision.cited_memories) == len(arguments["cited_memories"])
    assert trades[-1].decision.cited_memories
    assert prepared.model._identifying_params["decide"] == "score"


@pytest.mark.filterwarnings("error:AutoDateLocator")
def test_abstentions_are_counted_in_table_and_report(tmp_path, varve_home):
    folder = write_tiny_llm(tmp_path / "tiny", max_position_embeddings=8192)
    result = run_backtest(
        RunConfig.build(
            ticker="TSLA", data="sample", llm=f"hf:{folder}", start=date(2024, 6, 3), end=date(2024, 6, 7),
            warmup_start=date(2024, 5, 30), decide="score", abstain_below=100,
            settings={"top_k": 1, "max_news": 3, "memory_tokens": 24, "news_tokens": 24},
        )
    )  # fmt: skip
    metrics = read_metrics(result)
    assert metrics.agent.abstentions == 4
    assert ["abstentions", "4", *["– (a baseline)"] * 3] in table_rows(metrics)[1]
    assert "4 decisions, 4 abstentions, 0 failures" in (result.path / "report.html").read_text()
    assert abstentions(result.read().config, []) == {}  # a strategy asks no model, so it cannot abstain
