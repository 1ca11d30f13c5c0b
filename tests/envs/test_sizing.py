"""The sizing table of the docs, cell by cell, and what the sizers may know."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.worlds_of_bars import market
from varve.envs.sizing import get_sizer
from varve.errors import SettingError, UnknownNameError
from varve.market import Observation
from varve.types import Action, Decision, Failure, FailureReason, Intent, Order, Portfolio

TABLE = Path(__file__).parents[2] / "docs" / "runs" / "sizing.md"


def cells():
    rows = [line.strip("| \n").split("|") for line in TABLE.read_text().splitlines() if line.startswith("|")]
    header, *body = [[cell.strip() for cell in row] for row in rows if "---" not in row[0]]
    for sizer, action, *orders in body:
        for position, order in zip(header[2:], orders, strict=True):
            held = 0 if position == "flat" else int(position.split()[1]) * (-1 if "short" in position else 1)
            yield sizer, action, held, 0 if order == "none" else int(order)


def observation(position, *, close=100.0, lot=1.0):
    data = market([close] * 3, [close] * 3, lot=lot)
    at = datetime(2023, 1, 4, 14, 0, tzinfo=UTC)
    held = {"X": float(position)} if position else {}
    account = Portfolio("USD", 100_000 - position * close, 100_000.0, held)
    return Observation(0, data["X"].instrument, at.date(), at, None, data.as_of(at), account)


def decide(action, seen):
    return Decision((Intent(seen.instrument, Action(action)),))


@pytest.mark.parametrize(("sizer", "action", "held", "order"), list(cells()))
def test_every_cell_of_the_table(sizer, action, held, order):
    name, _, shorting = sizer.partition(", ")
    made = get_sizer(name, **({"shorting": True} if shorting else {}))
    seen = observation(held)
    assert made.orders(decide(action, seen), seen) == ((Order("X", order),) if order else ())


def test_the_table_covers_every_sizer_action_and_position():
    assert len(list(cells())) == 5 * 4 * 3


@pytest.mark.parametrize("name", ["all_in", "fraction", "finmem_unit"])
def test_a_failure_never_makes_an_order(name):
    seen = observation(500)
    failed = Decision(failure=Failure(FailureReason.EMPTY_REPLY, "nothing came"))
    assert get_sizer(name).orders(failed, seen) == ()


def test_quantities_are_whole_lots():
    seen = observation(0, close=1_733.0, lot=1e-4)
    (order,) = get_sizer("all_in").orders(decide("BUY", seen), seen)
    assert order.quantity == 57.1263
    seen = observation(0, close=1_733.0)
    assert get_sizer("all_in").orders(decide("BUY", seen), seen) == (Order("X", 57.0),)


def test_unknown_sizers_and_settings_are_named():
    with pytest.raises(UnknownNameError, match="all_in"):
        get_sizer("allin")
    with pytest.raises(SettingError, match="did you mean 'weight'"):
        get_sizer("all_in", wieght=0.5)
