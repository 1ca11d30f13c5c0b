"""Where impact would make a price negative, and where there is no impact to speak of."""

import pytest

from tests.envs.test_exchange import exchange
from tests.support.worlds_of_bars import market
from varve.clock import to_ns
from varve.envs.costs import CostModel
from varve.types import Order

CLOSES = [100, 110, 99, 104, 103]
HUGE = CostModel(impact_coefficient=1e4, adv_sessions=3)


def held(model, quantity=90):
    """An exchange that holds ``quantity`` after its bars of no impact."""
    ex = exchange(market([100] * 5, CLOSES, volume=10_000), costs=model)
    ex.step((Order("X", quantity),))
    ex.step()
    return ex


def test_a_sale_never_pays_the_buyer_however_large_its_impact():
    ex = held(HUGE)
    assert ex.portfolio.positions == {"X": 90.0}
    (fill,) = ex.step((Order("X", -90),)).fills
    assert fill.price == 100 * 1e-6


def test_the_floor_of_a_price_is_a_millionth_and_no_more():
    sale = Order("X", -90)
    (whole,) = held(CostModel(impact_coefficient=1.0, adv_sessions=3)).step((sale,)).fills
    slip = 1 - whole.price / 100
    for left in (0.5, 2e-6, 5e-7):
        model = CostModel(impact_coefficient=(1 - left) / slip, adv_sessions=3)
        (fill,) = held(model).step((sale,)).fills
        assert fill.price == pytest.approx(100 * max(left, 1e-6), rel=1e-6)


def test_an_episode_of_one_step_is_over_after_it():
    ex = exchange(market([100] * 5, CLOSES))
    ex.reset(first=1, length=1)
    assert ex.step().truncated
    assert ex.done
    assert ex.equity_curve == (list(ex.sessions[1:3]), [10_000.0, 10_000.0])


def test_a_fill_is_at_its_bars_end_where_it_fills_at_the_close_else_at_its_start():
    for rule, name in (("next_open", "start_ns"), ("next_close", "end_ns"), ("same_close", "end_ns")):
        data = market([100] * 5, CLOSES)
        ex = exchange(data, fill_rule=rule)
        (fill,) = ex.step((Order("X", 1),)).fills
        assert to_ns(fill.filled_at) == getattr(data["X"].bars, name)[0 if rule == "same_close" else 1]
