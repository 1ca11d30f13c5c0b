"""What becomes of a wish: orders that a cap cut are worked off, and every cut is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.worlds_of_bars import market
from varve.envs.costs import CostModel, get_costs
from varve.envs.desk import Became, Desk, in_words
from varve.envs.exchange import Exchange
from varve.envs.sizing import AllIn, FinMemUnit, Fraction
from varve.market.observation import Observation
from varve.types import Action, Decision, Failure, FailureReason, Intent

CAPPED = CostModel(participation_cap=0.05)
BUY, SELL, FLAT, HOLD, FAILED = "BUY", "SELL", "FLAT", "HOLD", "FAILED"


class Account:
    """A desk over a real exchange; each call of :meth:`act` is one day."""

    def __init__(self, data, sizer=None, costs=CAPPED, **options):
        self.data, self.instrument = data, data["X"].instrument
        self.exchange = Exchange(
            data, ("X",), costs=costs, initial_cash=options.pop("cash", 100_000.0), **options
        )
        self.desk = Desk(sizer or AllIn(), self.instrument)

    def act(self, action):
        exchange = self.exchange
        at = exchange.decision_at
        seen = Observation(
            exchange.index,
            self.instrument,
            exchange.session,
            at,
            None,
            self.data.as_of(at),
            exchange.portfolio,
        )
        if action == FAILED:
            decision = Decision(failure=Failure(FailureReason.EMPTY_REPLY, "nothing"))
        else:
            decision = Decision((Intent(self.instrument, Action(action)),))
        result = exchange.step(self.desk.orders(decision, seen))
        return self.desk.settle(result)

    @property
    def position(self):
        return self.exchange.portfolio.position("X")


def thin(bars=12, volume=1_000, **options):
    return market([10.0] * bars, [10.0] * bars, volume=volume, **options)


def test_hold_works_off_what_was_capped_until_the_target_is_reached():
    account = Account(thin(), AllIn(weight=0.015))
    first = account.act(BUY)
    assert first == (Became("X", "BUY", 150.0, 50.0, 100.0, "participation_capped"),)
    assert account.act(HOLD) == (Became("X", "HOLD", 100.0, 50.0, 50.0, "participation_capped"),)
    assert account.act(HOLD) == (Became("X", "HOLD", 50.0, 50.0, 0.0, ""),)
    assert account.act(HOLD) == ()
    assert account.position == 150.0


def test_buy_again_goes_on_and_sell_or_flat_replaces():
    account = Account(thin())
    account.act(BUY)
    assert account.act(BUY)[0].filled == 50.0
    assert account.act(SELL) == (Became("X", "SELL", -100.0, -50.0, -50.0, "participation_capped"),)
    assert account.act(HOLD)[0].filled == -50.0
    assert (account.position, account.act(HOLD)) == (0.0, ())
    account.act(BUY)
    account.act(FLAT)
    assert (account.position, account.act(HOLD)) == (0.0, ())


def test_a_target_that_nothing_was_filled_of_stays_open():
    account = Account(thin(volume=15), AllIn(weight=0.001))
    assert account.act(BUY) == (Became("X", "BUY", 10.0, 0.0, 10.0, "participation_capped"),)
    assert account.act(HOLD)[0].left == 10.0


def test_a_failed_decision_orders_nothing_and_leaves_the_target():
    account = Account(thin(), AllIn(weight=0.015))
    account.act(BUY)
    assert account.act(FAILED) == ()
    assert (account.position, account.desk.left) == (50.0, 100.0)
    assert account.act(HOLD)[0].filled == 50.0


@pytest.mark.parametrize("rule", ["next_open", "next_close", "same_close"])
@pytest.mark.parametrize("failing", [False, True])
def test_a_split_scales_what_is_left(rule, failing):
    closes = [10.0] * 4 + [5.0] * 12
    data = market(closes, closes, volume=1_000, events=[("split", 4, 2.0)])
    account = Account(data, AllIn(weight=0.025), fill_rule=rule)
    account.act(HOLD)
    account.act(BUY)
    account.act(FAILED if failing else HOLD)
    before = (account.position, account.desk.left)
    account.act(FAILED if failing else HOLD)
    assert account.position + account.desk.left == 2 * sum(before)
    assert account.desk.left > 0
    for _ in range(10):
        account.act(HOLD)
    assert (account.position, account.desk.left) == (2 * sum(before), 0.0)


def test_it_can_be_turned_off():
    account = Account(thin(), AllIn(work_off=False))
    assert account.act(BUY)[0].left == 0.0
    assert account.act(HOLD) == ()
    assert account.position == 50.0


def test_what_cash_cut_is_not_ordered_again():
    account = Account(market([10, 10, 12, 12], [10, 10, 12, 12]), AllIn(weight=1.0), costs=get_costs("zero"))
    account.act(HOLD)
    (became,) = account.act(BUY)
    assert (became.reason, became.left) == ("cash_clipped", 0.0)
    assert account.act(HOLD) == ()


def test_what_was_capped_and_then_cut_by_cash_is_over():
    account = Account(
        thin(), AllIn(weight=1.0), cash=1_000.0, costs=CostModel(participation_cap=0.05, commission_minimum=5)
    )
    account.exchange.ledger.cash = 300.0
    (became,) = account.act(BUY)
    assert (became.filled, became.left, became.reason) == (29.0, 0.0, "cash_clipped")
    assert account.act(HOLD) == ()


@pytest.mark.parametrize(
    ("sizer", "price", "action", "reason"),
    [
        (AllIn(), 470_000.0, BUY, "below_one_lot"),
        (Fraction(fraction=0.25), 30_000.0, BUY, "below_one_lot"),
        (AllIn(), 10.0, SELL, "nothing_held"),
        (AllIn(), 10.0, FLAT, "nothing_held"),
        (FinMemUnit(), 10.0, FLAT, "nothing_held"),
        (AllIn(shorting=True), 470_000.0, SELL, "below_one_lot"),
    ],
)
def test_a_wish_without_an_order_says_why(sizer, price, action, reason):
    account = Account(market([price] * 4, [price] * 4), sizer, shorting=sizer.allows_short)
    assert account.act(action) == (Became("X", action, 0.0, 0.0, 0.0, reason),)
    assert in_words(Became("X", action, 0.0, 0.0, 0.0, reason)).startswith("no order: ")


def test_a_second_buy_says_that_the_position_is_there():
    account = Account(market([10.0] * 5, [10.0] * 5))
    account.act(BUY)
    assert account.act(BUY)[0].reason == "already_there"


actions = st.lists(st.sampled_from([BUY, SELL, FLAT, HOLD, HOLD, HOLD, FAILED]), min_size=5, max_size=25)


@settings(max_examples=150, deadline=None)
@given(actions=actions, volume=st.integers(10, 3_000), shorting=st.booleans(), fraction=st.booleans())
def test_position_and_what_is_left_are_the_target_that_the_decisions_left(
    actions, volume, shorting, fraction
):
    """An independent account of the rule: the target is what the last BUY, SELL or FLAT asked for."""
    sizer = Fraction(shorting=shorting) if fraction else AllIn(shorting=shorting)
    account = Account(thin(30, volume), sizer, shorting=shorting)
    target = 0.0
    for action in actions:
        before = account.position
        became = account.act(action)
        for one in became:
            assert one.filled == account.position - before
            if one.action != HOLD:
                target = before + one.ordered
            if one.reason in ("cash_clipped", "short_not_allowed"):
                target = account.position
        if action == FAILED:
            assert account.position == before
        assert account.position + account.desk.left == target


IDLE = [1e6, 1e6, 0.0, 0.0, 1e6, 1e6, 1e6]
"""The order of the second day meets two bars without trades."""


def with_idle_bars(volume=IDLE, **options):
    closes = [10.0] * len(volume)
    return Account(market(closes, closes, volume=volume, **options), AllIn(weight=0.5))


def test_a_bar_without_trades_fills_nothing_and_the_order_waits():
    account = with_idle_bars()
    account.act(HOLD)
    assert account.act(BUY) == (Became("X", "BUY", 5_000.0, 0.0, 5_000.0, "no_trades"),)
    assert account.act(HOLD) == (Became("X", "HOLD", 5_000.0, 0.0, 5_000.0, "no_trades"),)
    assert "the order waits" in in_words(Became("X", "HOLD", 5_000.0, 0.0, 5_000.0, "no_trades"))
    assert account.position == 0.0
    assert account.act(HOLD) == (Became("X", "HOLD", 5_000.0, 5_000.0, 0.0, ""),)
    assert (account.position, account.act(HOLD)) == (5_000.0, ())


@pytest.mark.parametrize("way_back", [SELL, FLAT])
def test_a_waiting_order_is_taken_back_by_a_decision_the_other_way(way_back):
    account = with_idle_bars()
    account.act(HOLD)
    account.act(BUY)
    account.act(way_back)
    account.act(HOLD)
    assert (account.position, account.exchange.fills) == (0.0, [])


def test_a_failed_decision_leaves_a_waiting_order_as_it_is():
    account = with_idle_bars()
    account.act(HOLD)
    account.act(BUY)
    account.act(FAILED)
    account.act(FAILED)
    assert (account.position, account.desk.waiting) == (5_000.0, 0.0)


def test_a_split_on_a_bar_without_trades_scales_the_order_that_waits():
    account = with_idle_bars(events=[("split", 3, 2.0)])
    account.act(HOLD)
    account.act(BUY)
    assert account.act(HOLD)[0].left == 10_000.0
    account.act(HOLD)
    assert account.position == 10_000.0


@pytest.mark.parametrize("volume", [[0.0] * 7, [0.0, 0.0, 0.0, 1e6, 1e6, 1e6, 1e6]])
def test_a_series_that_had_no_volume_so_far_fills_as_before(volume):
    """Only earlier bars say that a series trades: what comes later is not known on the day."""
    account = with_idle_bars(volume)
    account.act(BUY)
    assert account.position > 0
