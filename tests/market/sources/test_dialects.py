"""Price files as programs and vendors write them: each comes out as the same bars, or is refused."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.errors import BadFileError, SettingError, UnknownNameError, VarveError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.market.sources.prices import PriceFiles, read_prices
from varve.market.sources.prices.dates import looks_like_date, styles_of
from varve.market.sources.prices.numbers import decimal_mark, parse
from varve.market.sources.prices.opening import MAX_BYTES

DAYS = (date(2023, 1, 12), date(2023, 1, 13))
BARS = ((100.0, 103.0, 99.0, 102.0, 1200.0), (101.0, 104.0, 100.0, 103.0, 1100.0))


def read(
    folder: Path, text: str | bytes, ticker: str = "MSFT", name: str = "p.csv", **options
) -> InstrumentData:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_prices(path, ticker, clock=lambda: datetime(2024, 1, 2, tzinfo=UTC), **options)


def rows(form: str, days=DAYS) -> str:
    """One line a day: ``{d}`` the date, ``{o} {h} {l} {c} {v}`` the bar."""
    lines = []
    for day, (o, h, low, c, v) in zip(days, BARS, strict=True):
        cells = {name: f"{value:g}" for name, value in zip("ohlcv", (o, h, low, c, v), strict=True)}
        lines.append(day.strftime(form).format(**cells))
    return "\n".join(lines) + "\n"


def epoch(unit: int) -> str:
    starts = [int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in DAYS]
    return "".join(
        f"{start * unit},{','.join(map(str, bar))}\n" for start, bar in zip(starts, BARS, strict=True)
    )


def ends_well(reading) -> None:
    """Check that a reading brings bars, or a refusal that says what mends it."""
    refusal = None
    try:
        data = reading()
    except VarveError as error:
        refusal = error
    assert len(data.bars) > 0 if refusal is None else (refusal.mend or isinstance(refusal, UnknownNameError))


OHLCV = "{o},{h},{l},{c},{v}"
HEAD = "Date,Open,High,Low,Close,Volume\n"
ALIKE = {
    "plain": HEAD + rows("%Y-%m-%d," + OHLCV),
    "MT5": "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
    + rows("%Y.%m.%d\t00:00:00\t{o}\t{h}\t{l}\t{c}\t9\t{v}\t1"),
    "MetaStock": "<TICKER>,<DTYYYYMMDD>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n" + rows("MSFT,%Y%m%d," + OHLCV),
    "Stooq": "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
    + rows("MSFT.US,D,%Y%m%d,000000," + OHLCV + ",0"),
    "Nasdaq": "Date,Close/Last,Volume,Open,High,Low\n" + rows("%m/%d/%Y,${c},{v},${o},${h},${l}"),
    "Investing": '"Date","Price","Open","High","Low","Vol.","Change %"\n'
    + rows('"%m/%d/%Y","{c}","{o}","{h}","{l}","{v}","0.5%%"'),
    "Investing, K": '"Date","Price","Open","High","Low","Vol.","Change %"\n'
    + rows('"%b %d, %Y","{c}","{o}","{h}","{l}","{v}","0.5%%"').replace('"1200"', '"1.2K"'),
    "Alpha Vantage": "timestamp,1. open,2. high,3. low,4. close,5. volume\n" + rows("%Y-%m-%d," + OHLCV),
    "yfinance": "Price,Open,High,Low,Close,Volume\nTicker,MSFT,MSFT,MSFT,MSFT,MSFT\nDate,,,,,\n"
    + rows("%Y-%m-%d," + OHLCV),
    "yfinance, two": "Ticker,AAPL,MSFT,MSFT,MSFT,MSFT,MSFT\n"
    "Price,Close,Open,High,Low,Close,Volume\nDate,,,,,,\n"
    + rows("%Y-%m-%d,7," + OHLCV),
    "yfinance, old": ",Open,High,Low,Close,Close,Volume\n,MSFT,MSFT,MSFT,AAPL,MSFT,MSFT\nDate,,,,,,\n"
    + rows("%Y-%m-%d,{o},{h},{l},7,{c},{v}"),
    "pandas": ",Date,Open,High,Low,Close,Volume\n"
    + "".join(f"{n},{line}\n" for n, line in enumerate(rows("%Y-%m-%d," + OHLCV).splitlines())),
    "pandas, index of dates": ",Open,High,Low,Close,Volume\n" + rows("%Y-%m-%d 00:00:00-05:00," + OHLCV),
    "quantmod": '"","MSFT.Open","MSFT.High","MSFT.Low","MSFT.Close","MSFT.Volume"\n'
    + rows('"%Y-%m-%d",' + OHLCV),
    "flat names": "Date,Open_MSFT,High_MSFT,Low_MSFT,Close_MSFT,Volume_MSFT\n" + rows("%Y-%m-%d," + OHLCV),
    "long table": "Symbol,Date,Open,High,Low,Close,Volume\nAAPL,2023-01-12,1,1,1,1,1\n"
    + rows("MSFT,%Y-%m-%d," + OHLCV),
    "seconds": HEAD + epoch(1),
    "milliseconds": HEAD + epoch(10**3),
    "microseconds": HEAD + epoch(10**6),
    "nanoseconds": HEAD + epoch(10**9),
    "slashes, year first": HEAD + rows("%Y/%m/%d," + OHLCV),
    "day first": HEAD + rows("%d/%m/%Y," + OHLCV),
    "dots, day first": HEAD.replace(",", ";") + rows("%d.%m.%Y;{o},00;{h},00;{l},00;{c},00;{v}"),
    "month's name": HEAD + rows("%d-%b-%Y," + OHLCV),
    "month's name, short year": HEAD + rows("%d-%b-%y," + OHLCV),
    "month's name in front": HEAD + rows('"%B %d, %Y",' + OHLCV),
    "Dukascopy": HEAD.replace("Date", "Gmt time") + rows("%d.%m.%Y 00:00:00.000," + OHLCV),
    "newest first": HEAD + "\n".join(rows("%Y-%m-%d," + OHLCV).splitlines()[::-1]),
    "blank tail": HEAD + rows("%Y-%m-%d," + OHLCV) + ",,,,,\n\n,,,,,\n",
    "blank columns": HEAD.replace("\n", ",,\n") + rows("%Y-%m-%d," + OHLCV + ",,"),
    "a row of nulls": HEAD + rows("%Y-%m-%d," + OHLCV) + "2023-01-17,null,null,null,null,null\n",
    "footer": HEAD + rows("%Y-%m-%d," + OHLCV) + '"Downloaded from somewhere"\n',
    "a line above": "https://www.example.org\n" + HEAD + rows("%Y-%m-%d," + OHLCV),
    "sep=": "sep=;\n" + (HEAD + rows("%Y-%m-%d," + OHLCV)).replace(",", ";"),
    "bars": (HEAD + rows("%Y-%m-%d," + OHLCV)).replace(",", "|"),
    "BOM": "\ufeff" + HEAD + rows("%Y-%m-%d," + OHLCV),
    "UTF-16": (HEAD + rows("%Y-%m-%d," + OHLCV)).encode("utf-16"),
    "UTF-16 without a mark": (HEAD + rows("%Y-%m-%d," + OHLCV)).encode("utf-16-le"),
    "gzip": gzip.compress((HEAD + rows("%Y-%m-%d," + OHLCV)).encode()),
}  # fmt: skip


@pytest.mark.parametrize("text", ALIKE.values(), ids=ALIKE.keys())
def test_the_same_bars_in_any_dialect_are_the_same_data(tmp_path: Path, text: str | bytes) -> None:
    assert read(tmp_path, text).content_hash == read(tmp_path, ALIKE["plain"], name="plain.csv").content_hash


def frames() -> dict[str, pd.DataFrame]:
    names = ["Open", "High", "Low", "Close", "Volume"]
    plain = pd.DataFrame(BARS, columns=names, index=pd.DatetimeIndex(DAYS, name="Date"))
    pairs, swapped = plain.copy(), plain.copy()
    pairs.columns = pd.MultiIndex.from_product([names, ["MSFT"]], names=["Price", "Ticker"])
    swapped.columns = pd.MultiIndex.from_product([["MSFT"], names], names=["Ticker", "Price"])
    both = pd.concat([pairs, pairs.rename(columns={"MSFT": "AAPL"}) * 2], axis=1)
    return {
        "dates": plain,
        "dates with a zone": plain.tz_localize("America/New_York"),
        "counted": plain.reset_index(),
        "no name": plain.rename_axis(None),
        "32 bits": plain.astype("float32"),
        "pairs": pairs,
        "pairs the other way": swapped,
        "two tickers": both,
    }


@pytest.mark.parametrize("kind", frames())
def test_parquet_of_pandas_is_the_same_data(tmp_path: Path, kind: str) -> None:
    raw = io.BytesIO()
    frames()[kind].to_parquet(raw)
    data = read(tmp_path, raw.getvalue(), name="p.parquet")
    assert data.content_hash == read(tmp_path, ALIKE["plain"]).content_hash


def test_a_parquet_bomb_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    raw = io.BytesIO()
    pq.write_table(pa.table({"date": np.zeros(20_000_000, dtype="int32")}), raw, compression="zstd")
    assert len(raw.getvalue()) < 200_000
    with pytest.raises(BadFileError, match="declares 20,000,000 rows"):
        read(tmp_path, raw.getvalue(), name="p.parquet")


def test_a_gzip_bomb_is_not_unpacked_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="more than 128 MiB"):
        read(tmp_path, gzip.compress(bytes(MAX_BYTES + 1000)), name="p.csv.gz")
    with pytest.raises(BadFileError, match="cut short"):
        read(tmp_path, ALIKE["gzip"][:-12], name="p.csv.gz")


def test_klines_of_binance_need_no_header(tmp_path: Path) -> None:
    line = "{t},100,103,99,102,1200,{e},5,1,1,1,0\n"
    for unit in (1, 1000):
        start = 1_672_531_200_000 * unit
        text = "".join(
            line.format(t=start + n * 86_400_000 * unit, e=start + (n + 1) * 86_400_000 * unit - 1)
            for n in (0, 1)
        )
        data = read(tmp_path, text)
        assert (data.instrument.calendar, data.bars.session(0)) == ("24/7", date(2023, 1, 1))
        assert data.bars.close.tolist() == [102.0, 102.0]


def test_names_for_a_file_without_a_header(tmp_path: Path) -> None:
    text = rows("%Y-%m-%d,x," + OHLCV)
    data = read(tmp_path, text, header=("date", "-", "open", "high", "low", "close", "volume"))
    assert data.content_hash == read(tmp_path, ALIKE["plain"]).content_hash
    assert "column 2" in data.provenance.note
    for bad in (("date", "close", "close"), ("date",) * 9, ("date", "closse")):
        with pytest.raises(VarveError):
            read(tmp_path, text, header=bad)


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    data = read(tmp_path, "Date,Close,VWAP,Mood\n2023-01-12,1,2,3\n")
    assert "columns not used: VWAP, Mood" in data.provenance.note


def test_one_empty_volume_or_open_is_unknown_and_said(tmp_path: Path) -> None:
    text = HEAD + "2023-01-12,100,103,99,102,\n2023-01-13,0,104,N/A,103,1100\n"
    data = read(tmp_path, text)
    assert np.isnan(data.bars.volume[0])
    assert np.isnan(data.bars.open[1])
    assert np.isnan(data.bars.low[1])
    for said in ("volume is empty or 0 in 1 rows", "open is empty or 0 in 1 rows", "fills are at the close"):
        assert said in data.provenance.note
    assert data.provenance.fill_rule == "next_close"


def test_rows_before_the_days_of_the_calendar_are_left_out_and_said(tmp_path: Path) -> None:
    data = read(tmp_path, "Date,Close\n1985-01-02,1\n1989-12-29,1\n1990-01-02,5\n1990-01-03,6\n")
    assert data.bars.close.tolist() == [5.0, 6.0]
    assert "rows before 1990-01-02, left out: 2" in data.provenance.note
    newest = read(tmp_path, "Date,Close\n1990-01-03,6\n1990-01-02,5\n1989-12-29,1\n")
    assert newest.bars.close.tolist() == [5.0, 6.0]


def test_currency_lots_and_calendar(tmp_path: Path) -> None:
    euro = read(tmp_path, "Date,Close\n2023-01-12,€1.50\n2023-01-13,€2.50\n")
    assert euro.instrument.currency == "EUR"
    data = read(tmp_path, ALIKE["plain"], currency="GBP", lot_size=100.0, calendar="LSE")
    found = (data.instrument.currency, data.instrument.lot_size, data.instrument.calendar)
    assert found == ("GBP", 100.0, "XLON")
    for bad in ({"currency": "[x]"}, {"lot_size": float("nan")}, {"lot_size": 5e-324}, {"decimal": ";"}):
        with pytest.raises(SettingError):
            read(tmp_path, ALIKE["plain"], **bad)


@pytest.mark.parametrize(("name", "field"), [("Low", "close"), ("Close", "open"), ("volume", "close")])
def test_no_field_is_given_the_column_of_another(tmp_path: Path, name: str, field: str) -> None:
    with pytest.raises(SettingError, match="the file itself says that it is the"):
        read(tmp_path, ALIKE["plain"], columns={field: name})


def test_day_and_month_are_never_guessed(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="can be read in 2 ways"):
        read(tmp_path, "Date,Close\n01/03/2023,1\n02/03/2023,2\n03/03/2023,3\n", calendar="24/7")
    american = "Date,Close\n01/04/2023,1\n01/05/2023,2\n"
    assert read(tmp_path, american, calendar="XNYS").bars.session(0) == date(
        2023, 1, 4
    )  # 1 April is a Saturday
    given = read(tmp_path, "Date,Close\n03/01/2023,1\n04/01/2023,2\n", date_format="%d/%m/%Y")
    assert given.bars.session(1) == date(2023, 1, 4)


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["1234.5"], "."), (["1,234.5"], "."), (["1,234,567"], "."), (["1.234,5"], ","), (["12,5"], ","),
        (["1.234.567"], ","), (["1,234"], None), (["1,234", "5.25"], "."), (["$1,234", "€3,5"], ","),
        ([], "."),
    ],
)  # fmt: skip
def test_decimal_marks(cells: list[str], mark: str | None) -> None:
    assert decimal_mark(cells) == mark


@given(value=st.floats(0, 1e9, allow_nan=False), digits=st.integers(0, 6))
def test_a_number_reads_back_under_both_marks(value: float, digits: int) -> None:
    plain = f"{value:.{digits}f}"
    assert parse(f"{value:,.{digits}f}", ".") == float(plain)
    turned = f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))
    assert parse(turned, ",") == float(plain)


_STYLES = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y", "%b %d, %Y", "%Y.%m.%d", "%d-%b-%y")


@given(
    days=st.lists(st.dates(date(1990, 1, 1), date(2035, 1, 1)), min_size=1, max_size=9),
    code=st.sampled_from(_STYLES),
)
def test_a_date_in_any_style_is_among_the_readings(days: list[date], code: str) -> None:
    texts = [day.strftime(code) for day in days]
    assert all(looks_like_date(text) for text in texts)
    assert days in [[style.read(text).date() for text in texts] for style in styles_of(texts)]


_PRICE = st.integers(100, 10**7).map(lambda cents: cents / 100)
_BAR = st.tuples(_PRICE, _PRICE, _PRICE, _PRICE, st.integers(0, 10**9)).map(
    lambda one: (one[0], max(one[:4]), min(one[:4]), one[3], float(one[4]))
)
_WRITERS = {
    "ISO": ("%Y-%m-%d", ",", ".", ""),
    "German": ("%d.%m.%Y", ";", ",", "."),
    "American": ("%m/%d/%Y", "\t", ".", ","),
    "names": ("%d-%b-%Y", ";", ".", ","),
    "MT5": ("%Y.%m.%d", "\t", ".", ""),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    bars=st.lists(_BAR, min_size=12, max_size=30),
    first=st.integers(0, 5000),
    writer=st.sampled_from(sorted(_WRITERS)),
    newest_first=st.booleans(),
    order=st.permutations(["Open", "High", "Low", "Close", "Volume"]),
)
def test_any_table_in_any_dialect_comes_back_equal(
    tmp_path_factory: pytest.TempPathFactory, bars, first, writer, newest_first, order
) -> None:
    code, separator, mark, thousands = _WRITERS[writer]
    # Twelve sessions and more hold a day above 12 as a month has at most 23.
    days = get_calendar("XNYS").sessions(date(1990, 1, 2), date(2030, 1, 1))[first : first + len(bars)]

    def number(value: float, digits: int) -> str:
        text = f"{value:,.{digits}f}"
        return text.replace(",", "t").replace(".", mark).replace("t", thousands)

    lines = []
    for day, bar in zip(days, bars, strict=True):
        fields = dict(zip(("Open", "High", "Low", "Close", "Volume"), bar, strict=True))
        cells = [number(fields[name], 0 if name == "Volume" else 2) for name in order]
        lines.append(separator.join([day.strftime(code), *cells]))
    lines = lines[::-1] if newest_first else lines
    text = separator.join(["Date", *order]) + "\n" + "\n".join(lines) + "\n"
    data = read(tmp_path_factory.getbasetemp(), text, name="any.csv")
    assert [data.bars.session(n) for n in range(len(days))] == days
    for n, name in enumerate(("open", "high", "low", "close", "volume")):
        assert getattr(data.bars, name).tolist() == [bar[n] for bar in bars]


_WORDS = st.sampled_from(
    ["Date", "Close", "Open", "Adj Close", "Volume", "Stock Splits", "Dividends", "<CLOSE>", "Ticker",
     "MSFT", "Price",
     "2023-01-03", "2023-01-04", "01/02/2023", "1672704000000", "1,234", "1.5", "0", "-1", "null", "1e400",
     "4:1",
     "$5", "¥", "", " ", '"', "\u2028", "\x1b[31m", "[/b]", "=1+1", "9" * 400, "5e-324"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    table=st.lists(st.lists(_WORDS, min_size=1, max_size=8), min_size=1, max_size=8),
    mark=st.sampled_from(",;\t|"),
    options=st.fixed_dictionaries(
        {},
        optional={
            "calendar": st.sampled_from(["24/7", "24/5", "XNYS", "XNYC"]),
            "date_format": st.sampled_from(["%d/%m/%Y", "%Q", "%", "x", "%Y"]),
            "decimal": st.sampled_from([",", "."]),
            "adjustment": st.sampled_from(["raw", "split_adjusted", "back_adjusted", "x"]),
            "header": st.lists(st.sampled_from(["date", "close", "-", "x"]), max_size=4).map(tuple),
            "frequency": st.sampled_from(["weekly", "monthly"]),
        },
    ),
)
def test_any_table_ends_in_bars_or_in_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, table, mark, options
) -> None:
    text = "\n".join(mark.join(cells) for cells in table)
    ends_well(lambda: read(tmp_path_factory.getbasetemp(), text, name="fuzz.csv", **options))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_parquet_ends_in_bars_or_in_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data
) -> None:
    raw = io.BytesIO()
    frames()["dates"].to_parquet(raw)
    damaged = bytearray(raw.getvalue())
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=6)):
        damaged[at] = data.draw(st.integers(0, 255))
    ends_well(lambda: read(tmp_path_factory.getbasetemp(), bytes(damaged), name="fuzz.parquet"))


def test_a_table_of_texts_is_left_to_other_sources(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    for text, accepted in (("time,text,kind\n", False), ("Date,Close,Text\n", True), ("Date,Close\n", True)):
        file.write_text(text)
        assert PriceFiles().accepts(file) is accepted
    assert PriceFiles().accepts(tmp_path / "absent.csv")
