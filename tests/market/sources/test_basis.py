"""Splits, dividends and adjusted closes of price files: one basis, decided from the prices, or asked for."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.errors import BadFileError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.market.sources.prices import read_prices

DAYS = get_calendar("XNYS").sessions(date(2023, 1, 3), date(2023, 12, 29))
HEAD = "Date,Close,Volume,Dividends,Stock Splits\n"


def read(folder: Path, text: str, **options) -> InstrumentData:
    path = folder / "p.csv"
    path.write_text(text)
    return read_prices(path, "X", **options)


def table(closes, *, head=HEAD, dividends=None, splits=None, volume=1000.0, adjusted=None) -> str:
    lines = []
    for n, close in enumerate(closes):
        cells = [DAYS[n].isoformat(), f"{close:.6f}", f"{volume:g}"]
        if "Dividends" in head:
            cells += [str((dividends or {}).get(n, 0.0)), str((splits or {}).get(n, 0.0))]
        if adjusted is not None:
            cells.append(f"{adjusted[n]:.6f}")
        lines.append(",".join(cells))
    return head + "\n".join(lines) + "\n"


def events(data: InstrumentData) -> dict[tuple[str, date], float]:
    return {(event.kind, event.session): event.value for event in data.events}


def test_a_split_that_the_prices_show_is_applied_once(tmp_path: Path) -> None:
    data = read(tmp_path, table([400, 401, 100, 101], splits={2: 4.0}, dividends={3: 0.5}))
    assert data.bars.close.tolist() == [400, 401, 100, 101]
    assert events(data) == {("split", DAYS[2]): 4.0, ("dividend", DAYS[3]): 0.5}
    assert data.provenance.adjustment == "raw"


def test_a_split_that_the_prices_do_not_show_is_taken_out_of_them(tmp_path: Path) -> None:
    """Yahoo's close is split-adjusted already; its split would be applied twice."""
    data = read(tmp_path, table([100, 101, 100, 101], splits={2: 4.0}, dividends={1: 0.25, 3: 0.5}))
    assert data.bars.close.tolist() == [400, 404, 100, 101]
    assert data.bars.volume.tolist() == [250, 250, 1000, 1000]
    assert events(data) == {
        ("split", DAYS[2]): 4.0, ("dividend", DAYS[1]): 1.0, ("dividend", DAYS[3]): 0.5
    }  # fmt: skip
    assert "brought back to raw" in data.provenance.note


def test_where_the_move_says_neither_the_basis_is_asked_for(tmp_path: Path) -> None:
    text = table([200, 201, 100, 101], splits={2: 4.0})
    with pytest.raises(BadFileError, match="says neither") as caught:
        read(tmp_path, text)
    assert "--adjustment raw" in str(caught.value.mend)
    assert read(tmp_path, text, adjustment="raw").bars.close[0] == 200
    assert read(tmp_path, text, adjustment="split_adjusted").bars.close[0] == 800
    held = read(tmp_path, text, adjustment="back_adjusted")
    assert (held.events, held.bars.close[0]) == ((), 200)
    assert "1 splits and payments left out" in held.provenance.note


def test_an_adjusted_close_decides_where_the_move_does_not(tmp_path: Path) -> None:
    """The close falls by half on the day of a 2:1 split whose prices are adjusted: a crash beside it."""
    head = HEAD.replace("\n", ",Adj Close\n")
    closes = [100.0, 100.0, 50.0, 50.0]
    crash = read(tmp_path, table(closes, head=head, splits={2: 2.0}, adjusted=closes))
    assert crash.bars.close.tolist() == [200, 200, 50, 50]
    plain = read(tmp_path, table(closes, head=head, splits={2: 2.0}, adjusted=[50.0] * 4))
    assert plain.bars.close.tolist() == closes


def test_prices_that_are_adjusted_for_payments_are_not_paid_again(tmp_path: Path) -> None:
    """yfinance's default: an adjusted close under the name Close, with the dividends beside it."""
    rng = np.random.default_rng(7)
    raw = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.01, 60))), 2)
    day = np.arange(60)
    factor = np.where(day < 50, 1 - 0.5 / raw[49], 1.0) * np.where(day < 20, 1 - 0.5 / raw[19], 1.0)
    paid = {20: 0.5, 50: 0.5}
    adjusted = read(tmp_path, table(raw * factor, dividends=paid))
    assert (adjusted.provenance.adjustment, adjusted.events) == ("back_adjusted", ())
    quoted = read(tmp_path, table(raw, dividends=paid))
    assert len(quoted.events) == 2


def test_capital_gains_are_paid_like_dividends(tmp_path: Path) -> None:
    text = "Date,Close,Dividends,Capital Gains\n2023-01-03,100,0,0\n2023-01-04,99,0.5,0.25\n"
    assert events(read(tmp_path, text)) == {("dividend", date(2023, 1, 4)): 0.75}


@pytest.mark.parametrize(
    "text",
    [
        "date,kind,value\n2023-01-05,split,4\n2023-01-06,dividend,0.5\n",
        "date,kind,value\n2023-01-05,Split,4:1\n2023-01-06,capital_gain,0.5\n",
        "Date,Stock Splits,Dividends\n2023-01-05,4:1,\n2023-01-06,,0.5\n",
        "date,kind,value\n2023-01-05,split,4\n2023-01-06,dividend,0.25\n2023-01-06,capital gain,.25\n",
    ],
)
def test_a_file_of_events(tmp_path: Path, text: str) -> None:
    beside = tmp_path / "events.csv"
    beside.write_text(text)
    data = read(
        tmp_path,
        "Date,Close\n2023-01-03,400\n2023-01-04,401\n2023-01-05,100\n2023-01-06,101\n",
        events=beside,
    )
    assert events(data) == {("split", date(2023, 1, 5)): 4.0, ("dividend", date(2023, 1, 6)): 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,kind,value\n2023-01-05,merger,4\n", "merger"),
        ("date,kind,value\n2023-01-05,split,1e9\n", "at most 10000"),
        ("date,kind,value\n2023-01-05,dividend,-1\n", "at least 0"),
        ("date,kind,value\n2023-01-05,dividend,x\n", "no number"),
        ("day of joy\n2023-01-05\n", "expected CSV with the columns date,kind,value"),
        ("date,kind,value\nx,dividend,1\n", "x"),
    ],
)
def test_events_that_cannot_be_are_refused(tmp_path: Path, text: str, message: str) -> None:
    beside = tmp_path / "events.csv"
    beside.write_text(text)
    with pytest.raises(BadFileError, match=message):
        read(tmp_path, "Date,Close\n2023-01-03,4\n2023-01-05,4\n", events=beside)


def adjusted_of(closes: np.ndarray, paid: dict[int, float], splits: dict[int, float]) -> np.ndarray:
    """The adjusted close as Yahoo makes it of raw closes: factors of all later events."""
    factor = np.ones(len(closes))
    for n in range(len(closes)):
        for at in range(n + 1, len(closes)):
            factor[n] *= (1 - paid.get(at, 0.0) * splits.get(at, 1.0) / closes[at - 1]) / splits.get(at, 1.0)
    return closes * factor


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    paid=st.dictionaries(st.integers(5, 55), st.integers(5, 300).map(lambda c: c / 100), max_size=4),
    split=st.sampled_from([None, 2.0, 3.0, 4.0, 7.0, 10.0, 1.5, 0.1]),
)
def test_events_are_rebuilt_from_an_adjusted_close(
    tmp_path_factory: pytest.TempPathFactory, seed: int, paid: dict[int, float], split: float | None
) -> None:
    rng = np.random.default_rng(seed)
    closes = np.round(120 * np.exp(np.cumsum(rng.normal(0, 0.01, 60))), 2)
    splits = {} if split is None else {60 // 2: split}
    if split is not None:
        closes[30:] = np.round(closes[30:] / split, 2)
    paid = {n: cash for n, cash in paid.items() if n not in splits and cash < 0.05 * closes[n - 1]}
    text = table(closes, head="Date,Close,Volume,Adj Close\n", adjusted=adjusted_of(closes, paid, splits))
    data = read(tmp_path_factory.getbasetemp(), text)
    found = events(data)
    assert {key[1] for key in found if key[0] == "split"} == {DAYS[n] for n in splits}
    assert {key[1] for key in found if key[0] == "dividend"} == {DAYS[n] for n in paid}
    for n, cash in paid.items():
        assert found["dividend", DAYS[n]] == pytest.approx(cash, abs=2e-4)
    assert data.bars.close.tolist() == closes.tolist()


def test_an_adjusted_close_of_two_digits_is_used_where_it_is_fine_enough_else_said(tmp_path: Path) -> None:
    closes = np.round(30 + np.sin(np.arange(60)), 2)
    adjusted = np.round(np.where(np.arange(60) < 30, closes * (1 - 1.5 / closes[29]), closes), 2)
    data = read(tmp_path, table(closes, head="Date,Close,Volume,Adj Close\n", adjusted=adjusted))
    assert events(data)["dividend", DAYS[30]] == pytest.approx(1.5, abs=0.05)
    drift = closes * np.linspace(0.9, 1.0, 60)
    said = read(tmp_path, table(closes, head="Date,Close,Volume,Adj Close\n", adjusted=drift)).provenance.note
    assert "no dividends rebuilt" in said or "rebuilt from the adjusted close" in said
    up = np.where(np.arange(60) < 30, closes * 1.02, closes)
    data = read(tmp_path, table(closes, head="Date,Close,Volume,Adj Close\n", adjusted=up))
    assert (data.events, "no dividends rebuilt" in data.provenance.note) == ((), True)


KNOWN = {
    "AAPL": {
        date(2012, 11, 7): 2.65 / 7,
        date(2014, 5, 8): 3.29 / 7,
        date(2014, 8, 7): 0.47,
        date(2017, 8, 10): 0.63,
    },
    "MSFT": {date(2012, 11, 13): 0.23, date(2017, 8, 15): 0.39},
    "BAC": {date(2013, 6, 5): 0.01, date(2017, 8, 30): 0.12},
    "XOM": {date(2017, 8, 10): 0.77},
}
"""Dividends that were announced, on the basis of the prices of 2017 (Apple split 7:1 on 2014-06-09)."""
_FEW = {"AMZN", "GOOG", "FB", "BRK-A", "CHTR", "PCLN", "BABA", "AGFS", "PICO", "REX"}
"""Names that paid nothing in these years."""


def test_every_file_of_yahoos_is_read_with_its_dividends(shared_data: Path) -> None:
    files = sorted((shared_data / "stocknet" / "prices").glob("*.csv"))
    assert len(files) == 60
    for path in files:
        data = read_prices(path, path.stem)
        raw = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=(4, 5))
        raw = raw[~np.isnan(raw).any(axis=1)]
        assert data.bars.close.tolist() == raw[:, 0].tolist()
        assert all(event.kind == "dividend" for event in data.events)
        assert (len(data.events) == 0) == (path.stem in _FEW)
        # A holder who puts each dividend back into shares ends where the adjusted close says.
        shares = 1.0
        for event in data.events:
            before = data.bars.close[
                int(np.searchsorted(data.bars.sessions, np.datetime64(event.session))) - 1
            ]
            shares /= 1 - event.value / before
        growth = shares * raw[-1, 0] / raw[0, 0]
        assert growth == pytest.approx(raw[-1, 1] / raw[0, 1], rel=2e-4), path.stem
        for day, cash in KNOWN.get(path.stem, {}).items():
            assert events(data)["dividend", day] == pytest.approx(cash, abs=1e-4)


def test_dividends_that_look_wrong_in_the_source_are_named(shared_data: Path) -> None:
    """Visa's before its split of 2015 are those of old shares; Philip Morris's of 2012-12 are a tenth."""
    note = read_prices(shared_data / "stocknet" / "prices" / "V.csv", "V").provenance.note
    assert "from 2015-05-13 on about 0.25 times those before" in note
    note = read_prices(shared_data / "stocknet" / "prices" / "PM.csv", "PM").provenance.note
    assert "2012-12-20 and 2012-12-24" in note
