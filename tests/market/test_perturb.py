"""Another future keeps what was known to the bit, and nothing of what was not."""

from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.worlds_of_bars import market
from varve.backtests.record.inputs import read_inputs, write_inputs
from varve.clock import to_ns
from varve.errors import BadFileError, DataError, StorageError
from varve.market.calendars import get_calendar
from varve.market.data import BarSeries, InstrumentData, Provenance
from varve.market.market_data import MarketData
from varve.market.parquet import write_tables
from varve.market.perturb import FUTURES, scramble_after
from varve.market.store import Store
from varve.market.worlds import sample_world
from varve.types import CorporateEvent, Document, Instrument

FEWER, MORE, OTHERS = range(FUTURES)


@cache
def world(ticker):
    return sample_world(ticker, end=date(2020, 12, 31))


def weekly():
    days = get_calendar("XNYS").sessions(date(2021, 1, 4), date(2021, 12, 31))[::5]
    return InstrumentData(
        Instrument("W"), BarSeries.from_sessions("XNYS", days, np.linspace(50, 90, len(days))),
        Provenance("test", "raw", "next_close", pulled_at="2022-01-01T00:00:00Z", note="2 splits undone"),
    )  # fmt: skip


def decided(data, index):
    return get_calendar(data.instrument.calendar).decision_at(data.bars.session(index))


def seen(data, instant):
    """All that a view shows, and what lies behind it, as far as it was available."""
    symbol, view = data.instrument.symbol, MarketData({data.instrument.symbol: data}).as_of(instant)
    known = view.bar_count(symbol)
    bars = [getattr(data.bars.slice(0, known), name).tobytes() for name in BarSeries.__dataclass_fields__]
    kinds = ("news", "10-Q", "10-K", "guidance")
    begun = {data.bars.session(i) for i in range(known)}
    events = [e for e in data.events if e.session in begun]
    return bars, view.closes(symbol).tobytes(), view.documents(symbol, kinds=kinds), events


@settings(max_examples=60, deadline=None)
@given(
    ticker=st.sampled_from(["TSLA", "ETH-USD"]), place=st.floats(0, 1), seed=st.integers(0, 20),
    hours=st.integers(-30, 30),
)  # fmt: skip
def test_what_was_available_stays_to_the_bit_at_any_instant(ticker, place, seed, hours):
    data = world(ticker)
    instant = decided(data, int(place * (len(data.bars) - 1))) + timedelta(hours=hours)
    other = scramble_after(data, instant, seed=seed)
    assert seen(other, instant) == seen(data, instant)
    ended = int((data.bars.end_ns <= to_ns(instant)).sum())
    assert int((other.bars.end_ns <= to_ns(instant)).sum()) == ended
    assert len(other.bars) > ended or len(data.bars) == ended
    true, made = ({*d.documents} for d in (data, other))
    assert all(d.available_at <= instant for d in true & made)
    for one in (other.bars.slice(ended, len(other.bars)),):
        assert not {*one.close} & {*data.bars.close}
        assert (np.fmax(one.open, one.close) <= one.high).all()
        assert (np.fmin(one.open, one.close) >= one.low).all()
    assert scramble_after(data, instant, seed=seed).content_hash == other.content_hash


@pytest.mark.parametrize("ticker", ["TSLA", "ETH-USD"])
@pytest.mark.parametrize("index", [0, 40, 120, -30, -2])
def test_every_kind_of_fact_turns_at_every_instant(ticker, index):
    data = world(ticker)
    index %= len(data.bars)
    instant = decided(data, index)
    made = [scramble_after(data, instant, seed=seed) for seed in range(FUTURES)]
    left = [len(one.bars) - index - 1 for one in made]
    true = len(data.bars) - index - 1
    assert left[FEWER] == 2
    assert left[MORE] >= true + 10
    assert left[OTHERS] == true
    following = [data.bars.session(index + 1), *(one.bars.session(index + 1) for one in made)]
    assert following[0] == following[1 + MORE] == following[1 + OTHERS] < following[1 + FEWER]
    ends = [one.bars.session(len(one.bars) - 1) for one in (data, *made)]
    assert ends[1 + MORE] > ends[0]
    sessions = get_calendar(data.instrument.calendar).sessions(data.bars.session(index + 1), ends[1 + MORE])
    assert len(sessions) > left[MORE]

    def first(one, name):
        return getattr(one.bars, name)[index + 1] / getattr(data.bars, name)[index]

    for name in ("open", "high", "low", "close", "volume"):
        assert first(made[FEWER], name) < 1 < first(made[MORE], name)

    def later(one):
        return [d for d in one.documents if d.available_at > instant]

    day_after = instant + timedelta(days=1)
    soon = [sum(d.available_at < day_after for d in later(one)) for one in (data, *made)]
    assert (len(later(made[FEWER])), len(later(made[OTHERS]))) == (0, len(later(data)))
    assert soon[1 + MORE] > soon[0]
    assert {d.kind for d in later(made[MORE])} == {"news", "10-Q", "10-K", "guidance"}
    assert later(made[MORE])[0].available_at < instant + timedelta(minutes=2)
    assert [d.kind for d in later(data)] != [d.kind for d in later(made[OTHERS])] or not later(data)
    assert not {d.available_at for d in later(data)} & {d.available_at for d in later(made[OTHERS])}

    def events(one):
        return {(e.session, e.kind) for e in one.events if e.session > data.bars.session(index)}

    next_bar = data.bars.session(index + 1)
    assert events(made[FEWER]) == set()
    assert {(next_bar, "split"), (next_bar, "dividend")} <= events(made[MORE])
    assert not events(data) & events(made[OTHERS])


def test_a_split_ahead_is_dropped_and_moved_and_one_that_has_begun_stays():
    data = market([40, 40, 10, 10, 10, 10], [40, 40, 10, 10, 10, 10], events=[("split", 2, 4.0)])["X"]
    before, after = decided(data, 1), decided(data, 2)
    assert scramble_after(data, before).events == ()
    (moved,) = scramble_after(data, before, seed=OTHERS).events
    assert (moved.kind, moved.session > data.bars.session(2)) == ("dividend", True)
    for seed in range(FUTURES):
        assert data.events[0] in scramble_after(data, after, seed=seed).events
    # An event between bars takes effect with the next one, so before that it is not known.
    gappy = market([10] * 4, [10] * 4, skip=(2,))["X"]
    between = CorporateEvent("X", "split", get_calendar("XNYS").next_session(gappy.bars.session(1)), 2.0)
    assert scramble_after(replace(gappy, events=(between,)), decided(gappy, 1)).events == ()


def test_at_a_venue_that_never_closes_the_coming_split_is_not_known():
    data = market(None, [10] * 6, calendar="24/7", fill_rule="next_close", events=[("split", 3, 2.0)])["X"]
    assert scramble_after(data, decided(data, 2)).events == ()
    assert len(scramble_after(data, decided(data, 3)).events) == 1


def test_columns_that_the_source_lacks_stay_away_and_hindsight_goes():
    data = weekly()
    for seed in range(FUTURES):
        other = scramble_after(data, decided(data, 20), seed=seed)
        assert np.isnan(other.bars.open).all()
        assert np.isnan(other.bars.volume).all()
        assert (other.provenance.pulled_at, other.provenance.note) == (None, "")


def test_data_without_documents_and_events_gets_some():
    data = weekly()
    other = scramble_after(data, decided(data, 20), seed=MORE)
    assert {e.kind for e in other.events} == {"split", "dividend"}
    assert len(other.documents) == 12


@pytest.mark.parametrize("seed", range(FUTURES))
def test_before_the_first_bar_and_after_the_last_there_is_a_future_too(seed):
    data = world("TSLA")
    early = scramble_after(data, decided(data, 0) - timedelta(days=30), seed=seed)
    assert not {*early.bars.close} & {*data.bars.close}
    late = scramble_after(data, decided(data, len(data.bars) - 1), seed=seed)
    assert (late.bars.close[: len(data.bars)] == data.bars.close).all()


def test_each_instant_draws_a_future_of_its_own():
    """A cheat that one draw happens to agree with is not spared at all instants."""
    data = world("ETH-USD")
    apart = set()
    for i in range(50, 80):
        following = scramble_after(data, decided(data, i)).bars.session(i + 1)
        apart.add((following - data.bars.session(i)).days)
    assert apart == {2, 3, 4}


def document(happened, readable):
    return Document("d1", "X", "news", "text", happened, readable)


def test_a_document_that_could_be_read_before_it_happened_is_refused_by_its_name():
    data = market([10] * 4, [10] * 4)["X"]
    at = decided(data, 1)
    assert len(replace(data, documents=(document(at, at),)).documents) == 1
    with pytest.raises(DataError, match="'d1' of 'X' could be read 2023-01-05T14:00:00Z, before it happened"):
        replace(data, documents=(document(at + timedelta(microseconds=1), at),))
    ends = data.bars.end_ns.copy()
    ends[2] = data.bars.start_ns[2]
    with pytest.raises(DataError, match="bar 2 of 'X', 2023-01-05, ends 2023-01-05T14:30:00Z, not after"):
        replace(data, bars=replace(data.bars, end_ns=ends))


def test_it_is_refused_from_the_store_and_from_a_run_folder_too(tmp_path):
    data = market([10] * 4, [10] * 4)["X"]
    at = decided(data, 1)
    honest = replace(data, documents=(document(at, at),))
    wrong = SimpleNamespace(**vars(honest))
    wrong.documents = (document(at + timedelta(days=1), at),)
    Store(tmp_path).write(honest)
    write_tables(tmp_path / "X", wrong)
    with pytest.raises(
        StorageError, match="stored data of 'X' cannot be used: document 'd1' of 'X' could be"
    ):
        Store(tmp_path).read("X")
    write_inputs(tmp_path / "inputs.parquet", wrong)
    with pytest.raises(
        BadFileError, match=r"inputs\.parquet cannot be used: document 'd1' of 'X' could be read"
    ):
        read_inputs(tmp_path / "inputs.parquet")
