"""The pictures of a FinAgent's day: what is on them, that they are the same again, and know no future."""

import io
import json
import threading
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from varve.agents.finagent.charts import Held, held_at, kline_chart, kline_table, trading_chart, trading_table
from varve.clock import UTC
from varve.errors import NoDataError
from varve.market.calendars import get_calendar
from varve.market.data import BarSeries, InstrumentData, Provenance
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.market.perturb import scramble_after
from varve.market.worlds import sample_world
from varve.types import CorporateEvent, Instrument, Portfolio

GOLDEN = Path(__file__).parent.parent / "golden" / "finagent_charts.json"
SMALL = (32, 20)


def world(*, closes, candles=True, volume=True, events=(), symbol="AAA"):
    """Bars on 24/7 from 2023-01-01; an open is the close before."""
    closes = np.asarray(closes, dtype=float)
    opens = np.concatenate([closes[:1], closes[:-1]])
    ohl = (opens, np.maximum(opens, closes) * 1.01, np.minimum(opens, closes) * 0.99)
    days = [date(2023, 1, 1) + timedelta(days=i) for i in range(len(closes))]
    bars = BarSeries.from_sessions(
        "24/7", days, closes,
        open=ohl[0] if candles else None, high=ohl[1] if candles else None, low=ohl[2] if candles else None,
        volume=np.linspace(1e6, 2e6, len(closes)) if volume else None,
    )  # fmt: skip
    instrument = Instrument(symbol, "24/7", "USD", 1.0)
    return InstrumentData(instrument, bars, Provenance("test", "raw", "next_open"), (), tuple(events))


def at(data, index):
    """The view after bar ``index``."""
    instant = get_calendar(data.instrument.calendar).decision_at(data.bars.session(index))
    return MarketData({data.instrument.symbol: data}).as_of(instant)


def wave(count):
    steps = np.sin(np.arange(count) / 4.0)
    return 100.0 + 10.0 * steps + 0.1 * np.arange(count)


def notes(data, first, last, position=lambda i: 0.0, equity=lambda i: 1000.0):
    return [
        Held(data.bars.session(i), float(data.bars.close[i]), position(i), equity(i))
        for i in range(first, last + 1)
    ]


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def count_of(png, colour, *, near=12):
    """Pixels of about that colour."""
    return int((np.abs(pixels(png) - np.array(colour)).max(axis=2) <= near).sum())


UP, DOWN, TODAY = (0x15, 0x80, 0x3D), (0xB9, 0x1C, 0x1C), (0x6D, 0x28, 0xD9)


def cases():
    """The pictures that are pinned, by name."""
    data = world(closes=wave(90))
    own = notes(data, 40, 79, lambda i: 10.0 * (50 <= i < 65), lambda i: 1000.0 + 5.0 * i)
    bare = world(closes=wave(90), candles=False, volume=False)
    tsla = sample_world("TSLA", world="strong")
    return {
        "candles": kline_chart(at(data, 79), "AAA"),
        "closes alone": kline_chart(at(bare, 79), "AAA"),
        "three bars": kline_chart(at(data, 2), "AAA"),
        "sample world": kline_chart(at(tsla, 700), "TSLA"),
        "trades": trading_chart(at(data, 79), "AAA", own),
        "no trades yet": trading_chart(at(data, 79), "AAA", own[-1:]),
    }


def shrunk(png):
    """Grey means of 32 × 20 fields, 0 to 255: what stays when fonts and edges differ a little."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("L").resize(SMALL, Image.Resampling.BOX)).astype(
        int
    )


@pytest.fixture(scope="module")
def golden(request):
    if request.config.getoption("--update-golden"):
        lines = [f'"{name}": {json.dumps(shrunk(png).ravel().tolist())}' for name, png in cases().items()]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return json.loads(GOLDEN.read_text())


def alike(one, other):
    """Whether two shrunk pictures show the same: no field far off, and little on the whole."""
    gap = np.abs(np.asarray(one).ravel() - np.asarray(other).ravel())
    return gap.max() <= 24 and gap.mean() <= 0.6


def test_pictures_look_as_they_were_pinned(golden):
    drawn = cases()
    assert set(drawn) == set(golden)
    assert [name for name, png in drawn.items() if not alike(shrunk(png), golden[name])] == []


def test_the_goldens_tell_pictures_apart(golden):
    names = list(golden)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert not alike(golden[one], golden[other]), (one, other)


def test_size_is_fixed_and_small():
    for name, png in cases().items():
        assert Image.open(io.BytesIO(png)).size == (640, 400), name
        assert len(png) < 30_000, name
        assert b"tEXt" not in png, name


def test_equal_bytes_again_from_any_thread_and_under_any_style():
    import matplotlib as mpl

    data = world(closes=wave(90))
    own = notes(data, 40, 79)
    wanted = (kline_chart(at(data, 79), "AAA"), trading_chart(at(data, 79), "AAA", own))
    found = []

    def draw():
        found.append((kline_chart(at(data, 79), "AAA"), trading_chart(at(data, 79), "AAA", own)))

    threads = [threading.Thread(target=draw) for _ in range(3)]
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 20, "lines.linewidth": 5}):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert mpl.rcParams["axes.facecolor"] == "black"
    assert found == [wanted] * 3


def test_candles_bands_and_today_are_there():
    up = kline_chart(at(world(closes=np.linspace(100, 150, 60)), 59), "AAA")
    down = kline_chart(at(world(closes=np.linspace(150, 100, 60)), 59), "AAA")
    assert count_of(up, UP) > 500 > 20 > count_of(up, DOWN)
    assert count_of(down, DOWN) > 500 > 20 > count_of(down, UP)
    assert count_of(up, TODAY) > 50
    bare = kline_chart(at(world(closes=wave(60), candles=False, volume=False), 59), "AAA")
    assert count_of(bare, UP) + count_of(bare, DOWN) == 0
    assert count_of(bare, (0x37, 0x41, 0x51)) > 200


def test_one_missing_high_makes_the_whole_chart_a_line():
    data = world(closes=wave(60))
    high = data.bars.high.copy()
    high[40] = np.nan
    png = kline_chart(at(replace(data, bars=replace(data.bars, high=high)), 59), "AAA")
    assert count_of(png, (0x37, 0x41, 0x51)) > 200


@pytest.mark.parametrize("ticker", ["TSLA", "ETH-USD"])
def test_no_picture_and_no_table_knows_the_future(ticker):
    data = sample_world(ticker)
    index = 500
    instant = get_calendar(data.instrument.calendar).decision_at(data.bars.session(index))
    other = scramble_after(data, instant, seed=2)
    own = notes(data, index - 30, index, lambda i: 5.0 * (i % 7 > 3), lambda i: 1000.0 + i)

    def everything(world, until):
        view = at(world, until)
        mine = own + notes(world, index + 1, until)
        return (
            kline_chart(view, ticker), trading_chart(view, ticker, mine),
            kline_table(view, ticker), trading_table(view, ticker, mine),
        )  # fmt: skip

    assert everything(data, index) == everything(other, index)
    # The same comparison sees a difference as soon as there may be one.
    assert all(
        one != two for one, two in zip(everything(data, index + 3), everything(other, index + 3), strict=True)
    )


def test_a_split_is_no_trade_and_no_cliff():
    closes = np.full(60, 100.0)
    closes[40:] /= 4.0
    data = world(closes=closes, events=[CorporateEvent("AAA", "split", date(2023, 2, 10), 4.0)])
    assert data.bars.session(40) == date(2023, 2, 10)
    own = notes(data, 20, 59, lambda i: 0.0 if i < 30 else 10.0 if i < 40 else 40.0)
    rows = trading_table(at(data, 59), "AAA", own)
    cells = [row.split(" | ") for row in rows[1:]]
    assert [row[2] for row in cells if row[2] != "-"] == ["40"]
    assert all(row[3] == "-" for row in cells)
    assert {row[1] for row in cells} == {"25.00"}
    assert count_of(trading_chart(at(data, 59), "AAA", own), DOWN) < 80  # the legend's own marker alone


def test_tables_say_what_the_pictures_show():
    data = world(closes=wave(90))
    rows = kline_table(at(data, 79), "AAA")
    assert rows[0] == "session | open | high | low | close | ma5 | ma20 | band_low | band_high | volume"
    assert len(rows) == 21
    closes = data.bars.close
    last = rows[-1].split(" | ")
    assert last[0] == "2023-03-21 (today)"
    assert [float(x) for x in last[1:5]] == pytest.approx(
        [data.bars.open[79], data.bars.high[79], data.bars.low[79], closes[79]], abs=0.005
    )
    assert float(last[5]) == pytest.approx(closes[75:80].mean(), abs=0.005)
    mean, deviation = closes[60:80].mean(), closes[60:80].std(ddof=1)
    assert float(last[7]) == pytest.approx(mean - 2 * deviation, abs=0.005)
    assert float(last[8]) == pytest.approx(mean + 2 * deviation, abs=0.005)
    merged = rows[1].split(" | ")
    assert merged[0] == "2023-01-21 to 2023-01-25"
    assert float(merged[1]) == pytest.approx(data.bars.open[20], abs=0.005)
    assert float(merged[2]) == pytest.approx(data.bars.high[20:25].max(), abs=0.005)
    assert float(merged[3]) == pytest.approx(data.bars.low[20:25].min(), abs=0.005)


def test_tables_of_closes_alone_have_no_empty_columns():
    rows = kline_table(at(world(closes=wave(30), candles=False, volume=False), 24), "AAA")
    assert rows[0] == "session | close | ma5 | ma20 | band_low | band_high"
    assert rows[1].startswith("2023-01-01 to 2023-01-05 | ")
    assert rows[1].endswith("| - | - | -")


def test_trades_and_returns_in_the_table():
    data = world(closes=np.linspace(100, 119, 20))
    own = notes(data, 10, 19, lambda i: 3.0 * (i >= 15), lambda i: 1000.0 + 10.0 * (i - 10))
    rows = [row.split(" | ") for row in trading_table(at(data, 19), "AAA", own)]
    bought = [row for row in rows[1:] if row[2] != "-"]
    assert [(row[0], row[2], row[4]) for row in bought] == [("2023-01-16", "3", "3")]
    assert rows[-1][5:] == ["+9.0", f"{100 * (119 / 110 - 1):+.1f}"]
    assert rows[1][4:] == ["-", "-", "-"]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 130), st.integers(1, 80))
def test_rows_cover_every_session_shown_once(bars, shown):
    data = world(closes=wave(bars))
    rows = trading_table(at(data, bars - 1), "AAA", [], sessions=shown)
    days = []
    for row in rows[1:]:
        named = row.split(" | ")[0].removesuffix(" (today)").split(" to ")
        first, last = date.fromisoformat(named[0]), date.fromisoformat(named[-1])
        days += [first + timedelta(days=i) for i in range((last - first).days + 1)]
    assert days == [data.bars.session(i) for i in range(max(0, bars - shown), bars)]


def test_nothing_to_draw_is_said():
    data = world(closes=wave(5))
    view = MarketData({"AAA": data}).as_of(datetime(2022, 12, 1, tzinfo=UTC))
    with pytest.raises(NoDataError, match="no bar of AAA had ended"):
        kline_chart(view, "AAA")
    with pytest.raises(NoDataError, match="no bar of AAA had ended"):
        trading_table(view, "AAA", [])


def test_a_note_is_what_the_day_showed():
    data = world(closes=wave(5))
    view = at(data, 3)
    seen = Observation(0, data.instrument, data.bars.session(3), view.instant, None, view,
                       Portfolio("USD", 50.0, 400.0, {"AAA": 3.0}))  # fmt: skip
    assert held_at(seen) == Held(data.bars.session(3), float(data.bars.close[3]), 3.0, 400.0)
