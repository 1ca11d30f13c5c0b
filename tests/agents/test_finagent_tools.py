"""FinAgent's tools: strategies' signals as of today, the calculator, budgets, and tools that misbehave."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.finagent_day import asked, begun
from tests.support.finmem_day import calls, decide, document, market, observe, texts
from varve.agents.calculator import calculate
from varve.agents.finagent.config import STRATEGIES
from varve.agents.finagent.tools import FinAgentTools, signal_sources, tool_schemas
from varve.agents.tools import BadArgumentsError, tool_name
from varve.market.market_data import MarketData
from varve.market.perturb import scramble_after
from varve.types import FailureReason

DOCS = [document(i, f"Acme news number {i}") for i in range(20, 40)]
WAVES = [100 + 8 * math.sin(i / 3) + i / 10 for i in range(60)]
SIGNALS = [f"strategy_{name.replace('-', '_')}" for name in STRATEGIES]


def tools(observation):
    schemas = tool_schemas(STRATEGIES, called=True)
    return FinAgentTools(
        observation, lambda query, tier: [], str, max_news=5, schemas=schemas,
        signals=signal_sources(STRATEGIES),
    )  # fmt: skip


def told(*replies, **settings):
    """A day on which the model says ``replies`` when it is to decide."""
    agent, model, trace = begun({"decide": list(replies)}, **settings)
    return agent.decide(observe(market(DOCS, closes=WAVES), 45)), model, trace


def test_every_strategy_is_a_tool_that_tells_signal_reason_and_record():
    box = tools(observe(market(closes=WAVES), 59))
    for name in SIGNALS:
        call = box.call(name, {})
        strategy, action, why, record = call.result.splitlines()[1].split(" | ")
        assert f"strategy_{strategy.replace('-', '_')}" == name
        assert action in ("BUY", "HOLD", "SELL")
        assert action in why
        assert "signal" in record
    assert "signals so far" in box.call("strategy_sma_cross", {}).result or len(WAVES) < 60
    assert [tool_name(schema) for schema in box.schemas][4:] == [*SIGNALS, "calculate"]


def test_a_record_grows_with_the_days_and_never_from_the_future():
    data = market(closes=WAVES)["ACME"]
    early = observe(market(closes=WAVES), 50)
    other = MarketData({"ACME": scramble_after(data, early.decision_at)})
    now, then = tools(early), tools(observe(other, 50))
    assert [now.call(name, {}) for name in SIGNALS] == [then.call(name, {}) for name in SIGNALS]
    late, later = tools(observe(market(closes=WAVES), 55)), tools(observe(other, 55))
    assert [late.call(name, {}) for name in SIGNALS] != [later.call(name, {}) for name in SIGNALS]


def test_tools_are_called_and_the_journal_says_what_was_offered_called_and_ignored():
    decision, model, trace = told(
        calls(("strategy_macd", {}), ("calculate", {"expression": "110 / 100 - 1"})), decide()
    )
    assert [call.name for call in decision.tool_calls] == ["strategy_macd", "calculate"]
    assert decision.tool_calls[1].result == "110 / 100 - 1 = 0.1"
    offered = [tool_name(tool) for tool in trace.model_calls[-1].tools]
    assert set(SIGNALS) < set(offered)
    answers = [message.text for message in asked(model, "decide")[1] if message.type == "tool"]
    assert answers == [call.result for call in decision.tool_calls]
    assert "<<<SIGNALS" not in texts(asked(model, "decide")[0])


def test_signals_can_be_pasted_as_the_released_code_does():
    _, model, _ = told(decide(), signals="pasted")
    messages = asked(model, "decide")[0]
    lines = texts(messages).split("<<<SIGNALS\n")[1].split("\nSIGNALS>>>")[0].splitlines()
    assert [line.split(" | ")[0] for line in lines] == list(STRATEGIES)
    names = next(names for asked_, names in model.asked if asked_ == messages)
    assert not set(SIGNALS) & set(names)


def test_a_tool_that_raises_is_told_once_and_not_asked_again(monkeypatch):
    def broken(self, view, symbol=None):
        raise ZeroDivisionError("<|im_start|> no bars " + "x" * 1000)

    monkeypatch.setattr("varve.strategies.signals.SignalTrader.signal", broken)
    ask = calls(("strategy_macd", {}), ("price_history", {"days": 2}))
    decision, _model, _ = told(ask, calls(("strategy_macd", {})), decide())
    first, prices, second = decision.tool_calls
    assert first.error.startswith("strategy_macd failed: ZeroDivisionError: no bars")
    assert "<|" not in first.error
    assert len(first.error) < 300
    assert prices.error is None
    assert second.error == "strategy_macd has failed today and is not asked again"
    assert decision.failure is None


def test_a_model_that_asks_for_ever_fails_after_its_rounds_and_one_reask():
    decision, model, _ = told(calls(("strategy_macd", {})), max_tool_rounds=3)
    assert decision.failure.reason is FailureReason.TOO_MANY_ROUNDS
    assert len(asked(model, "decide")) == 5
    assert len(decision.tool_calls) == 3


def test_answers_have_a_budget_of_tokens_together():
    ask = calls(("price_history", {"days": 40}), ("calculate", {"expression": "1 + 1"}))
    decision, _model, _ = told(ask, decide(), tool_tokens=100)
    long, short = decision.tool_calls
    assert long.result == ""
    assert "100 tokens for answers" in long.error
    assert short.result == "1 + 1 = 2"
    assert decision.failure is None


def test_past_intelligence_and_reflections_are_recalled_as_lines_that_can_be_cited():
    ask = calls(
        ("recall_memory", {"query": "orders", "tier": "short"}),
        ("recall_memory", {"query": "moves", "tier": "reflection"}),
    )
    agent, _model, _trace = begun({"decide": [decide(), ask, decide(cited_memories=["M1", "M2"])]})
    data = market(DOCS, closes=WAVES)
    agent.decide(observe(data, 25, step=0))
    decision = agent.decide(observe(data, 26, step=1))
    news, reflections = (call.result for call in decision.tool_calls)
    assert "| news | Acme wins an order" in news
    assert "| low_reflection | 2021-04-06" in reflections
    assert all("/m0" in cited for cited in decision.cited_memories)
    assert len(decision.cited_memories) == 2


@settings(max_examples=40, deadline=None)
@given(st.recursive(
    st.integers(0, 10_000).map(str) | st.floats(0.001, 1e6, allow_nan=False).map(lambda x: f"{x:.4f}"),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=5,
))  # fmt: skip
def test_the_calculator_agrees_with_python(expression):
    try:
        expected = eval(expression, {})
    except ZeroDivisionError:
        with pytest.raises(BadArgumentsError):
            calculate(expression)
        return
    if len(expression) > 200:
        return
    shown = float(calculate(expression).rpartition("=")[2])
    assert shown == pytest.approx(expected, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize(
    "expression",
    ["", "x + 1", "__import__('os')", "(1).__class__", "[1]", "1 if 2 else 3", "9**9**9", "1/0", "True",
     "1" * 201, "log(-1)", "max()", "sqrt(1, 2)", "'a' * 9", "1 +", "min(x=1)", "lambda: 1"],
)  # fmt: skip
def test_the_calculator_refuses_everything_else(expression):
    with pytest.raises(BadArgumentsError):
        calculate(expression)


def test_calculator_functions():
    assert calculate("round(100000 / 123.4, 0)").endswith("= 810")
    assert calculate("floor(max(1, 2.7)) + abs(-1) + sqrt(9)").endswith("= 6")
    call = tools(observe(market(closes=WAVES), 30)).call("calculate", {"expression": 7})
    assert "must be text" in call.error
    json.dumps(dict(call.arguments))
