"""A track of what was recorded; and of an old record, whose dividends are rebuilt from positions."""

from datetime import date
from itertools import accumulate
from types import SimpleNamespace

import pytest

from varve.backtests.results.track import _facts_of_old_record
from varve.types import CorporateEvent

DAYS = [date(2023, 1, day) for day in (3, 4, 5, 9)]


def received(position, *events):
    made = tuple(CorporateEvent("X", kind, date(2023, 1, day), value) for kind, day, value in events)
    data = SimpleNamespace(events=made, bars=SimpleNamespace(close=[1.0] * len(DAYS)))
    prepared = SimpleNamespace(data=data, window=SimpleNamespace(first=0))
    facts = _facts_of_old_record(prepared, DAYS, position)
    return list(accumulate((fact.dividends for fact in facts), initial=0.0))


@pytest.mark.parametrize(
    ("position", "total"),
    [
        ([0, 10, 10, 10], [0, 0, 5, 5]),
        ([0, 0, 10, 10], [0, 0, 0, 0]),  # bought on the ex-date
        ([0, 10, 0, 0], [0, 0, 5, 5]),  # sold on the ex-date
        ([0, -10, 0, 0], [0, 0, -5, -5]),  # a short pays
        ([0, 10, 30, 0], [0, 0, 5, 5]),
    ],
)
def test_the_holding_before_the_ex_date_is_paid(position, total):
    assert received(position, ("dividend", 5, 0.5)) == total


def test_a_split_of_the_same_day_comes_first_in_whatever_order_the_two_are_told():
    events = [("split", 5, 2.0), ("dividend", 5, 0.5)]
    assert received([0, 10, 20, 20], *events) == received([0, 10, 20, 20], *events[::-1]) == [0, 0, 10, 10]


def test_dividends_and_splits_of_one_day_add_up_and_multiply():
    events = [("dividend", 5, 0.5), ("dividend", 5, 0.25), ("split", 5, 2.0), ("split", 5, 3.0)]
    assert received([0, 10, 60, 60], *events) == [0, 0, 45, 45]
    assert received([0, 10, 10, 10], ("dividend", 5, 0.5), ("dividend", 9, 1.0)) == [0, 0, 5, 15]


def test_a_dividend_between_sessions_is_paid_with_the_next_and_one_outside_never():
    assert received([0, 10, 10, 0], ("dividend", 7, 1.0)) == [0, 0, 0, 10]
    assert (
        received([5, 5, 5, 5], ("dividend", 2, 1.0), ("dividend", 3, 1.0), ("dividend", 10, 1.0)) == [0] * 4
    )
