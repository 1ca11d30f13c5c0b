from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from varve.errors import BadFileError, DataError, SettingError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.market.market_data import MarketData
from varve.market.sources.investorbench import InvestorBenchSource, read_investorbench
from varve.market.sources.source import Request, read_checked
from varve.market.store import Store

Reader = Callable[..., InstrumentData]


def day(price: Any = 10.5, **fields: Any) -> dict[str, Any]:
    return {"prices": price, "news": [], "10k": [], "10q": [], **fields}


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def from_value(value: Any, ticker: str = "JNJ", **options: Any) -> InstrumentData:
        path = tmp_path / "data.json"
        if isinstance(value, bytes):
            path.write_bytes(value)
        else:
            path.write_text(value if isinstance(value, str) else json.dumps(value))
        return read_investorbench(path, ticker, **options)

    return from_value


@pytest.mark.parametrize(
    ("name", "ticker", "calendar", "bars", "news", "filings", "lot"),
    [("jnj", "JNJ", "XNYS", 291, 910, (1, 4), 1.0), ("eth", "ETH-USD", "24/7", 318, 1067, (0, 0), 1e-4)],
)
def test_real_files_import_exactly_and_survive_the_store(
    shared_data: Path,
    tmp_path: Path,
    name: str,
    ticker: str,
    calendar: str,
    bars: int,
    news: int,
    filings: tuple[int, int],
    lot: float,
) -> None:
    path = shared_data / "investorbench" / f"{name}.json"
    data = read_investorbench(path, ticker)
    raw = json.loads(path.read_text())
    assert data.bars.close.tolist() == [entry["prices"] for entry in raw.values()]
    assert [data.bars.session(i).isoformat() for i in range(bars)] == list(raw)
    counts = {kind: sum(d.kind == kind for d in data.documents) for kind in ("news", "10-K", "10-Q")}
    assert counts == {"news": news, "10-K": filings[0], "10-Q": filings[1]}
    assert {d.text for d in data.documents if d.kind == "news"} == {
        t for e in raw.values() for t in e["news"]
    }
    assert (data.instrument.symbol, data.instrument.calendar, data.instrument.lot_size) == (
        ticker,
        calendar,
        lot,
    )
    assert (data.provenance.adjustment, data.provenance.fill_rule) == ("back_adjusted", "next_close")
    assert data.events == ()
    assert len({d.id for d in data.documents}) == len(data.documents)
    assert np.isnan(data.bars.open).all()
    assert ("65 sessions missing" in data.provenance.note) == (name == "eth")
    store = Store(tmp_path)
    store.write(data)
    assert store.read(ticker).content_hash == data.content_hash


def test_no_real_document_is_seen_before_its_day_is_over(shared_data: Path) -> None:
    for name, ticker in (("jnj", "JNJ"), ("eth", "ETH-USD")):
        data = read_investorbench(shared_data / "investorbench" / f"{name}.json", ticker)
        market, venue = MarketData({ticker: data}), get_calendar(data.instrument.calendar)
        for i in range(0, len(data.bars), 7):
            session = data.bars.session(i)
            written = f"{ticker}-{session.isoformat()}-"
            at_close = market.as_of(venue.close_at(session)).documents(ticker)
            at_decision = market.as_of(venue.decision_at(session)).documents(ticker)
            todays = {d.id for d in data.documents if d.id.startswith(written)}
            assert todays <= {d.id for d in at_decision}
            assert max((d.id.removeprefix(f"{ticker}-")[:10] for d in at_decision), default="") < "2024"
            if not venue.always_open:
                assert not todays & {d.id for d in at_close}


def test_ids_and_times(read: Reader) -> None:
    data = read({"2020-03-13": day(1.5, news=["a", "b"], **{"10k": ["k"], "10q": ["q"]})})
    assert [d.id for d in data.documents] == [
        "JNJ-2020-03-13-10-K-0",
        "JNJ-2020-03-13-10-Q-0",
        "JNJ-2020-03-13-news-0",
        "JNJ-2020-03-13-news-1",
    ]
    assert {d.available_at for d in data.documents} == {datetime(2020, 3, 14, 4, tzinfo=UTC)}
    assert {d.event_time for d in data.documents} == {datetime(2020, 3, 13, 4, tzinfo=UTC)}


def test_documents_on_days_without_a_session_are_kept(read: Reader) -> None:
    raw = {f"2020-03-{n:02d}": day(float(n)) for n in (2, 3, 4, 5, 6, 9, 10, 11, 12, 13)}
    raw["2020-03-07"] = day(6.0, news=["saturday"])
    raw["2020-03-08"] = {"news": ["sunday"]}
    with_two = read(
        {**raw, **{f"2020-03-{n}": day(float(n)) for n in (16, 17, 18, 19, 20, 23, 24, 25, 26, 27)}}
    )
    assert with_two.instrument.calendar == "XNYS"
    assert [d.text for d in with_two.documents] == ["saturday", "sunday"]
    assert 6.0 in with_two.bars.close  # Friday's, once
    assert len(with_two.bars) == 20
    assert "1 prices left out on days that are no session of XNYS" in with_two.provenance.note
    monday = get_calendar("XNYS").decision_at(date(2020, 3, 6))
    assert len(MarketData({"JNJ": with_two}).as_of(monday).documents("JNJ")) == 2


def test_calendar_is_guessed_by_the_share_of_weekends_or_given(read: Reader) -> None:
    week = {f"2023-01-{n:02d}": day() for n in range(2, 9)}
    assert read(week).instrument.calendar == "24/7"
    weekdays = {key: value for key, value in week.items() if date.fromisoformat(key).weekday() < 5}
    assert read(weekdays).instrument.calendar == "XNYS"
    given = read(weekdays, calendar="24/7", currency="EUR")
    assert (given.instrument.calendar, given.instrument.currency) == ("24/7", "EUR")


def test_missing_and_null_lists_unknown_fields_and_integers(read: Reader) -> None:
    data = read({"2023-01-04": {"prices": 7, "news": None}, "2023-01-03": day(mood="good", news=[" ", "x"])})
    assert data.bars.close.tolist() == [10.5, 7.0]
    assert [d.id for d in data.documents] == ["JNJ-2023-01-03-news-1"]
    assert "field 'mood' ignored on 1 days" in data.provenance.note


def test_half_an_emoji_does_not_break_the_store(read: Reader, tmp_path: Path) -> None:
    data = read('{"2023-01-03": {"prices": 1.5, "news": ["cut \\ud83d", "whole \\ud83d\\ude42"]}}')
    assert [d.text for d in data.documents] == ["cut \ufffd", "whole 🙂"]
    Store(tmp_path / "s").write(data)
    assert Store(tmp_path / "s").read("JNJ").documents == data.documents


GOOD = json.dumps({f"2023-01-0{n}": day(news=["some news", "more"]) for n in (3, 4, 5, 6)}, indent=1)
OK = {"2023-01-03": day()}
REFUSED: list[tuple[str, Any, str]] = [
    ("cut in a text", GOOD[: GOOD.index("more") + 2], "is cut short: Unterminated string at line"),
    ("cut after a value", GOOD[: GOOD.index("10.5") + 4], "is cut short"),
    ("cut before the end", GOOD.rstrip("}\n "), "is cut short"),
    ("first character", "{", "is cut short"),
    ("no JSON", '{"2023-01-03": {"prices": 1.5,, "news": []}, "2023-01-04": {}}', "is no valid JSON"),
    ("CSV", "date,close\n2023-01-03,1\n", "not of the INVESTOR-BENCH format: it starts with 'date,close"),
    ("list", [OK], "its top level is a list"),
    ("empty object", {}, "holds no days"),
    ("empty file", "", "is empty"),
    ("binary", b"\x00\x01{}", "binary"),
    ("gzip", b"\x1f\x8b\x08\x00", "a gzip archive"),
    ("no date", {"TSLA": day()}, "its key 'TSLA' is no date"),
    ("other date", {"20230103": day()}, "'20230103' is not written YYYY-MM-DD"),
    ("far date", {"1900-01-03": day()}, "1900-01-03 is outside"),
    ("twice", '{"2023-01-03": {"prices": 1}, "2023-01-03": {"prices": 2}}', "'2023-01-03' is there twice"),
    ("day is a number", {"2023-01-03": 5}, "2023-01-03 is a int, not an object"),
    ("no price", {"2023-01-03": {"news": []}}, "2023-01-03 has no field 'prices'"),
    ("price misspelt", {"2023-01-03": {"price": 5}}, "has no field 'prices'; did 'price' mean it"),
    ("null price", {"2023-01-03": day(None)}, "2023-01-03, field 'prices' is 'None', not a number"),
    ("text price", {"2023-01-03": day("5.0")}, "2023-01-03, field 'prices' is '5.0', not a number"),
    ("object price", {"2023-01-03": day({"JNJ": 5.0})}, "not a number"),
    ("boolean price", {"2023-01-03": day(True)}, "not a number"),
    ("zero price", {**OK, "2023-01-04": day(0.0)}, "2023-01-04, field 'prices' is 0.0; expected a price"),
    ("negative price", {**OK, "2023-01-04": day(-1.5)}, "2023-01-04, field 'prices' is -1.5"),
    ("NaN price", '{"2023-01-03": {"prices": NaN}}', "2023-01-03, field 'prices' is nan"),
    ("infinite price", '{"2023-01-03": {"prices": 1e999}}', "2023-01-03, field 'prices' is inf"),
    ("whole price of 401 digits", f'{{"2023-01-03": {{"prices": {10**400}}}}}', "'prices' is 1000"),
    ("price of 5000 digits", '{"2023-01-03": {"prices": ' + "9" * 5000 + "}}", "5000 digits"),
    ("100 levels", '{"2023-01-03": ' + "[" * 100 + "]" * 100 + "}", "nested far too deep"),
    ("news a text", {"2023-01-03": day(news="headline")}, "2023-01-03, field 'news' is a str, not a list"),
    ("news item a number", {"2023-01-03": day(news=["a", 5])}, "field 'news', item 1 is '5', not a text"),
    ("10k an object", {"2023-01-03": day(**{"10k": {"x": 1}})}, "field '10k' is a dict"),
    ("no sessions", {f"2023-01-0{n}": day() for n in (1, 2)}, "2 days but no session"),
    ("deep", "[" * 100_000, "nested far too deep|is cut short"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "message"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_bad_files_are_refused_by_date_and_field(read: Reader, value: Any, message: str) -> None:
    options = {"calendar": "XNYS"} if message.endswith("no session") else {}
    with pytest.raises(BadFileError, match=message) as caught:
        read(value, **options)
    assert caught.value.exit_code == 3
    assert "data.json" in caught.value.message


def test_every_cut_of_a_good_file_is_refused(read: Reader) -> None:
    read(GOOD)
    for length in range(1, len(GOOD)):
        with pytest.raises(BadFileError):
            read(GOOD[:length])


def test_missing_file_and_bad_ticker(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="there is no file"):
        read_investorbench(tmp_path / "no.json", "JNJ")
    with pytest.raises(SettingError, match="cannot be used"):
        read_investorbench(tmp_path / "no.json", "../JNJ")


@pytest.mark.parametrize("name", ["huge_close", "denormal_close", "1000x_jump_in_a_day"])
def test_prices_that_no_market_has_are_refused(shared_data: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / "data.json"
    file.write_bytes((shared_data / "hostile" / f"accepted_json_{name}.txt").read_bytes())
    with pytest.raises(DataError):
        read_checked(InvestorBenchSource(), Request("JNJ", path=file))


def test_the_price_that_broke_the_reader_is_refused(shared_data: Path) -> None:
    with pytest.raises(BadFileError, match="expected a price above 0"):
        read_investorbench(shared_data / "hostile" / "fuzz_json_1_x.json", "JNJ")
