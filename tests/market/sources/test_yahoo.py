from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from varve.errors import DataError, NoDataError, SettingError
from varve.market.calendars import get_calendar
from varve.market.market_data import MarketData
from varve.market.sources.yahoo import (
    YahooHistory,
    YfinanceClient,
    later_splits,
    pull_yahoo,
)
from varve.testing.yahoo import FakeYahooClient
from varve.types import CorporateEvent

NOW = datetime(2024, 3, 1, 15, tzinfo=UTC)
TSLA_SPLITS = {date(2020, 8, 31): 5.0, date(2022, 8, 25): 3.0}
AAPL_SPLITS = {date(2014, 6, 9): 7.0, date(2020, 8, 31): 4.0}


def row(close: float, volume: float = 3e6, **others: float) -> dict[str, float]:
    return {
        "open": close,
        "high": close * 1.02,
        "low": close * 0.98,
        "close": close,
        "volume": volume,
        **others,
    }


def history(rows: Mapping[date, Mapping[str, float]], **fields: Any) -> YahooHistory:
    return YahooHistory(rows, **fields)


def pull(found: YahooHistory | None, ticker: str = "TSLA", **options: Any) -> Any:
    client = FakeYahooClient({} if found is None else {ticker: found}, articles=options.pop("articles", ()))
    return pull_yahoo(ticker, client=client, clock=lambda: NOW, **{"start": date(2020, 8, 27), **options})


def test_tesla_before_both_splits_is_rebuilt_as_it_traded() -> None:
    """TSLA closed at 2,213.40 on 2020-08-28; Yahoo quotes it over 15 after 5:1 and 3:1."""
    rows = {
        date(2020, 8, 27): row(2238.75 / 15, 15 * 2e6),
        date(2020, 8, 28): row(2213.40 / 15, 15 * 2e7),
        date(2020, 8, 31): row(498.32 / 3, 3 * 1e8),
        date(2022, 8, 24): row(891.29 / 3, 3 * 1e7),
        date(2022, 8, 25): row(296.07, 5e7),
    }
    data = pull(history(rows, splits=TSLA_SPLITS))
    assert data.bars.close == pytest.approx([2238.75, 2213.40, 498.32, 891.29, 296.07], rel=1e-12)
    assert data.bars.volume == pytest.approx([2e6, 2e7, 1e8, 1e7, 5e7], rel=1e-12)
    assert data.bars.high == pytest.approx(data.bars.close * 1.02)
    assert data.events == (
        CorporateEvent("TSLA", "split", date(2020, 8, 31), 5.0),
        CorporateEvent("TSLA", "split", date(2022, 8, 25), 3.0),
    )
    assert (data.provenance.adjustment, data.provenance.fill_rule) == ("raw", "next_open")
    assert data.provenance.pulled_at == "2024-03-01T15:00:00Z"


def test_apple_quote_times_the_split_is_the_close_of_the_day() -> None:
    """AAPL closed at 499.23 on 2020-08-28, the last day before 4:1; Yahoo quotes 124.8075."""
    rows = {date(2020, 8, 28): row(124.8075), date(2020, 8, 31): row(129.04)}
    data = pull(history(rows, splits=AAPL_SPLITS), "AAPL")
    assert data.bars.close == pytest.approx([499.23, 129.04], rel=1e-12)


def test_splits_after_the_end_still_count_and_are_no_event() -> None:
    rows = {date(2020, 8, 27): row(149.25), date(2020, 8, 28): row(147.56), date(2022, 8, 25): row(296.07)}
    data = pull(history(rows, splits=TSLA_SPLITS), end=date(2020, 8, 28))
    assert data.bars.close == pytest.approx([149.25 * 15, 147.56 * 15])
    assert data.events == ()


def test_the_client_is_never_given_an_end_since_later_splits_would_be_missing() -> None:
    client = FakeYahooClient({"TSLA": history({date(2020, 8, 28): row(147.56)}, splits=TSLA_SPLITS)})
    pull_yahoo("TSLA", start=date(2020, 8, 27), end=date(2020, 8, 28), client=client, clock=lambda: NOW)
    assert client.calls == [("history", "TSLA", "2020-08-27"), ("news", "TSLA")]


def test_views_of_pulled_prices_are_continuous_over_the_split() -> None:
    rows = {
        date(2020, 8, 27): row(125.01),
        date(2020, 8, 28): row(124.8075),
        date(2020, 8, 31): row(129.04),
    }
    data = pull(history(rows, splits=AAPL_SPLITS), "AAPL")
    venue, market = get_calendar("XNYS"), MarketData({"AAPL": data})
    friday, monday = (market.as_of(venue.close_at(day)).closes("AAPL") for day in list(rows)[1:])
    assert friday == pytest.approx([500.04, 499.23])
    assert monday == pytest.approx([125.01, 124.8075, 129.04])


def test_dividends_are_rebuilt_too() -> None:
    """AAPL paid 0.82 on 2020-08-07; Yahoo quotes 0.205. After the split it paid 0.205 on 2020-11-06."""
    days = {date(2020, 8, 6): row(113.9), date(2020, 8, 7): row(111.1), date(2020, 11, 6): row(118.69)}
    found = history(days, splits=AAPL_SPLITS, dividends={date(2020, 8, 7): 0.205, date(2020, 11, 6): 0.205})
    data = pull(found, "AAPL", start=date(2020, 8, 6))
    dividends = [(e.session, e.value) for e in data.events if e.kind == "dividend"]
    assert dividends == [(date(2020, 8, 7), pytest.approx(0.82)), (date(2020, 11, 6), 0.205)]


def test_later_splits_counts_ex_dates_after_the_day_only() -> None:
    assert [later_splits(TSLA_SPLITS, date(2020, 8, day)) for day in (28, 30, 31)] == [15, 15, 3]
    assert later_splits(TSLA_SPLITS, date(2022, 8, 25)) == 1


def test_a_session_that_is_still_open_is_left_out() -> None:
    rows = {date(2024, 2, 29): row(201.88), date(2024, 3, 1): row(202.0)}
    assert len(pull(history(rows), start=date(2024, 2, 1)).bars) == 1


def test_a_coin_trades_every_day_and_fills_at_the_close() -> None:
    rows = {date(2024, 2, day): row(2500.0 + day) for day in (24, 25, 26)}
    data = pull(history(rows, timezone="UTC"), "ETH-USD", start=date(2024, 2, 24))
    assert (data.instrument.calendar, data.instrument.lot_size) == ("24/7", 1e-4)
    assert data.provenance.fill_rule == "next_close"
    assert len(data.bars) == 3


def test_rows_that_cannot_be_used_are_left_out_and_noted() -> None:
    nan = float("nan")
    rows = {
        date(2024, 2, 15): row(200.0),
        date(2024, 2, 16): row(nan),
        date(2024, 2, 17): row(200.0),
        date(2024, 2, 20): row(200.0, open=nan),
        date(2024, 2, 21): row(200.0, high=190.0),
        date(2024, 2, 22): row(200.0),
    }
    data = pull(history(rows), start=date(2024, 2, 15))
    assert [data.bars.session(i).day for i in range(3)] == [15, 21, 22]
    assert np.isnan(data.bars.high).tolist() == [False, True, False]
    assert "1 rows left out on days that are no session of XNYS" in data.provenance.note
    assert "2 rows left out without open or close" in data.provenance.note
    assert "high and low left out on 1 days" in data.provenance.note
    with pytest.raises(DataError, match=r"quotes low 0\.0 for 'TSLA' on 2024-02-15"):
        pull(history({date(2024, 2, 15): row(200.0, low=0.0)}), start=date(2024, 2, 15))


NEW_STYLE = {
    "id": "b1",
    "content": {"title": "Tesla cuts prices", "summary": "In China.", "pubDate": "2024-02-28T12:30:00Z"},
}
OLD_STYLE = {"uuid": "a1", "title": "Tesla recalls cars", "providerPublishTime": 1709020800}


def test_news_is_available_when_it_was_published() -> None:
    undated = {"id": "c", "content": {"title": "when?"}}
    coming = {"id": "d", "content": {"title": "tomorrow", "pubDate": "2024-03-02T00:00:00Z"}}
    older = {"id": "e", "content": {"title": "long ago", "pubDate": "2019-03-02T00:00:00Z"}}
    rows = {date(2024, 2, 27): row(200.0), date(2024, 2, 28): row(201.0)}
    articles = (NEW_STYLE, OLD_STYLE, undated, coming, older, NEW_STYLE)
    data = pull(history(rows), start=date(2024, 2, 27), articles=articles)
    assert [(d.id, d.text) for d in data.documents] == [
        ("TSLA-2024-02-27-news-a1", "Tesla recalls cars"),
        ("TSLA-2024-02-28-news-b1", "Tesla cuts prices. In China."),
    ]
    assert data.documents[1].available_at == datetime(2024, 2, 28, 12, 30, tzinfo=UTC)
    assert data.documents[1].event_time == data.documents[1].available_at
    ended = pull(history(rows), start=date(2024, 2, 27), end=date(2024, 2, 27), articles=articles)
    assert [d.id for d in ended.documents] == ["TSLA-2024-02-27-news-a1"]


def test_prices_stand_without_news() -> None:
    found = history({date(2024, 2, 27): row(200.0)})
    client = FakeYahooClient({"TSLA": found}, news_error=DataError("news is down"))
    data = pull_yahoo("TSLA", start=date(2024, 2, 27), client=client, clock=lambda: NOW)
    assert len(data.bars) == 1
    assert "no news: news is down" in data.provenance.note


@pytest.mark.parametrize("found", [None, YahooHistory({}), YahooHistory({date(2024, 2, 24): row(1.0)})])
def test_nothing_is_an_error_that_names_ticker_dates_and_likely_causes(found: YahooHistory | None) -> None:
    with pytest.raises(NoDataError, match="'TSLA' from 2024-02-20 to now") as caught:
        pull(found, start=date(2024, 2, 20))
    for cause in ("no ticker of that name", "no trading in those dates", "no network"):
        assert cause in caught.value.message
    assert caught.value.mend


def test_a_venue_without_a_calendar_is_refused() -> None:
    found = history({date(2024, 2, 27): row(70.0)}, timezone="Europe/London", currency="GBp")
    with pytest.raises(DataError, match=r"'VOD\.L' trades in Europe/London"):
        pull(found, "VOD.L", start=date(2024, 2, 27))


def test_bad_settings_ask_nobody() -> None:
    client = FakeYahooClient()
    with pytest.raises(SettingError, match="start 2024-02-02 is after end 2024-02-01"):
        pull_yahoo("TSLA", start=date(2024, 2, 2), end=date(2024, 2, 1), client=client)
    with pytest.raises(SettingError, match="is after end 2024-03-01"):
        pull_yahoo("TSLA", start=date(2030, 1, 1), client=client, clock=lambda: NOW)
    with pytest.raises(SettingError, match="cannot be used"):
        pull_yahoo("../x", start=date(2024, 2, 2), client=client)
    assert client.calls == []


def frame() -> pd.DataFrame:
    """The shape of ``yfinance.Ticker("AAPL").history(auto_adjust=False)``."""
    index = pd.DatetimeIndex(["2020-08-28", "2020-08-31", "2020-11-06"], tz="America/New_York", name="Date")
    return pd.DataFrame(
        {
            "Open": [126.0125, 127.58, 118.32],
            "High": [126.4425, 131.0, 119.2],
            "Low": [124.5775, 126.0, 116.13],
            "Close": [124.8075, 129.04, 118.69],
            "Adj Close": [122.2, 126.3, 116.4],
            "Volume": [187630000, 225702700, 114457900],
            "Dividends": [0.0, 0.0, 0.205],
            "Stock Splits": [0.0, 4.0, 0.0],
        },
        index=index,
    )


class Handle:
    """What stands in for ``yfinance.Ticker``."""

    answer: Any = None
    history_metadata: Mapping[str, str] = {
        "currency": "USD",
        "exchangeTimezoneName": "America/New_York",
    }

    def __init__(self, ticker: str) -> None:
        self.ticker = ticker

    def history(self, **options: Any) -> Any:
        assert options["auto_adjust"] is False
        assert options["start"] == "2020-08-28"
        assert "end" not in options
        return self._say()

    def get_news(self, count: int) -> Any:
        return self._say()

    def _say(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Any:
    import yfinance

    def answer(value: Any) -> YfinanceClient:
        monkeypatch.setattr(Handle, "answer", value)
        monkeypatch.setattr(yfinance, "Ticker", Handle)
        return YfinanceClient()

    return answer


def test_the_real_client_reads_yfinances_frame(say: Any) -> None:
    found = say(frame()).history("AAPL", date(2020, 8, 28))
    assert found.rows[date(2020, 8, 28)] == {
        "open": 126.0125,
        "high": 126.4425,
        "low": 124.5775,
        "close": 124.8075,
        "volume": 187630000.0,
    }
    assert found.splits == {date(2020, 8, 31): 4.0}
    assert found.dividends == {date(2020, 11, 6): 0.205}
    assert (found.currency, found.timezone) == ("USD", "America/New_York")
    data = pull(found, "AAPL", start=date(2020, 8, 28))
    assert data.bars.close == pytest.approx([499.23, 129.04, 118.69])


@pytest.mark.parametrize(
    ("dividend", "gain", "close", "paid"),
    [
        (0.0, 3.0, 115.69, 3.0),  # a gain alone
        (0.5, 3.0, 118.69, 3.5),  # the dividend is less than the gain and cannot hold it
        (3.5, 3.0, 125.54, 3.5),  # the close fell by the dividend, which holds the gain
        (3.5, 3.0, 122.54, 6.5),  # the close fell by both
    ],
)
def test_capital_gains_are_paid_once(
    say: Any, dividend: float, gain: float, close: float, paid: float
) -> None:
    given = frame().assign(Dividends=[0.0, 0.0, dividend], **{"Capital Gains": [0.0, 0.0, gain]})
    given.loc[given.index[2], "Close"] = close
    found = say(given).history("AAPL", date(2020, 8, 28))
    assert found.dividends == pytest.approx({date(2020, 11, 6): paid})


def test_the_last_day_once_more_without_a_value_replaces_nothing(say: Any) -> None:
    whole = say(frame()).history("AAPL", date(2020, 8, 28))
    last = frame().iloc[[-1]] * float("nan")
    last.index = last.index + pd.Timedelta(hours=16)
    found = say(pd.concat([frame(), last])).history("AAPL", date(2020, 8, 28))
    assert found == whole
    # A row with values, which a later row of that day is, counts.
    again = frame().iloc[[-1]].assign(Close=119.0)
    assert (
        say(pd.concat([frame(), again])).history("AAPL", date(2020, 8, 28)).rows[date(2020, 11, 6)]["close"]
        == 119.0
    )


def test_an_empty_frame_is_no_history(say: Any) -> None:
    assert say(frame().iloc[:0]).history("XYZ", date(2020, 8, 28)) is None
    with pytest.raises(NoDataError, match="likely causes"):
        pull_yahoo("XYZ", start=date(2020, 8, 28), client=say(frame().iloc[:0]), clock=lambda: NOW)


def test_failures_of_the_network_are_clear_errors(say: Any) -> None:
    from curl_cffi.requests.exceptions import DNSError
    from yfinance.exceptions import YFDataException, YFPricesMissingError, YFRateLimitError

    cases: list[tuple[Exception, str]] = [
        (
            DNSError("Failed to perform, curl: (6) Could not resolve host. See https://x"),
            "could not be asked for",
        ),
        (ConnectionResetError("reset by peer"), "could not be asked for 'T': reset by peer"),
        (TimeoutError("timed out"), "timed out"),
        (YFDataException("down"), "could not be asked for 'T': down"),
        (YFRateLimitError(), "refuses more questions"),
        (KeyError("chart"), "answer for 'T' could not be read: KeyError"),
        (ValueError("Expecting value: line 1"), "could not be read: ValueError"),
    ]
    for error, message in cases:
        client = say(error)
        for ask in (lambda c=client: c.history("T", date(2020, 8, 28)), lambda c=client: c.news("T")):
            with pytest.raises(DataError, match=message) as caught:
                ask()
            assert caught.value.mend
            assert "See https" not in caught.value.message
    assert say(YFPricesMissingError("T", "")).history("T", date(2020, 8, 28)) is None


def test_without_a_network_a_pull_fails_clearly(tmp_path: Path) -> None:
    import yfinance

    yfinance.set_tz_cache_location(str(tmp_path))
    with pytest.raises(DataError, match="'TSLA'") as caught:
        pull_yahoo("TSLA", start=date(2024, 1, 2), client=YfinanceClient(timeout_s=3))
    assert caught.value.exit_code == 3
    assert caught.value.mend
