"""Fills, costs, corporate events and clipping, each computed by hand; properties of the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.worlds_of_bars import market
from varve.envs.costs import CostModel, get_costs
from varve.envs.exchange import Exchange
from varve.errors import IntegrityError, NoDataError, UnknownNameError, UsageError
from varve.market import MarketData
from varve.types import Order

ZERO = get_costs("zero")


def exchange(data, *, cash=10_000.0, costs=ZERO, **options):
    return Exchange(data, tuple(data.instruments), costs=costs, initial_cash=cash, **options)


def test_an_order_fills_at_the_next_open_and_is_marked_at_its_close():
    ex = exchange(market([10, 20, 30], [11, 22, 33]))
    result = ex.step((Order("X", 100),))
    (fill,) = result.fills
    assert (fill.price, fill.quantity, fill.session) == (20.0, 100.0, ex.sessions[1])
    assert result.equity == 10_000 + 100 * (22 - 20)
    assert result.reward == pytest.approx(0.02)
    assert ex.step().truncated
    assert ex.equity == 10_000 + 100 * (33 - 20)


def test_without_opens_an_order_fills_at_the_next_close():
    ex = exchange(market(None, [11, 22, 33], fill_rule="next_close"))
    result = ex.step((Order("X", 100),))
    assert result.fills[0].price == 22.0
    assert result.equity == 10_000.0


def test_same_close_fills_at_the_price_already_read_and_only_when_asked_for():
    ex = exchange(market([10, 20, 30], [11, 22, 33]), fill_rule="same_close")
    result = ex.step((Order("X", 100),))
    assert result.fills[0].price == 11.0
    assert result.fills[0].session == ex.sessions[0]
    assert result.equity == 10_000 + 100 * (22 - 11)


def test_an_open_is_never_made_up():
    with pytest.raises(IntegrityError, match="never made up"):
        exchange(market(None, [11, 22, 33]), fill_rule="next_open")


def test_half_spread_commission_and_impact_by_hand():
    costs = CostModel(
        commission_bps=10,
        commission_per_share=0.01,
        half_spread_bps=20,
        impact_coefficient=0.5,
        adv_sessions=3,
    )
    closes = [100, 110, 99, 104]
    ex = exchange(market([100, 100, 100, 100], closes, volume=10_000), costs=costs)
    ex.step()
    ex.step()
    result = ex.step((Order("X", 50),))
    sigma = np.std([0.1, 99 / 110 - 1], ddof=1)
    price = 100 * (1 + 0.002 + 0.5 * sigma * (50 / 10_000) ** 0.5)
    (fill,) = result.fills
    assert fill.price == pytest.approx(price, rel=1e-12)
    assert fill.commission == pytest.approx(50 * price * 0.001 + 0.5, rel=1e-12)
    assert result.equity == pytest.approx(10_000 - 50 * price - fill.commission + 50 * 104, rel=1e-12)


def test_without_volume_the_half_spread_doubles_and_nothing_else_is_charged():
    costs = CostModel(half_spread_bps=10, impact_coefficient=5, participation_cap=0.01)
    ex = exchange(market([100, 100], [100, 100]), costs=costs)
    (fill,) = ex.step((Order("X", 50),)).fills
    assert fill.price == pytest.approx(100.2)
    assert fill.quantity == 50
    assert costs.rate(has_volume=False) == pytest.approx(0.002)


def test_minimum_commission():
    assert CostModel(commission_bps=1, commission_minimum=2.0).commission(10, 100.0) == 2.0
    assert CostModel(commission_bps=100, commission_minimum=2.0).commission(10, 100.0) == 10.0


def test_what_the_fill_price_makes_unaffordable_is_cut_and_named():
    costs = CostModel(commission_bps=100)
    ex = exchange(market([10, 20, 20], [10, 20, 20]), costs=costs, cash=1_000.0)
    (fill,) = ex.step((Order("X", 99),)).fills
    assert (fill.quantity, fill.clipped) == (49.0, "cash_clipped")  # 49 × 20.20 = 989.8; 50 would cost 1,010
    assert ex.ledger.cash == pytest.approx(1_000 - 49 * 20.2)


def test_the_participation_cap_cuts_and_is_named():
    ex = exchange(market([10] * 3, [10] * 3, volume=1_000), costs=CostModel(participation_cap=0.05))
    (fill,) = ex.step((Order("X", 400),)).fills
    assert (fill.quantity, fill.clipped) == (50.0, "participation_capped")


def test_selling_more_than_held_is_cut_unless_shorting_is_on():
    ex = exchange(market([10] * 4, [10] * 4))
    ex.step((Order("X", 10),))
    (fill,) = ex.step((Order("X", -30),)).fills
    assert (fill.quantity, fill.clipped) == (-10.0, "short_not_allowed")
    assert ex.step((Order("X", -5),)).fills == ()
    short = exchange(market([10] * 4, [10, 10, 8, 8]), shorting=True)
    short.step((Order("X", -30),))
    assert short.step().equity == 10_000 + 30 * 2


def test_a_short_is_kept_within_the_equity():
    ex = exchange(market([10] * 3, [10] * 3), shorting=True, cash=1_000.0)
    (fill,) = ex.step((Order("X", -500),)).fills
    assert (fill.quantity, fill.clipped) == (-100.0, "cash_clipped")


def test_ruin_terminates_and_no_step_follows():
    ex = exchange(market([10, 10, 30], [10, 10, 30]), shorting=True, cash=1_000.0)
    ex.step((Order("X", -100),))
    result = ex.step()
    assert (result.terminated, result.truncated) == (True, False)
    assert result.equity <= 0
    with pytest.raises(UsageError, match="no next bar"):
        ex.step()


def test_a_split_scales_position_and_pending_order_and_pays_fractions_in_cash():
    ex = exchange(market([30, 30, 10, 10], [30, 30, 10, 10], events=[("split", 2, 1.5)]))
    ex.step((Order("X", 3),))
    result = ex.step((Order("X", 1),))
    in_lieu, bought = result.fills
    assert (in_lieu.quantity, in_lieu.price, in_lieu.clipped) == (-0.5, 10.0, "cash_in_lieu")  # 4.5 shares
    assert (bought.quantity, bought.price) == (1.0, 10.0)  # 1.5 ordered shares are 1 whole one
    assert ex.portfolio.position("X") == 5.0
    assert result.equity == pytest.approx(10_000 - 90 + 5 + 40)


def test_a_dividend_goes_to_who_held_before_the_ex_date_and_is_paid_by_shorts():
    data = market([10] * 4, [10] * 4, events=[("dividend", 2, 0.5)])
    ex = exchange(data)
    ex.step((Order("X", 100),))
    assert ex.step((Order("X", 100),)).equity == 10_050.0
    assert ex.ledger.dividends == 50.0
    short = exchange(data, shorting=True)
    short.step((Order("X", -100),))
    assert short.step().equity == 9_950.0


def test_a_pending_order_waits_for_the_next_bar_that_exists():
    full, gappy = market([10] * 5, [10] * 5), market([20, 22, 24], [20, 22, 24], symbol="Y", skip=(1, 2))
    ex = exchange(MarketData({**full.instruments, **gappy.instruments}))
    assert ex.step((Order("Y", 5),)).fills == ()
    assert ex.step().fills == ()
    (fill,) = ex.step().fills
    assert (fill.symbol, fill.price) == ("Y", 22.0)


def test_currencies_do_not_mix():
    euro = market([10] * 3, [10] * 3, symbol="Y", currency="EUR")
    with pytest.raises(IntegrityError, match="EUR, USD"):
        exchange(MarketData({**market([10] * 3, [10] * 3).instruments, **euro.instruments}))


def test_small_lots_leave_no_dust():
    ex = exchange(market(None, [1000.0] * 60, fill_rule="next_close", calendar="24/7", lot=1e-4))
    for i in range(50):
        ex.step((Order("X", 0.0003 if i < 25 else -0.0003),))
    assert ex.portfolio.position("X") == 0.0
    assert dict(ex.portfolio.positions) == {}


@pytest.mark.parametrize(("name", "near"), [("retial", "retail"), ("zeero", "zero")])
def test_an_unknown_preset_is_named_with_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=near):
        get_costs(name)


def test_orders_for_others_and_windows_without_sessions_are_refused():
    ex = exchange(market([10] * 3, [10] * 3))
    with pytest.raises(UsageError, match="'Z'"):
        ex.step((Order("Z", 1),))
    from datetime import date

    with pytest.raises(NoDataError, match="at least 2"):
        exchange(market([10] * 3, [10] * 3), start=date(2023, 1, 7), end=date(2023, 1, 8))


prices = st.lists(st.floats(5, 500), min_size=4, max_size=25)
costs_drawn = st.builds(
    CostModel,
    commission_bps=st.floats(0, 50),
    commission_minimum=st.floats(0, 5),
    half_spread_bps=st.floats(0, 50),
    impact_coefficient=st.floats(0, 1),
    participation_cap=st.one_of(st.none(), st.floats(0.001, 1)),
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), opens=prices, model=costs_drawn, shorting=st.booleans())
def test_equity_is_cash_and_positions_and_every_cent_is_explained(data, opens, model, shorting):
    n = len(opens)
    closes = data.draw(st.lists(st.floats(5, 500), min_size=n, max_size=n))
    orders = data.draw(st.lists(st.integers(-200, 200), min_size=n - 1, max_size=n - 1))
    ex = exchange(market(opens, closes, volume=5_000), costs=model, shorting=shorting)
    flow, held = 0.0, 0.0
    for quantity in orders:
        if ex.done:
            break
        result = ex.step((Order("X", quantity),))
        if result.terminated:
            assert dict(ex.portfolio.positions) == {}
            assert ex.ledger.cash == pytest.approx(result.equity)
            break
        for fill in result.fills:
            assert fill.quantity == int(fill.quantity)
            assert abs(fill.quantity) <= abs(quantity)
            assert fill.quantity * quantity > 0
            flow -= fill.quantity * fill.price + fill.commission
            held += fill.quantity
            better = fill.price - fill.reference_price
            assert better * fill.quantity >= 0
        assert ex.portfolio.position("X") == held
        assert shorting or (held >= 0 and ex.ledger.cash >= -1e-9)
        assert result.equity == pytest.approx(10_000 + flow + held * closes[ex.index], abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), opens=prices)
def test_fills_up_to_a_bar_do_not_hang_on_later_bars(data, opens):
    n = len(opens)
    cut = data.draw(st.integers(1, n - 2))
    orders = data.draw(st.lists(st.integers(-50, 50), min_size=cut, max_size=cut))
    other = opens[: cut + 1] + [p * 1.5 for p in opens[cut + 1 :]]

    def fills(series):
        ex = exchange(market(series, series, volume=900), costs=get_costs("retail"))
        return [ex.step((Order("X", q),)).fills for q in orders]

    assert fills(opens) == fills(other)
