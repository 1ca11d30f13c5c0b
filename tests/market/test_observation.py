"""The text of an observation, line by line, and how much of prices and headlines it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from tests.market.conftest import news_at
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.types import Portfolio

SESSION = date(2020, 8, 21)


def observed(make_data: Callable[..., InstrumentData], headline: str = "x") -> Observation:
    venue = get_calendar("XNYS")
    late = news_at("ACME", venue.open_at(SESSION).replace(hour=11, minute=30), headline)
    data = replace(make_data(), documents=(late,))
    at = venue.decision_at(SESSION)
    account = Portfolio("USD", 900.5, 1_900.25, {"ACME": 12.0})
    return Observation(3, data.instrument, SESSION, at, None, MarketData({"ACME": data}).as_of(at), account)


def test_the_text_of_an_observation_is_exact(make_data: Callable[..., InstrumentData]) -> None:
    seen = observed(make_data, "profits rose")
    closes = seen.view.closes("ACME")
    assert len(closes) == 15
    assert seen.text().splitlines() == [
        f"ACME after 2020-08-21, decision at {seen.decision_at:%Y-%m-%dT%H:%M:%SZ}",
        "closes (USD, oldest first): " + ", ".join(f"{value:.2f}" for value in closes[-10:]),
        "position: 12; cash: 900.50; equity: 1900.25",
        "news: profits rose",
    ]
    assert seen.text(closes=2).splitlines()[1] == (
        f"closes (USD, oldest first): {closes[-2]:.2f}, {closes[-1]:.2f}"
    )


def test_a_headline_is_shown_up_to_300_characters_unless_told(
    make_data: Callable[..., InstrumentData],
) -> None:
    seen = observed(make_data, "ab" * 200)
    assert seen.text().splitlines()[-1] == "news: " + "ab" * 150
    assert seen.text(headline_chars=5).splitlines()[-1] == "news: ababa"
