"""``backtest list``: what is registered, and what can be set of it."""

import json

import pytest


@pytest.mark.parametrize(
    ("what", "name", "words"),
    [("sizers", "finmem_unit", "One lot more or less"), ("costs", "retail", "A small account")],
)
def test_sizers_and_costs_are_listed(backtest, what, name, words):
    code, out, _ = backtest("list", what)
    assert code == 0
    assert any(line.startswith(name) and words in line for line in out.splitlines())
    listed = json.loads(backtest("list", what, "--json")[1])
    assert name in [one["name"] for one in listed]


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ("finmem", ["risk_seeking, risk_averse or self_adaptive", "memory.short.tau_days"]),
        ("finagent", ["without", "memory.preset", "strategies"]),
        ("sma-cross", ["fast", "10", "whole number, ≥ 1", "Bars of the fast average"]),
        ("fraction", ["sizer.fraction", "0.25", "number, > 0, ≤ 1", "Share of equity"]),
        ("retail", ["costs.half_spread_bps", "2.5", "bid-ask spread"]),
        ("buy-and-hold", ["buy-and-hold has no settings"]),
    ],
)  # fmt: skip
def test_settings_are_listed_with_default_choices_and_meaning(backtest, monkeypatch, of, words):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = backtest("list", "settings", of)
    assert (code, err) == (0, "")
    assert all(word in out for word in words), out


def test_settings_are_listed_as_json(backtest):
    listed = {one["name"]: one for one in json.loads(backtest("list", "settings", "fraction", "--json")[1])}
    assert listed["sizer.fraction"] == {
        "name": "sizer.fraction", "default": 0.25, "needed": False, "allowed": "number, > 0, ≤ 1",
        "meaning": "Share of equity by which one BUY or SELL moves the position.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("settings",), ["settings of what", "finmem"]),
        (("settings", "finmen"), ["finmen", "did you mean 'finmem'"]),
        (("sizers", "fraction"), ["takes no name", "backtest list settings fraction"]),
        (("setting", "finmem"), ["setting", "did you mean 'settings'"]),
    ],
)
def test_a_wrong_list_gets_one_clear_message(backtest, arguments, words):
    code, out, err = backtest("list", *arguments)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err
