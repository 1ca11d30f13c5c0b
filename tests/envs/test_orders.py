"""What becomes of orders: adding up, waiting, cutting, refusing, and ruin."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.worlds_of_bars import market
from varve.envs.costs import CostModel, get_costs
from varve.envs.exchange import Exchange
from varve.errors import IntegrityError, SettingError, UsageError
from varve.market import MarketData
from varve.market.perturb import scramble_after
from varve.types import CorporateEvent, Order

ZERO = get_costs("zero")


def exchange(data, *, cash=10_000.0, costs=ZERO, **options):
    return Exchange(data, tuple(data.instruments), costs=costs, initial_cash=cash, **options)


def two(first, second):
    return MarketData({**first.instruments, **second.instruments})


def test_orders_of_one_step_add_up_and_opposite_ones_cancel():
    ex = exchange(market([10] * 4, [10] * 4))
    assert [f.quantity for f in ex.step((Order("X", 5), Order("X", 7))).fills] == [12.0]
    result = ex.step((Order("X", 5), Order("X", -5)))
    assert (result.fills, result.unfilled) == ((), ())


def test_a_waiting_order_is_replaced_by_a_newer_one_and_cancelled_by_zero():
    data = two(market([10] * 5, [10] * 5), market([20, 22, 24], [20, 22, 24], symbol="Y", skip=(1, 2)))
    replaced, cancelled = exchange(data), exchange(data)
    for ex, newer in ((replaced, 3), (cancelled, 0)):
        ex.step((Order("Y", 5),))
        ex.step((Order("Y", newer),))
    assert [f.quantity for f in replaced.step().fills] == [3.0]
    assert cancelled.step().fills == ()


@pytest.mark.parametrize("quantity", [float("nan"), float("inf"), -float("inf")])
def test_an_order_for_no_finite_quantity_is_refused_and_changes_nothing(quantity):
    ex = exchange(market([10] * 3, [10] * 3))
    with pytest.raises(UsageError, match="finite"):
        ex.step((Order("X", 5), Order("X", quantity)))
    assert ex.index == 0
    assert ex.step().fills == ()


@pytest.mark.parametrize(
    ("quantity", "costs", "reason"),
    [
        (-5, ZERO, "short_not_allowed"),
        (0.4, ZERO, "below_one_lot"),
        (5_000, CostModel(commission_minimum=10_001), "cash_clipped"),
        (5, CostModel(participation_cap=0.0001), "participation_capped"),
    ],
)
def test_an_order_of_which_nothing_fills_says_why_and_is_gone(quantity, costs, reason):
    ex = exchange(market([10] * 3, [10] * 3, volume=1_000), costs=costs)
    result = ex.step((Order("X", quantity),))
    assert result.fills == ()
    assert result.unfilled == (("X", ex.session, quantity, reason),)
    result = ex.step()
    assert (result.fills, result.unfilled) == ((), ())


def test_a_sale_that_brings_less_than_its_commission_makes_no_debt():
    data = market([10, 10, 1, 1], [10, 10, 1, 1])
    ex = exchange(data, costs=CostModel(commission_minimum=5), cash=15.0)
    ex.step((Order("X", 1),))
    assert ex.step((Order("X", -1),)).unfilled[0].reason == "cash_clipped"
    assert (ex.ledger.cash, ex.portfolio.position("X")) == (0.0, 1.0)


def test_a_bare_short_is_bought_back_whatever_the_price():
    ex = exchange(market([10, 10, 19.9, 19.9], [10, 10, 19.9, 19.9]), shorting=True, cash=1_000.0)
    ex.step((Order("X", -100),))
    (fill,) = ex.step((Order("X", 100),)).fills
    assert (fill.quantity, fill.clipped) == (100.0, None)
    assert ex.equity == pytest.approx(10.0)


def test_sales_come_before_purchases_on_the_same_bar():
    data = two(market([10] * 4, [10] * 4), market([10] * 4, [10] * 4, symbol="Y"))
    ex = exchange(data, cash=1_000.0)
    ex.step((Order("X", 100),))
    fills = ex.step((Order("Y", 100), Order("X", -100))).fills
    assert [(f.symbol, f.quantity, f.clipped) for f in fills] == [("X", -100.0, None), ("Y", 100.0, None)]


models = st.builds(
    CostModel,
    commission_bps=st.floats(0, 100),
    commission_per_share=st.floats(0, 0.5),
    commission_minimum=st.floats(0, 20),
    half_spread_bps=st.floats(0, 100),
    impact_coefficient=st.floats(0, 20),
)


@settings(max_examples=200, deadline=None)
@given(model=models, cash=st.floats(50, 1e6), price=st.floats(1, 400), lot=st.sampled_from([1.0, 0.01, 1e-4]))
def test_a_cut_purchase_is_the_largest_that_cash_can_pay(model, cash, price, lot):
    data = market([price] * 5, [price, price * 1.03, price * 0.98, price, price], volume=5e3, lot=lot)
    ex = exchange(data, costs=model, cash=cash)
    ex.step()
    ex.step()
    result = ex.step((Order("X", 1e7),))
    bought = result.fills[0].quantity if result.fills else 0.0
    assert ex.ledger.cash >= 0.0
    again = exchange(data, costs=model, cash=cash)
    again.step()
    again.step()
    more = again.step((Order("X", bought + lot),)).fills
    assert (more[0].quantity if more else 0.0) == bought


@settings(max_examples=150, deadline=None)
@given(data=st.data(), model=models, n=st.integers(4, 12))
def test_an_opening_fill_keeps_gross_exposure_within_equity(data, model, n):
    drawn = st.lists(st.floats(5, 50), min_size=n, max_size=n)
    symbols = {s: (data.draw(drawn), data.draw(drawn)) for s in ("X", "Y")}
    books = [market(*prices, symbol=s, volume=1e5) for s, prices in symbols.items()]
    ex = exchange(two(*books), costs=model, shorting=True)
    orders = st.lists(st.integers(-900, 900), min_size=2, max_size=2)
    while not ex.done:
        wanted = data.draw(orders)
        before = dict(ex.ledger.positions)
        fills = ex.step((Order("X", wanted[0]), Order("Y", wanted[1]))).fills
        if not fills or any(f.clipped == "ruined" for f in fills):
            continue
        last = fills[-1]
        grew = abs(ex.ledger.positions[last.symbol]) > abs(before[last.symbol])
        if grew:
            marks = {s: prices[0][ex.index] for s, prices in symbols.items()}
            gross = sum(abs(q) * marks[s] for s, q in ex.ledger.positions.items())
            assert gross <= ex.ledger.equity(marks) + 1e-6


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.integers(1, 60), min_size=1, max_size=6), sell=st.booleans())
def test_an_order_in_parts_is_the_order_in_one_piece(parts, sell):
    sign = -1 if sell else 1
    whole, split = (exchange(market([10, 11, 12], [10, 12, 13]), shorting=True) for _ in range(2))
    whole.step((Order("X", sign * sum(parts)),))
    split.step(tuple(Order("X", sign * part) for part in parts))
    assert whole.step() == split.step()
    assert whole.fills == split.fills


def test_ruin_closes_every_position_at_the_close_and_ends():
    data = two(market([10, 10, 30, 30], [10, 10, 30, 30]), market([5] * 4, [5] * 4, symbol="Y"))
    ex = exchange(data, shorting=True, cash=1_000.0)
    ex.step((Order("X", -80), Order("Y", 20)))
    result = ex.step((Order("Y", 1),))
    assert (result.terminated, result.truncated, ex.done) == (True, False, True)
    closing = [(f.symbol, f.quantity, f.price, f.commission) for f in result.fills if f.clipped == "ruined"]
    assert closing == [("X", 80.0, 30.0, 0.0), ("Y", -20.0, 5.0, 0.0)]
    assert result.equity == 1_000 - 80 * 20 == ex.ledger.cash
    assert (dict(ex.portfolio.positions), ex.equity) == ({}, ex.ledger.cash)
    assert ex.fills[-2:] == list(result.fills[-2:])
    with pytest.raises(UsageError, match="no next bar"):
        ex.step()


def test_calendars_do_not_mix():
    crypto = market(None, [10] * 4, symbol="Y", calendar="24/7", fill_rule="next_close")
    with pytest.raises(SettingError, match="24/7, XNYS"):
        exchange(two(market([10] * 3, [10] * 3), crypto), fill_rule="next_close")


@pytest.mark.parametrize("cash", [0.0, -5.0, float("nan"), float("inf")])
def test_an_account_starts_with_money(cash):
    with pytest.raises(SettingError, match="initial cash"):
        exchange(market([10] * 3, [10] * 3), cash=cash)


def test_an_open_is_asked_for_only_where_a_fill_can_fall():
    whole = market([10] * 5, [10] * 5)["X"]
    opens = whole.bars.open.copy()
    opens[:2] = np.nan
    gappy = MarketData({"X": replace(whole, bars=replace(whole.bars, open=opens))})
    assert exchange(gappy, start=whole.bars.session(1)).step((Order("X", 1),)).fills[0].price == 10.0
    with pytest.raises(IntegrityError, match=str(whole.bars.session(1))):
        exchange(gappy)


def test_whether_there_is_volume_is_told_from_bars_so_far():
    whole = market([10] * 5, [10] * 5, volume=100)["X"]
    volume = whole.bars.volume.copy()
    volume[:3] = np.nan
    ex = exchange(MarketData({"X": replace(whole, bars=replace(whole.bars, volume=volume))}))
    seen = [ex.has_volume("X")]
    while not ex.done:
        ex.step()
        seen.append(ex.has_volume("X"))
    assert seen == [False, False, False, True, True]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), rule=st.sampled_from(["next_open", "next_close", "same_close"]))
def test_another_future_leaves_fills_refusals_and_equity_as_they_were(data, rule):
    n = 14
    prices = data.draw(st.lists(st.floats(5, 50), min_size=n, max_size=n))
    orders = data.draw(st.lists(st.integers(-300, 300), min_size=n - 1, max_size=n - 1))
    cut = data.draw(st.integers(1, n - 2))
    events = [("split", 4, 2.0), ("dividend", 6, 0.5), ("split", 9, 0.25), ("dividend", 12, 0.5)]
    whole = market(prices, prices[::-1], volume=2_000, events=events)["X"]
    other = scramble_after(whole, whole.bars.bar(cut).end)
    assert not np.array_equal(other.bars.close, whole.bars.close)

    def replay(instrument):
        ex = exchange(MarketData({"X": instrument}), costs=get_costs("retail"), fill_rule=rule, shorting=True)
        return [ex.step((Order("X", q),)) for q in orders[:cut] if not ex.done]

    assert replay(whole) == replay(other)


def test_a_split_on_a_day_without_a_bar_takes_effect_with_the_next():
    gappy = market([30, 30, 10, 10], [30, 30, 10, 10], symbol="Y", skip=(2,))["Y"]
    full = market([10] * 5, [10] * 5)
    split = CorporateEvent("Y", "split", full["X"].bars.session(2), 3.0)
    ex = exchange(MarketData({"X": full["X"], "Y": replace(gappy, events=(split,))}))
    equity = [ex.step((Order("Y", 10),) if i == 0 else ()).equity for i in range(4)]
    assert equity == [10_000.0] * 4
    assert ex.portfolio.position("Y") == 30.0


def test_a_waiting_order_is_split_with_the_shares_it_is_for():
    gappy = market([30, 10, 10], [30, 10, 10], symbol="Y", skip=(1,), events=[("split", 1, 3.0)])
    ex = exchange(two(market([10] * 4, [10] * 4), gappy))
    assert ex.step((Order("Y", 4),)).fills == ()
    (fill,) = ex.step().fills
    assert (fill.quantity, fill.price) == (12.0, 10.0)
