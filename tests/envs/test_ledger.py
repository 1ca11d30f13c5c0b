"""The ledger against exact fractions: whole lots at any size, no dust, no cent unexplained."""

from datetime import UTC, date, datetime
from fractions import Fraction as Exact

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.envs.ledger import Ledger, from_lots, to_lots, whole_lots
from varve.errors import IntegrityError
from varve.types import Fill, Instrument

DAY, NOON = date(2023, 1, 3), datetime(2023, 1, 3, 12, tzinfo=UTC)
lot_sizes = st.sampled_from([1.0, 100.0, 0.5, 0.1, 0.01, 1e-4, 1e-8])


def fill(quantity, price, commission=0.0):
    return Fill("X", DAY, NOON, quantity, price, price, commission)


def ledger(lot=1.0, cash=1000.0):
    return Ledger({"X": Instrument("X", lot_size=lot)}, cash)


@given(lots=st.integers(-(10**13), 10**13), lot=lot_sizes)
def test_whole_lots_keep_every_lot_at_any_size(lots, lot):
    quantity = from_lots(lots, lot)
    assert to_lots(quantity, lot) == lots
    assert whole_lots(quantity, lot) == quantity


@given(quantity=st.floats(-1e9, 1e9), lot=lot_sizes)
def test_quantities_are_cut_toward_zero_and_never_by_a_whole_lot(quantity, lot):
    kept = Exact(to_lots(quantity, lot)) * Exact(str(lot))
    left = (Exact(quantity) - kept) * (1 if quantity >= 0 else -1)
    dust = Exact(str(lot)) / 10**8 + abs(Exact(quantity)) / 10**14
    assert -dust <= left < Exact(str(lot)) + dust


def test_a_tenth_and_two_tenths_are_three_tenths():
    assert whole_lots(0.1 + 0.2, 0.1) == 0.3
    assert whole_lots(0.3 - 0.1, 0.1) == 0.2
    assert whole_lots(1000.1234, 1e-4) == 1000.1234
    assert whole_lots(0.99999, 1.0) == 0.0


@settings(max_examples=200, deadline=None)
@given(
    trades=st.lists(
        st.tuples(st.integers(-(10**6), 10**6), st.floats(0.01, 5000), st.floats(0, 10)), max_size=40
    ),
    lot=lot_sizes,
)
def test_fills_add_up_exactly_in_lots_and_to_rounding_in_cash(trades, lot):
    account, cash, lots, paid = ledger(lot), Exact(1000), 0, 0.0
    for count, price, commission in trades:
        quantity = from_lots(count, lot)
        account.apply(fill(quantity, price, commission))
        lots += count
        cash -= Exact(quantity) * Exact(price) + Exact(commission)
        paid += commission
        assert account.positions["X"] == from_lots(lots, lot)
    flow = sum(abs(from_lots(n, lot)) * price + fee for n, price, fee in trades) + 1000
    assert account.cash == pytest.approx(float(cash), abs=1e-12 * flow)
    assert account.commissions == pytest.approx(paid)
    assert account.equity({"X": 7.0}) == account.cash + account.positions["X"] * 7.0


@given(
    held=st.integers(-5000, 5000), ratio=st.sampled_from([2.0, 3.0, 4.0, 1.5, 1.05, 0.5, 0.1, 1 / 3, 0.05])
)
def test_a_split_paid_out_in_cash_changes_no_wealth(held, ratio):
    account = ledger()
    account.apply(fill(float(held), 30.0))
    before = account.equity({"X": 30.0})
    price = 30.0 / ratio
    remainder = account.split("X", ratio)
    if remainder:
        account.apply(fill(-remainder, price))
    assert account.positions["X"] == int(account.positions["X"])
    assert abs(account.positions["X"]) <= abs(held) * ratio + 1e-6
    assert account.equity({"X": price}) == pytest.approx(before, abs=1e-9 * max(1, abs(held)) * 30)


def test_a_third_of_three_is_one_share_and_nothing_in_cash():
    account = ledger()
    account.apply(fill(3.0, 10.0))
    assert account.split("X", 1 / 3) == 0.0
    assert account.positions["X"] == 1.0


def test_dividends_are_received_by_longs_and_paid_by_shorts():
    account = ledger()
    account.apply(fill(-10.0, 5.0))
    assert account.dividend("X", 0.25) == -2.5
    assert (account.cash, account.dividends) == (1047.5, -2.5)


def test_one_ledger_holds_one_currency():
    with pytest.raises(IntegrityError, match="EUR, USD"):
        Ledger({"A": Instrument("A"), "B": Instrument("B", currency="EUR")}, 1.0)
    with pytest.raises(IntegrityError, match="none"):
        Ledger({}, 1.0)
