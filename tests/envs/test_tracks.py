"""What the exchange needs of the data: events in their order and window, activity from earlier bars alone."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from tests.envs.test_exchange import exchange
from tests.support.worlds_of_bars import market
from varve.envs.costs import CostModel, get_costs
from varve.envs.tracks import make_track, split_ratios
from varve.types import CorporateEvent, Order

CLOSES = [100.0, 110.0, 99.0, 104.0, 103.0, 120.0, 90.0]
VOLUMES = [1e4, 2e4, 4e4, 8e4, 16e4, 32e4, 64e4]


def of_volumes(closes=CLOSES, volumes=VOLUMES, events=()):
    data = market(closes, closes, volume=1.0, events=events)["X"]
    return replace(data, bars=replace(data.bars, volume=np.array(volumes)))


def track(data, first=0, last=None, adv_sessions=3):
    sessions = [data.bars.session(i) for i in range(len(data.bars))][first:last]
    return make_track(data, sessions, "next_open", CostModel(adv_sessions=adv_sessions))


@pytest.mark.parametrize(
    "events", [(("dividend", 1, 0.5), ("split", 1, 2.0)), (("split", 1, 2.0), ("dividend", 1, 0.5))]
)
def test_a_dividend_on_the_day_of_a_split_is_paid_per_new_share(events):
    closes = [100, 100, 50, 50]
    shifted = tuple((kind, index + 1, value) for kind, index, value in events)
    ex = exchange(market(closes, closes, events=shifted))
    ex.step((Order("X", 10),))
    result = ex.step()
    assert ex.portfolio.positions == {"X": 20.0}
    assert result.dividends == 10.0
    assert result.equity == 10_010.0


def test_events_take_effect_after_the_first_session_of_the_window_and_up_to_its_last():
    events = [("dividend", index, 0.1 * index) for index in range(1, 7)]
    seen = track(of_volumes(events=events), 2, 6).events
    assert {index: [event.value for event in listed] for index, listed in seen.items()} == {
        1: [pytest.approx(0.3)], 2: [pytest.approx(0.4)], 3: [pytest.approx(0.5)],
    }  # fmt: skip


def test_an_event_after_the_last_bar_is_none():
    data = of_volumes()
    late = CorporateEvent("X", "split", date(2023, 12, 29), 2.0)
    data = replace(data, events=(late,))
    assert track(data).events == {}
    assert split_ratios(data).tolist() == [1.0] * 7


def test_splits_on_days_without_a_bar_multiply():
    data = market(CLOSES, CLOSES, skip=(2,))["X"]
    there = data.bars.session(2)
    events = (CorporateEvent("X", "split", date(2023, 1, 5), 2.0), CorporateEvent("X", "split", there, 3.0))
    assert there > date(2023, 1, 5)
    assert split_ratios(replace(data, events=events)).tolist() == [1, 1, 6, 1, 1, 1, 1]


def test_adv_and_sigma_are_those_of_the_sessions_before_and_of_no_more():
    made = track(of_volumes())
    returns = np.array(CLOSES[1:]) / np.array(CLOSES[:-1]) - 1
    assert made.adv == [
        None,
        1e4,
        1.5e4,
        pytest.approx(7e4 / 3),
        *(pytest.approx(sum(VOLUMES[i - 3 : i]) / 3) for i in (4, 5, 6)),
    ]
    expected = [0, 0, 0, *(np.std(returns[max(0, i - 4) : i - 1], ddof=1) for i in (3, 4, 5, 6))]
    assert made.sigma == pytest.approx(expected, rel=1e-12)


def test_adv_and_sigma_are_on_the_shares_of_their_own_day():
    doubled = [c / 2 if i >= 3 else c for i, c in enumerate(CLOSES)]
    shares = [v * 2 if i >= 3 else v for i, v in enumerate(VOLUMES)]
    plain, made = track(of_volumes()), track(of_volumes(doubled, shares, [("split", 3, 2.0)]))
    assert made.adv[:3] == plain.adv[:3]
    assert made.adv[3:] == pytest.approx([2 * adv for adv in plain.adv[3:]])
    assert made.sigma == pytest.approx(plain.sigma, abs=1e-12)


def test_bars_without_a_share_traded_have_no_volume_to_take_part_in():
    assert track(of_volumes(volumes=[0.0] * 3 + [5.0] * 4)).adv == [None] * 4 + [
        pytest.approx(5 / 3), pytest.approx(10 / 3), 5.0,
    ]  # fmt: skip
    data = market([10, 10, 10], [10, 10, 10], volume=0)
    (fill,) = exchange(data, costs=get_costs("retail")).step((Order("X", 50),)).fills
    assert (fill.quantity, fill.clipped) == (50.0, None)
    assert fill.price == pytest.approx(10 * (1 + 2 * 2.5e-4))
