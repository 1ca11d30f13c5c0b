"""Positions beyond what a sizer aims at, and prices that are not known yet."""

from datetime import UTC, datetime

import pytest

from tests.envs.test_sizing import decide, observation
from tests.support.worlds_of_bars import market
from varve.envs.sizing import get_sizer
from varve.market import Observation
from varve.types import Order, Portfolio

# The account of these observations is worth 1,000 shares, of which a weight of 0.99 are 990.


@pytest.mark.parametrize(
    ("held", "action", "order"),
    [
        (700, "BUY", 250),
        (800, "BUY", 190),
        (990, "BUY", 0),
        (995, "BUY", 0),
        (1200, "BUY", 0),
        (1200, "HOLD", 0),
        (1200, "SELL", -250),
        (100, "SELL", -250),
        (-800, "SELL", -190),
        (-990, "SELL", 0),
        (-1200, "SELL", 0),
        (-1200, "BUY", 250),
        (-1200, "FLAT", 1200),
    ],
)
def test_a_fraction_more_goes_to_its_weight_and_never_back_to_it(held, action, order):
    seen = observation(held)
    made = get_sizer("fraction", shorting=True).orders(decide(action, seen), seen)
    assert made == ((Order("X", order),) if order else ())


@pytest.mark.parametrize(("held", "order"), [(100, -100), (300, -250), (0, 0), (-50, 0)])
def test_without_shorting_a_fraction_less_ends_at_none(held, order):
    seen = observation(held)
    made = get_sizer("fraction").orders(decide("SELL", seen), seen)
    assert made == ((Order("X", order),) if order else ())


@pytest.mark.parametrize("name", ["all_in", "fraction"])
def test_nothing_is_ordered_before_a_price_is_known(name):
    data = market([100.0] * 3, [100.0] * 3)
    early = datetime(2023, 1, 2, 14, 0, tzinfo=UTC)
    account = Portfolio("USD", 100_000.0, 100_000.0, {})
    seen = Observation(0, data["X"].instrument, early.date(), early, None, data.as_of(early), account)
    assert get_sizer(name).orders(decide("BUY", seen), seen) == ()


@pytest.mark.parametrize(
    ("held", "action", "shorting", "order"),
    [
        (0.5, "BUY", False, 0),
        (0.5, "SELL", True, -0.5),
        (-0.5, "SELL", True, 0),
        (-0.5, "BUY", True, 990.5),
    ],
)
def test_a_part_of_a_share_is_a_position_to_all_in(held, action, shorting, order):
    seen = observation(held, lot=0.5)
    made = get_sizer("all_in", shorting=shorting).orders(decide(action, seen), seen)
    assert made == ((Order("X", order),) if order else ())
