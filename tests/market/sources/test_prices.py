from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from varve.errors import BadFileError, SettingError, UnknownNameError
from varve.market.data import InstrumentData
from varve.market.sources.prices import read_prices
from varve.market.store import Store

HEADER = "date,open,high,low,close,volume\n"
ROWS = [
    "2023-01-03,118.47,118.80,104.64,108.10,231402820",
    "2023-01-04,109.11,114.59,107.52,113.64,180388980",
    "2023-01-05,110.51,111.75,107.16,110.34,157986320",
    "2023-01-06,103.00,114.39,101.81,113.06,220911050",
]
Reader = Callable[..., InstrumentData]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def from_text(text: str | bytes, **options: object) -> InstrumentData:
        path = tmp_path / "prices.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_prices(path, "TSLA", clock=lambda: datetime(2024, 1, 2, 3, tzinfo=UTC), **options)  # type: ignore[arg-type]

    return from_text


def rows(*replaced: tuple[int, str]) -> str:
    lines = list(ROWS)
    for i, line in replaced:
        lines[i] = line
    return HEADER + "\n".join(lines) + "\n"


@pytest.mark.parametrize("ticker", ["TSLA", "AMZN"])
def test_real_prices_import_exactly_and_survive_the_store(
    shared_data: Path, tmp_path: Path, ticker: str
) -> None:
    path = shared_data / "prices" / f"{ticker}.csv"
    data = read_prices(path, ticker)
    expected = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(1, 2, 3, 4, 5))
    columns = [getattr(data.bars, name) for name in ("open", "high", "low", "close", "volume")]
    assert np.array_equal(np.column_stack(columns), expected)
    assert (len(data.bars), data.bars.session(0), data.bars.session(249)) == (
        250,
        date(2023, 1, 3),
        date(2023, 12, 29),
    )
    assert (data.provenance.adjustment, data.provenance.fill_rule) == ("split_adjusted", "next_open")
    assert (data.provenance.source, data.provenance.synthetic) == (f"csv:{ticker}.csv", False)
    store = Store(tmp_path)
    store.write(data)
    assert store.read(ticker).content_hash == data.content_hash


def test_bars_span_their_sessions(read: Reader) -> None:
    data = read(rows())
    bar = data.bars.bar(0)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (118.47, 118.80, 104.64, 108.10, 231402820)
    assert bar.start == datetime(2023, 1, 3, 14, 30, tzinfo=UTC)
    assert bar.end == datetime(2023, 1, 3, 21, tzinfo=UTC)
    assert data.provenance.pulled_at == "2024-01-02T03:00:00Z"
    assert (data.instrument.calendar, data.instrument.currency, data.instrument.lot_size) == (
        "XNYS",
        "USD",
        1,
    )


def test_only_date_and_close_are_needed(read: Reader) -> None:
    data = read("Close,DATE\n108.1,2023-01-03\n113.64,2023-01-04\n")
    assert data.bars.close.tolist() == [108.1, 113.64]
    assert np.isnan(data.bars.open).all()
    assert np.isnan(data.bars.volume).all()
    assert data.provenance.fill_rule == "next_close"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + rows(),
        rows().replace(",", ";"),
        rows().replace(",", "\t"),
        rows().replace("\n", "\r\n"),
        rows().replace(",", " , "),
        "\n" + rows().replace("\n", "\n\n"),
        rows().replace("date", "Timestamp").replace("open", "OPEN").replace("close", "Close/Last"),
        rows().replace("2023-01-03", "2023-01-03 00:00:00").replace("2023-01-04", '"2023-01-04"'),
        "".join(f"{line},{i}\n" for i, line in enumerate(rows().splitlines())),
    ],
)
def test_usual_shapes_read_alike(read: Reader, text: str) -> None:
    assert read(text).content_hash == read(rows()).content_hash


def test_mapping_by_name_in_any_case(read: Reader) -> None:
    text = rows().replace("date", "when").replace("close", "Px Last")
    data = read(text, columns={"date": "WHEN", "close": "px last"})
    assert data.content_hash == read(rows()).content_hash


def test_an_adjusted_close_brings_no_open_of_another_basis(read: Reader) -> None:
    text = "Date,Open,High,Low,Close,Adj Close,Volume\n2023-01-03,10,11,9,10.5,9.9,100\n"
    assert read(text).provenance.fill_rule == "next_open"
    data = read(text, columns={"close": "Adj Close"})
    assert data.bars.close.tolist() == [9.9]
    assert np.isnan(data.bars.open).all()
    assert data.bars.volume.tolist() == [100]
    assert (data.provenance.adjustment, data.provenance.fill_rule) == ("back_adjusted", "next_close")
    assert "open, high, low left out" in data.provenance.note
    only = "Date,Adj Close\n2023-01-03,9.9\n"
    with pytest.raises(BadFileError, match="no column 'close' for close") as caught:
        read(only)
    assert "--column close='Adj Close'" in str(caught.value)


def test_a_venue_that_never_closes_fills_at_the_close(read: Reader) -> None:
    text = HEADER + "2023-01-07,10,11,9,10.5,5\n2023-01-08,10,11,9,10.5,0\n"
    data = read(text, calendar="24/7")
    assert data.provenance.fill_rule == "next_close"
    assert data.instrument.lot_size == 1e-4
    assert data.bars.open.tolist() == [10, 10]
    assert read(text, calendar="24/7", lot_size=0.5).instrument.lot_size == 0.5


@pytest.mark.parametrize("zone", ["+00:00", "Z", "-05:00"])
def test_midnight_in_any_one_zone_is_a_plain_date(read: Reader, zone: str) -> None:
    text = rows()
    for day in ("03", "04", "05", "06"):
        text = text.replace(f"2023-01-{day}", f"2023-01-{day}T00:00:00{zone}")
    assert read(text).content_hash == read(rows()).content_hash


def test_new_yorks_own_offsets_over_the_clock_change_are_one_zone(read: Reader) -> None:
    text = "date,close\n2023-03-10 00:00:00-05:00,1\n2023-03-13 00:00:00-04:00,2\n"
    assert read(text).bars.session(1) == date(2023, 3, 13)
    instants = "date,close\n2023-01-04T02:00:00+00:00,1\n2023-01-05T02:00:00+00:00,2\n"
    assert read(instants).bars.session(0) == date(2023, 1, 3)


REFUSED = [
    ("missing date", "day_of_year,close\n1,2\n", r"row 1: no column 'date' for date"),
    ("missing close", "date,closng\n2023-01-03,2\n", r"no column 'close' for close; the header is 'date,"),
    ("two closes", "date,close,Close\n2023-01-03,2,2\n", r"row 1: the header has 2 columns named 'close'"),
    ("duplicate", rows((2, ROWS[1])), r"row 4: 2023-01-04 is there twice, in row 3 too"),
    ("unsorted", rows((1, ROWS[3]), (3, ROWS[1])), r"row 4: 2023-01-05 comes after 2023-01-06 in row 3"),
    ("empty close", rows((1, "2023-01-04,109.11,114.59,107.52,,1")), r"row 3: close is empty"),
    ("NaN", rows((1, "2023-01-04,109.11,114.59,107.52,NaN,1")), r"row 3: close is 'NaN'"),
    ("infinite", rows((1, "2023-01-04,109.11,inf,107.52,108,1")), r"row 3: high is 'inf'"),
    ("zero", rows((3, "2023-01-06,103,114,102,0,1")), r"row 5: close is '0'; expected a number above 0"),
    ("negative", rows((3, "2023-01-06,103,114,101,-113,1")), r"row 5: close is '-113'.*negative"),
    ("negative volume", rows((3, "2023-01-06,103,114,101,113,-1")), r"row 5: volume is '-1'.*at least 0"),
    ("comma number", rows((0, '2023-01-03,118,119,104,"1,081",1')), r"high 119.0 is below close 1081.0"),
    ("underscore", rows((0, "2023-01-03,118,119,104,1_08,1")), r"row 2: close is '1_08'"),
    ("high below low", rows((0, "2023-01-03,105,104,106,105,1")), r"2 \(2023-01-03\): high 104.0 is below"),
    ("high below close", rows((0, "2023-01-03,105,106,104,106.5,1")), r"high 106.0 is below close 106.5"),
    ("high below open", rows((0, "2023-01-03,106.5,106,104,105,1")), r"high 106.0 is below open 106.5"),
    ("low above close", rows((0, "2023-01-03,105,106,104,103.5,1")), r"low 104.0 is above close 103.5"),
    ("low above open", rows((0, "2023-01-03,103.5,106,104,105,1")), r"low 104.0 is above open 103.5"),
    ("Saturday", rows((3, ROWS[3].replace("01-06", "01-07"))), r"row 5: 2023-01-07 is a Saturday and no"),
    ("holiday", "date,close\n2023-07-04,1\n", r"row 2: 2023-07-04 is a Tuesday and no session"),
    ("too old", "date,close\n1929-10-29,1\n", r"row 2: 1929-10-29 is outside 1990-01-02"),
    ("no date", rows((1, ROWS[1].replace("2023-01-04", "01/04/2023"))), r"row 3: the date is '01/04/2023'"),
    ("empty date", rows((1, ROWS[1].replace("2023-01-04", ""))), r"row 3: the date is empty"),
    ("no such day", rows((1, ROWS[1].replace("2023-01-04", "2023-02-30"))), r"3: the date is '2023-02-30'"),
    ("zone and none", rows((2, ROWS[2].replace("-05,", "-05T00:00:00Z,"))), r"row 4: .* in UTC, row 2 is"),
    (
        "two zones",
        "date,close\n2023-01-03T00:00:00-05:00,1\n2023-01-04T00:00:00+01:00,2\n",
        r"row 3: .* is in UTC\+01:00, row 2 is in UTC-05:00",
    ),
    (
        "zone against the venue's own",
        "date,close\n2023-01-03T00:00:00-05:00,1\n2023-01-04T00:00:00-04:00,2\n",
        r"row 3: .* is in UTC-04:00, row 2 is in UTC-05:00",
    ),
    ("intraday", "date,close\n2023-01-03T15:00:00,1\n2023-01-03T16:00:00,2\n", r"is there twice"),
    ("cut short", rows()[:-20], r"row 5: 4 fields, the header has 6"),
    ("too many fields", rows((0, ROWS[0] + ",9")), r"row 2: 7 fields, the header has 6"),
    ("open quote", rows((3, '2023-01-06,"103,114,101,113,1')), r"row \d+: "),
    ("cut in a quote", rows((3, '2023-01-06,103,114,101,113,"22'))[:-1], r"row 5: unexpected end of data"),
    ("empty", "", r"is empty"),
    ("blank", " \n\n\t\n", r"is empty"),
    ("header only", HEADER, r"has a header but no rows"),
    ("JSON", '{"2023-01-03": {"prices": 1}}', r"looks like JSON"),
    ("JSON list", ' [{"date": "2023-01-03"}]', r"looks like JSON"),
    ("HTML", "<!DOCTYPE html><html>", r"looks like HTML"),
    ("spreadsheet", b"PK\x03\x04" + bytes(50), r"a ZIP archive or a spreadsheet"),
    ("parquet", b"PAR1" + bytes(50), r"a Parquet file"),
    ("gzip", b"\x1f\x8b\x08" + bytes(50), r"a gzip archive that cannot be unpacked"),
    ("binary", b"date,close\n\x00\x01\x02", r"zero bytes or control characters"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_bad_files_are_refused_by_row_and_value(read: Reader, text: str | bytes, message: str) -> None:
    with pytest.raises(BadFileError, match=message) as caught:
        read(text)
    assert caught.value.exit_code == 3
    assert caught.value.mend
    assert "prices.csv" in caught.value.message


def test_rounding_is_not_taken_for_a_contradiction(read: Reader) -> None:
    read(rows((0, "2023-01-03,118.474,118.47,104.64,104.637,1")))
    with pytest.raises(BadFileError, match="high"):
        read(rows((0, "2023-01-03,118.50,118.47,104.64,108,1")))
    with pytest.raises(BadFileError, match="high"):
        read("date,high,close\n2023-01-03,0.0010,0.0011\n")


def test_missing_file_and_folder(tmp_path: Path, read: Reader) -> None:
    read(rows())
    with pytest.raises(BadFileError, match="there is no file") as caught:
        read_prices(tmp_path / "price.csv", "TSLA")
    assert "prices.csv" in str(caught.value)
    with pytest.raises(BadFileError, match="cannot be read"):
        read_prices(tmp_path, "TSLA")


def test_unknown_settings_suggest_near_names(read: Reader) -> None:
    with pytest.raises(UnknownNameError, match="unknown price column 'closse'") as caught:
        read(rows(), columns={"closse": "close"})
    assert "did you mean 'close'" in str(caught.value)
    with pytest.raises(BadFileError, match="no column 'Closs' for close") as missing:
        read(rows(), columns={"close": "Closs"})
    assert "--column close=close" in str(missing.value)
    with pytest.raises(UnknownNameError, match="XNYC"):
        read(rows(), calendar="XNYC")
    with pytest.raises(SettingError, match="lot_size"):
        read(rows(), lot_size=0.0)
    with pytest.raises(SettingError, match="cannot be used"):
        read_prices(Path("x.csv"), "../x")


@given(raw=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_clearly(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(raw)
    with pytest.raises(BadFileError):
        read_prices(path, "TSLA")


@given(text=st.text(alphabet="date,close\n2023-01\"'; \t;.5NaNe+_", max_size=120))
def test_any_text_after_a_header_is_read_or_refused_clearly(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "text.csv"
    path.write_text("date,close\n" + text)
    with contextlib.suppress(BadFileError):
        assert len(read_prices(path, "TSLA").bars) > 0
