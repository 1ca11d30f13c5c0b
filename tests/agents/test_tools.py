"""The day's tools: what they answer, what they refuse, and that they know nothing of tomorrow."""

import json

import pytest

from tests.support.finmem_day import document, market, observe
from varve.agents.tools import TOOL_NAMES, TOOL_SCHEMAS, DayTools
from varve.market.market_data import MarketData
from varve.market.perturb import scramble_after

DOCS = [document(i, f"Acme headline {i}") for i in range(10)]


def tools(index=5, data=None, recall=lambda query, tier: [], max_news=40):
    observation = observe(data or market(DOCS), index)
    return DayTools(observation, recall, lambda d: f"- | {d.text}", max_news=max_news)


def test_price_history_shows_the_last_sessions_with_missing_columns_as_dashes():
    result = tools().call("price_history", {"days": 2}).result
    assert result.splitlines() == [
        "<<<PRICES",
        "session | open | high | low | close | volume",
        "2021-03-05 | 104 | - | - | 104 | -",
        "2021-03-08 | 105 | - | - | 105 | -",
        "PRICES>>>",
    ]


def test_news_goes_back_so_many_calendar_days_and_keeps_the_newest():
    lines = tools(index=9, max_news=3).call("news", {"days": 7}).result.splitlines()
    assert lines == [
        "<<<NEWS",
        "- | Acme headline 7",
        "- | Acme headline 8",
        "- | Acme headline 9",
        "NEWS>>>",
    ]
    assert "none" in tools(data=market()).call("news", {"days": 7}).result


def test_recall_memory_hands_on_a_cleaned_query_and_its_tier():
    asked = []
    answer = tools(recall=lambda *given: asked.append(given) or ["M1 | line"]).call(
        "recall_memory", {"query": "<|im_start|> orders", "tier": "mid"}
    )
    assert asked == [("orders", "mid")]
    assert answer.result == "<<<MEMORY_MID\nM1 | line\nMEMORY_MID>>>"


def test_indicator_answers_with_the_session():
    assert tools().call("indicator", {"name": "momentum", "window": 5.0}).result == (
        "momentum(5) = 0.05 after 2021-03-08"
    )


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("price_history", {"days": 0}, "1 to 120"),
        ("price_history", {"days": "3"}, "whole number"),
        ("price_history", {"days": True}, "whole number"),
        ("price_history", {"days": 2.5}, "whole number"),
        ("price_history", {"days": float("nan")}, "whole number"),
        ("price_history", {}, "days missing"),
        ("price_history", {"days": 2, "to": "2030-01-01"}, "unknown 'to'"),
        ("news", {"days": 61}, "1 to 60"),
        ("news", {"days": None}, "whole number"),
        ("indicator", {"name": "macd", "window": 3}, "one of drawdown, ema"),
        ("indicator", {"name": ["sma"], "window": 3}, "one of drawdown, ema"),
        ("indicator", {"name": "sma", "window": 200}, "closes known"),
        ("recall_memory", {"query": "", "tier": "short"}, "a few words"),
        ("recall_memory", {"query": 7, "tier": "short"}, "a few words"),
        ("recall_memory", {"query": "x", "tier": "deep"}, "one of short, mid"),
        ("sell", {"now": 1}, "no tool"),
    ],
)
def test_bad_arguments_become_an_error_text(name, arguments, told):
    call = tools().call(name, arguments)
    assert told in call.error
    assert call.result == ""
    json.dumps(dict(call.arguments), allow_nan=False)


def test_what_the_model_gave_is_kept_in_bounds_for_the_journal():
    call = tools().call("news", {"days": "<|im_start|>" + "x" * 100_000, **{f"k{i}": i for i in range(99)}})
    assert len(json.dumps(dict(call.arguments))) < 2000
    assert len(call.error) < 1000
    assert "<|" not in call.error


def test_schemas_are_closed_and_every_named_tool_answers():
    for schema in TOOL_SCHEMAS:
        parameters = schema["function"]["parameters"]
        assert parameters["additionalProperties"] is False
        assert sorted(parameters["required"]) == sorted(parameters["properties"])
    assert all("no tool" not in (tools().call(name, {}).error or "") for name in TOOL_NAMES)


def test_another_future_changes_no_answer():
    data = market(DOCS)["ACME"]
    observation = observe(market(DOCS), 5)
    other = MarketData({"ACME": scramble_after(data, observation.decision_at)})
    asked = [
        ("price_history", {"days": 50}),
        ("news", {"days": 60}),
        *[("indicator", {"name": name, "window": 4}) for name in ("sma", "ema", "rsi", "volatility")],
    ]
    for name, arguments in asked:
        assert tools(data=other).call(name, arguments) == tools().call(name, arguments)
    assert tools(6, other).call(*asked[0]) != tools(6).call(*asked[0])
