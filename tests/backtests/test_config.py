"""Settings are refused with one clear message, and windows mean what they say."""

from datetime import date

import numpy as np
import pytest

from varve import registry
from varve.backtests import config as settings
from varve.backtests.config import RunConfig
from varve.backtests.simulate.window import resolve_window
from varve.errors import NoDataError, SettingError
from varve.market import BarSeries, get_calendar
from varve.strategies import Trader
from varve.types import Action

DEFAULT_LLM_OF = settings.default_llm_of
SESSIONS = get_calendar("XNYS").sessions(date(2023, 1, 3), date(2023, 12, 29))
BARS = BarSeries.from_sessions("XNYS", SESSIONS, np.linspace(100.0, 120.0, len(SESSIONS)))


def window(**given):
    return resolve_window(RunConfig.build(ticker="TSLA", **given), BARS, warm_up=True)


def test_window_without_dates_tests_the_last_quarter_and_warms_up_before():
    found = window()
    assert found.last == 249
    assert found.first == 250 - 63
    assert found.warmup_first == 250 - 63 - 42
    assert window(tune=True).warmup_first == 250 - 63 - 126


@pytest.mark.parametrize(
    ("agent", "given", "kept"),
    [
        ("finmem", {}, "nano"),
        ("finmem", {"llm": "auto"}, "nano"),
        ("finmem", {"llm": "scripted"}, "scripted"),
        ("finagent", {}, "nano"),
        ("sma-cross", {}, "scripted"),
        ("finmen", {}, "scripted"),
    ],
)
def test_the_model_is_the_one_that_the_agents_class_names(monkeypatch, agent, given, kept):
    monkeypatch.setattr(settings, "default_llm_of", DEFAULT_LLM_OF)
    assert RunConfig.build(ticker="TSLA", agent=agent, **given).llm == kept


class Foreign(Trader):
    """An agent of another package: it asks a model, and names none."""

    name = "foreign"
    needs_model = True

    def decide(self, observation):
        return self._single(Action.HOLD)


class ForeignWithModel(Foreign):
    default_llm = "nano"


def test_auto_asks_for_a_model_where_an_agent_names_none(monkeypatch):
    monkeypatch.setattr(settings, "default_llm_of", DEFAULT_LLM_OF)
    made = {"foreign": Foreign, "foreign-nano": ForeignWithModel}
    monkeypatch.setattr(registry, "names", lambda group: list(made) if group == "agents" else [])
    monkeypatch.setattr(registry, "load", lambda group, name: made[name])
    with pytest.raises(SettingError, match="foreign asks a language model and names none") as caught:
        RunConfig.build(ticker="TSLA", agent="foreign")
    assert "--llm" in str(caught.value)
    assert RunConfig.build(ticker="TSLA", agent="foreign", llm="scripted").llm == "scripted"
    assert RunConfig.build(ticker="TSLA", agent="foreign-nano").llm == "nano"


def test_window_of_dates_includes_both_ends_and_skips_non_sessions():
    found = window(start=date(2023, 6, 3), end=date(2023, 6, 10), warmup_start=date(2023, 5, 1))
    assert BARS.session(found.first) == date(2023, 6, 5)
    assert BARS.session(found.last) == date(2023, 6, 9)
    assert BARS.session(found.warmup_first) == date(2023, 5, 1)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"start": date(2023, 6, 1), "end": date(2023, 5, 1)}, SettingError, ["2023-06-01", "after end"]),
        ({"start": date(2020, 6, 1)}, NoDataError, ["2020-06-01", "2023-01-03", "2023-12-29"]),
        ({"end": date(2024, 6, 1)}, NoDataError, ["2024-06-01", "outside"]),
        ({"start": date(2023, 6, 3), "end": date(2023, 6, 4)}, NoDataError, ["fewer than two sessions"]),
        ({"start": date(2023, 6, 1), "warmup_start": date(2023, 7, 1)}, SettingError, ["overlaps"]),
        ({"warmup_start": date(2023, 12, 1)}, SettingError, ["warmup_start 2023-12-01", "earlier"]),
    ],
)
def test_dates_that_cannot_be_used_are_named(settings, error, words):
    with pytest.raises(error) as caught:
        window(**settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tickr": "X"}, ["tickr", "did you mean 'ticker'"]),
        ({"initial_cash": -5}, ["initial_cash", "-5", "greater than 0"]),
        ({"initial_cash": float("nan")}, ["initial_cash"]),
        ({"data": "shop"}, ["data", "shop", "'auto', 'store' or 'sample'"]),
        ({"ticker": "  "}, ["ticker"]),
        ({"seed": -1}, ["seed"]),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings, words):
    with pytest.raises(SettingError) as caught:
        RunConfig.build(**{"ticker": "TSLA", **settings})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_identity_follows_every_setting_and_nothing_else():
    one = RunConfig.build(ticker="tsla", seed=1)
    assert one.identity() == RunConfig.build(seed=1, ticker="TSLA").identity()
    assert one.identity() != RunConfig.build(seed=2, ticker="TSLA").identity()
