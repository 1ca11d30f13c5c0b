"""Prices that no market has are errors of the data, from any source; moves like a split are warned of."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.errors import DataError
from varve.market.calendars import get_calendar
from varve.market.data import BarSeries, InstrumentData, Provenance
from varve.market.sanity import check_prices, moves_sentence, split_like_moves
from varve.market.sources.source import Request, read_checked, source_of_file
from varve.types import CorporateEvent, Instrument

DAYS = get_calendar("XNYS").sessions(date(2023, 1, 3), date(2023, 12, 29))


def data(closes, *, splits=(), frequency="daily", **columns) -> InstrumentData:
    bars = BarSeries.from_sessions("XNYS", DAYS[: len(closes)], closes, **columns)
    events = tuple(CorporateEvent("X", "split", DAYS[n], ratio) for n, ratio in splits)
    origin = Provenance("test", "raw", "next_close", frequency=frequency)
    return InstrumentData(Instrument("X"), bars, origin, events=events)


@pytest.mark.parametrize("price", [1e308, 5e-324, 1e13, 1e-13])
def test_a_price_that_no_market_has_is_an_error(price: float) -> None:
    with pytest.raises(DataError, match=r"the close .* on 2023-01-04"):
        check_prices(data([100.0, price, 100.0]))
    with pytest.raises(DataError, match=r"the high .* on 2023-01-05"):
        check_prices(data([100.0] * 3, high=[100.0, 100.0, price]))


def test_negative_and_infinite_values_are_errors() -> None:
    for wrong in (
        {"low": [1.0, -1.0]},
        {"open": [1.0, np.inf]},
        {"volume": [1.0, -1.0]},
        {"volume": [1.0, 1e30]},
    ):
        with pytest.raises(DataError, match="2023-01-04"):
            check_prices(data([1.0, 1.0], **wrong))


@pytest.mark.parametrize("closes", [[1.0, 1000.0], [1000.0, 1.0], [5.0, 5.0, 0.004]])
def test_a_thousandfold_jump_is_an_error_but_for_a_split(closes: list[float]) -> None:
    with pytest.raises(DataError, match="no price becomes 1000 times itself"):
        check_prices(data(closes))
    check_prices(data([1000.0, 1.0], splits=[(1, 1000.0)]))
    check_prices(data([1.0, 999.0, 1.1]))


@pytest.mark.parametrize(
    "name", ["accepted_json_huge_close", "accepted_json_denormal_close", "accepted_json_1000x_jump_in_a_day"]
)
def test_hostile_files_of_another_source_meet_the_same_door(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "x.json"
    file.write_bytes((shared_data / "hostile" / f"{name}.txt").read_bytes())
    with pytest.raises(DataError) as caught:
        read_checked(source_of_file(file), Request("X", path=file))
    assert caught.value.mend


def test_a_file_of_prices_meets_it_too(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("date,close\n2023-01-03,1e300\n2023-01-04,1e300\n")
    with pytest.raises(DataError, match="2023-01-03"):
        read_checked(source_of_file(file), Request("X", path=file))
    file.write_text(json.dumps({}))


@given(
    ratio=st.sampled_from([2.0, 3.0, 4.0, 5.0, 10.0, 20.0]), noise=st.floats(-0.03, 0.03), up=st.booleans()
)
def test_a_move_like_a_split_is_found_and_an_event_explains_it(ratio: float, noise: float, up: bool) -> None:
    after = 100 * (ratio if up else 1 / ratio) * (1 + noise)
    [move] = split_like_moves(data([100.0, 100.0, after, after]))
    assert (move.session, move.ratio) == (DAYS[2], pytest.approx(1 / ratio if up else ratio))
    assert str(DAYS[2]) in moves_sentence([move])
    assert not split_like_moves(data([100.0, 100.0, after, after], splits=[(2, 1 / ratio if up else ratio)]))
    assert not split_like_moves(data([100.0, 100.0, after, after]), DAYS[2], None)
    assert not split_like_moves(data([100.0, 100.0, after, after], frequency="weekly"))


@settings(max_examples=50)
@given(st.lists(st.floats(-0.25, 0.25), min_size=3, max_size=60))
def test_usual_days_are_not_warned_of(moves: list[float]) -> None:
    assert split_like_moves(data(100 * np.cumprod(1 + np.array(moves)))) == []


def test_a_crash_of_two_fifths_is_no_split_and_a_synthetic_world_is_not_looked_at() -> None:
    assert split_like_moves(data([100.0, 60.0])) == []
    halved = data([100.0, 50.0])
    made_up = replace(halved, provenance=replace(halved.provenance, synthetic=True))
    assert (len(split_like_moves(halved)), split_like_moves(made_up)) == (1, [])
