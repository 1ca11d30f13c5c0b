from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.clock import from_ns, to_ns
from varve.errors import DataError, NoDataError
from varve.market.calendars import get_calendar
from varve.market.data import BarSeries, InstrumentData
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.market.view import MarketView
from varve.types import CorporateEvent, Document, Portfolio

MakeData = Callable[..., InstrumentData]
MICROSECOND = timedelta(microseconds=1)
SPLIT = date(2020, 8, 31)


def view(data: InstrumentData, instant: datetime) -> MarketView:
    return MarketData({data.instrument.symbol: data}).as_of(instant)


def everything(seen: MarketView) -> dict[str, Any]:
    """What each method of a view returns, as plain values; NaN as None so that equality means equality."""

    def plain(bars: BarSeries) -> list[list[float | None]]:
        names = ("sessions", "start_ns", "end_ns", "open", "high", "low", "close", "volume")
        columns = [np.asarray(getattr(bars, name)).astype("float64") for name in names]
        return [[None if np.isnan(value) else float(value) for value in column] for column in columns]

    found: dict[str, Any] = {"symbols": seen.symbols, "instant": seen.instant}
    for symbol in seen.symbols:
        documents = seen.documents(symbol)
        since = documents[len(documents) // 2].available_at if documents else seen.instant
        found[symbol] = {
            "instrument": seen.instrument(symbol),
            "provenance": seen.provenance(symbol),
            "bar_count": seen.bar_count(symbol),
            "last_bar": seen.last_bar(symbol),
            "last_close": seen.last_close(symbol),
            "bars": [plain(seen.bars(symbol, n)) for n in (None, 0, 1, 5)],
            "closes": [seen.closes(symbol, n).tolist() for n in (None, 0, 1, 5)],
            "documents": documents,
            "by_kind": seen.documents(symbol, kinds=["10-K"]),
            "since": seen.documents(symbol, since=since),
        }
    return found


def test_every_method_is_in_the_comparison(make_data: MakeData) -> None:
    data = make_data()
    public = {name for name in dir(MarketView) if not name.startswith("_")}
    compared = everything(view(data, datetime(2020, 9, 1, tzinfo=UTC)))
    inner = {"bars", "closes", "documents", "bar_count", "last_bar", "last_close", "instrument", "provenance"}
    assert inner <= set(compared["ACME"])
    assert public == inner | {"symbols", "instant"}


def test_a_bar_is_seen_from_its_end_on_and_not_a_microsecond_before(make_data: MakeData) -> None:
    data = make_data()
    end = from_ns(int(data.bars.end_ns[4]))
    assert view(data, end - MICROSECOND).bar_count("ACME") == 4
    assert view(data, end).bar_count("ACME") == 5
    bar = view(data, end).last_bar("ACME")
    assert bar is not None
    assert bar.end == bar.available_at == end
    assert bar.close == data.bars.close[4]


def test_a_bar_that_ends_a_nanosecond_later_is_not_seen(make_data: MakeData) -> None:
    data = make_data()
    end_ns = data.bars.end_ns.copy()
    end_ns[4] += 1
    later = replace(data, bars=replace(data.bars, end_ns=end_ns))
    end = from_ns(int(data.bars.end_ns[4]))
    assert view(later, end).bar_count("ACME") == 4
    assert view(later, end + MICROSECOND).bar_count("ACME") == 5


def test_half_day_bar_ends_at_one(make_data: MakeData) -> None:
    data = make_data(start=date(2020, 11, 23), end=date(2020, 12, 1))
    friday_at_one = datetime(2020, 11, 27, 18, tzinfo=UTC)
    assert view(data, friday_at_one - MICROSECOND).last_bar("ACME").session == date(2020, 11, 25)  # type: ignore[union-attr]
    assert view(data, friday_at_one).last_bar("ACME").session == date(2020, 11, 27)  # type: ignore[union-attr]


def test_document_boundary_and_since(make_data: MakeData) -> None:
    instant = datetime(2020, 9, 5, 3, 4, 5, 678901, tzinfo=UTC)  # a Saturday
    saturday = Document("sat", "ACME", "10-Q", "weekend filing", instant, instant)
    data = make_data(documents=(saturday,))
    assert saturday not in view(data, instant - MICROSECOND).documents("ACME")
    assert view(data, instant).documents("ACME")[-1] == saturday
    assert view(data, instant).documents("ACME", kinds=["10-Q"]) == (saturday,)
    later = view(data, instant + timedelta(days=10))
    assert saturday not in later.documents("ACME", since=instant)
    assert saturday in later.documents("ACME", since=instant - MICROSECOND)
    assert later.documents("ACME", since=later.instant + timedelta(days=30)) == ()


def test_weekend_and_overnight_news_count_at_mondays_decision_and_the_open_does_not(
    make_data: MakeData,
) -> None:
    monday_open = datetime(2020, 9, 14, 13, 30, tzinfo=UTC)
    moments = [monday_open - timedelta(minutes=30), monday_open - timedelta(minutes=30) + MICROSECOND]
    read, unread = (Document(f"m{i}", "ACME", "news", "monday", at, at) for i, at in enumerate(moments))
    data = make_data(documents=(read, unread))
    decision = get_calendar("XNYS").decision_at(date(2020, 9, 11))
    seen = view(data, decision)
    assert read in seen.documents("ACME")
    assert unread not in seen.documents("ACME")
    assert seen.last_bar("ACME").session == date(2020, 9, 11)  # type: ignore[union-attr]


def test_splits_adjust_history_only_once_their_bar_has_ended(make_data: MakeData) -> None:
    data = make_data(splits={SPLIT: 4.0})
    venue = get_calendar("XNYS")
    raw = data.bars
    before, after = (view(data, venue.close_at(day)) for day in (date(2020, 8, 28), SPLIT))
    n = before.bar_count("ACME")
    assert after.bar_count("ACME") == n + 1
    assert np.array_equal(before.closes("ACME"), raw.close[:n])
    assert view(data, venue.close_at(SPLIT) - MICROSECOND).closes("ACME").tolist() == raw.close[:n].tolist()
    adjusted = after.bars("ACME")
    assert adjusted.close.tolist() == [*(raw.close[:n] / 4.0), raw.close[n]]
    assert adjusted.open.tolist() == [*(raw.open[:n] / 4.0), raw.open[n]]
    assert adjusted.volume.tolist() == [*(raw.volume[:n] * 4.0), raw.volume[n]]
    assert after.last_bar("ACME").close == raw.close[n]  # type: ignore[union-attr]
    assert np.array_equal(after.closes("ACME"), adjusted.close)


def test_two_splits_multiply_and_dividends_leave_prices_alone(make_data: MakeData) -> None:
    data = make_data(splits={SPLIT: 5.0, date(2020, 10, 1): 0.5})
    dividend = CorporateEvent("ACME", "dividend", date(2020, 9, 15), 3.0)
    data = replace(data, events=(*data.events, dividend))
    seen = view(data, datetime(2021, 1, 1, tzinfo=UTC))
    sessions = data.bars.sessions
    expected = data.bars.close.copy()
    expected[sessions < np.datetime64(SPLIT)] /= 5.0 * 0.5
    middle = (sessions >= np.datetime64(SPLIT)) & (sessions < np.datetime64("2020-10-01"))
    expected[middle] /= 0.5
    assert seen.closes("ACME") == pytest.approx(expected, rel=1e-15)


def test_a_split_on_a_day_without_a_bar_counts_from_the_next_bar(make_data: MakeData) -> None:
    saturday = date(2020, 8, 29)
    data = make_data(splits={saturday: 4.0})
    venue = get_calendar("XNYS")
    friday = view(data, venue.decision_at(date(2020, 8, 28)))
    assert friday.closes("ACME", 1)[0] == data.bars.close[friday.bar_count("ACME") - 1]
    monday = view(data, venue.close_at(date(2020, 8, 31)))
    assert monday.closes("ACME", 2)[0] == friday.closes("ACME", 1)[0] / 4.0


def test_returned_arrays_lead_nowhere(make_data: MakeData) -> None:
    data = make_data()
    seen = view(data, from_ns(int(data.bars.end_ns[10])))
    for array in (seen.bars("ACME", 3).close, seen.closes("ACME", 3), seen.bars("ACME").sessions):
        assert array.base is None or len(array.base) <= 11
        assert not np.shares_memory(array, data.bars.close)
        assert not array.flags.writeable


def test_before_the_first_bar_there_is_nothing(make_data: MakeData) -> None:
    seen = view(make_data(), datetime(2000, 1, 1, tzinfo=UTC))
    assert seen.bar_count("ACME") == 0
    assert seen.last_bar("ACME") is None
    assert len(seen.bars("ACME", 5)) == len(seen.closes("ACME")) == 0
    assert seen.documents("ACME") == ()


def test_naive_instants_and_unknown_symbols_are_refused(make_data: MakeData) -> None:
    data = make_data()
    with pytest.raises(ValueError, match="no time zone"):
        view(data, datetime(2020, 9, 1))
    with pytest.raises(NoDataError, match="ACME"):
        view(data, datetime(2020, 9, 1, tzinfo=UTC)).bars("ACNE")


def test_views_do_not_tell_when_data_was_pulled_or_what_it_lacks(make_data: MakeData) -> None:
    data = make_data()
    data = replace(data, provenance=replace(data.provenance, note="3 sessions missing"))
    seen = view(data, datetime(2020, 9, 1, tzinfo=UTC)).provenance("ACME")
    assert (seen.pulled_at, seen.note) == (None, "")
    assert seen.adjustment == "raw"


def scrambled(data: InstrumentData, instant: datetime, seed: int) -> InstrumentData:
    """Another future: other prices, bars gone, other and more documents, other and more events."""
    rng = np.random.default_rng(seed)
    ns = to_ns(instant)
    bars = data.bars
    keep = (bars.end_ns <= ns) | (rng.random(len(bars)) < 0.6)
    later = bars.end_ns > ns
    columns = {}
    for name in ("open", "high", "low", "close", "volume"):
        values = getattr(bars, name).copy()
        values[later] = rng.uniform(1, 1000, int(later.sum()))
        columns[name] = values[keep]
    other = BarSeries(bars.sessions[keep], bars.start_ns[keep], bars.end_ns[keep], **columns)
    past = tuple(d for d in data.documents if d.available_at <= instant)
    made = tuple(
        Document(f"a{i}", "ACME", "10-K", "another future", instant, instant + timedelta(seconds=int(s)))
        for i, s in enumerate(rng.integers(1, 10**7, 40))
    )
    visible = int(np.searchsorted(bars.end_ns, ns, side="right"))
    newest = bars.session(visible - 1) if visible else date.min
    happened = tuple(e for e in data.events if e.session <= newest)
    after = max(newest, bars.session(0)) + timedelta(days=1)
    coming = CorporateEvent("ACME", "split", after, float(rng.integers(2, 9)))
    provenance = replace(data.provenance, pulled_at="2031-01-01T00:00:00Z", note="another")
    return replace(
        data, bars=other, documents=(*past, *made), events=(*happened, coming), provenance=provenance
    )


@settings(max_examples=60, deadline=None)
@given(minutes=st.integers(0, 110 * 24 * 60), seed=st.integers(0, 2**32 - 1))
def test_no_method_of_a_view_changes_when_the_future_does(
    make_data: MakeData, minutes: int, seed: int
) -> None:
    data = make_data(splits={SPLIT: 4.0, date(2020, 10, 1): 2.0})
    instant = datetime(2020, 8, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    here, there = everything(view(data, instant)), everything(view(scrambled(data, instant, seed), instant))
    assert here == there


@pytest.mark.parametrize("calendar", ["XNYS", "24/7"])
def test_no_observation_changes_when_the_future_does(make_data: MakeData, calendar: str) -> None:
    data = make_data(calendar=calendar, splits={SPLIT: 4.0})
    venue = get_calendar(calendar)
    sessions = [data.bars.session(i) for i in range(len(data.bars))]
    for step, session in enumerate(sessions[1:-1]):
        decision = venue.decision_at(session)
        texts = []
        for each in (data, scrambled(data, decision, step)):
            observation = Observation(
                step,
                each.instrument,
                session,
                decision,
                venue.decision_at(sessions[step]),
                view(each, decision),
                Portfolio("USD", 1000.0, 1000.0, {"ACME": 2.0}),
            )
            texts.append((observation.text(), observation.hash, observation.position))
        assert texts[0] == texts[1]
        assert texts[0][2] == 2.0


def test_new_documents_partition_all_documents(make_data: MakeData) -> None:
    """Over consecutive decisions each document is new exactly once, weekends included."""
    weekend = tuple(
        Document(f"w{i}", "ACME", "news", "w", at, at)
        for i, at in enumerate(datetime(2020, 9, 5, 1, tzinfo=UTC) + timedelta(hours=7 * i) for i in range(8))
    )
    data = make_data(documents=weekend)
    venue, seen, previous = get_calendar("XNYS"), [], None
    for i in range(len(data.bars)):
        session = data.bars.session(i)
        decision = venue.decision_at(session)
        portfolio = Portfolio("USD", 1.0, 1.0)
        observation = Observation(
            i, data.instrument, session, decision, previous, view(data, decision), portfolio
        )
        seen += observation.new_documents()
        previous = decision
    assert tuple(seen) == data.documents


def test_bars_out_of_order_are_refused_since_views_could_not_be_cut(make_data: MakeData) -> None:
    data = make_data()
    order = np.arange(len(data.bars))
    order[[3, 4]] = [4, 3]
    names = ("sessions", "start_ns", "end_ns", "open", "high", "low", "close", "volume")
    mixed = BarSeries(**{name: getattr(data.bars, name)[order] for name in names})
    with pytest.raises(DataError, match="not in order of time: see bar 4"):
        replace(data, bars=mixed)
    with pytest.raises(DataError, match="unequal length"):
        replace(data, bars=replace(data.bars, volume=np.ones(3)))
    with pytest.raises(DataError, match="close that is no number"):
        replace(data, bars=replace(data.bars, close=np.full(len(data.bars), np.nan)))
