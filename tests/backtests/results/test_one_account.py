"""Whatever happens, in whatever order: vectorbt's replay of what was recorded gives the ledger's profit."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.helpers import prepared
from tests.support.worlds_of_bars import market
from varve.backtests.results.track import make_track, track_of_records
from varve.backtests.results.vectorbt_adapter import check_track
from varve.backtests.simulate.steps import simulate
from varve.envs.costs import CostModel
from varve.envs.exchange import Exchange
from varve.market import MarketData
from varve.types import CorporateEvent, Order

CASH, BARS = 100_000.0, 16
RULES = ("next_open", "next_close", "same_close")

events = st.lists(
    st.tuples(
        st.sampled_from(["split", "dividend"]),
        st.integers(0, BARS + 2),
        st.sampled_from([0.25, 1 / 3, 1.5, 2.0, 3.0, 0.37, 7.0]),
    ),
    max_size=8,
)
orders = st.lists(st.one_of(st.none(), st.integers(-3_000, 3_000)), min_size=BARS + 4, max_size=BARS + 4)
costs = st.builds(
    CostModel,
    commission_bps=st.sampled_from([0.0, 3.0]),
    commission_minimum=st.sampled_from([0.0, 1.0]),
    half_spread_bps=st.sampled_from([0.0, 10.0]),
    impact_coefficient=st.sampled_from([0.0, 0.5]),
    participation_cap=st.sampled_from([None, 0.02]),
)


def recorded(data, rule, costs, shorting, wanted, lot):
    """The track of an exchange on which only ``X`` is traded, made as a run's is."""
    exchange = Exchange(
        data, tuple(data.instruments), costs=costs, initial_cash=CASH, fill_rule=rule, shorting=shorting
    )
    equity, position, facts = [CASH], [0.0], [exchange.facts("X")]
    for quantity in wanted:
        if exchange.done:
            break
        result = exchange.step(() if quantity is None else (Order("X", quantity * lot),))
        equity.append(result.equity)
        position.append(exchange.portfolio.position("X"))
        facts.append(exchange.facts("X"))
    sessions = list(exchange.sessions[: len(equity)])
    return make_track("x", sessions, equity=equity, position=position, fills=exchange.fills, facts=facts)


@st.composite
def situations(draw):
    """An instrument with gaps, events on any day, and one beside it that trades on every day."""
    skip = draw(st.sets(st.integers(1, BARS), max_size=5))
    lot = draw(st.sampled_from([1.0, 1e-4]))
    scale = draw(st.sampled_from([3.0, 40.0, 900.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    closes = scale * np.exp(np.cumsum(rng.normal(0, 0.05, BARS)))
    opens = closes * np.exp(rng.normal(0, 0.03, BARS))
    volume = draw(st.sampled_from([None, 40_000]))
    happens = [(kind, day, value) for kind, day, value in draw(events)]
    data = market(opens, closes, volume=volume, events=(), lot=lot, skip=tuple(skip))
    whole = market([10.0] * (BARS + 4), [10.0] * (BARS + 4), symbol="Y")
    days = [whole["Y"].bars.session(i) for i in range(BARS + 4)]
    made = tuple(CorporateEvent("X", kind, days[day], value) for kind, day, value in happens)
    x = replace(data["X"], events=made)
    both = draw(st.booleans())
    return MarketData({"X": x, **(whole.instruments if both else {})}), lot


def apart(situation, rule, model, shorting, wanted):
    """How far ledger and vectorbt lie apart, as a fraction of initial cash."""
    data, lot = situation
    track = recorded(data, rule, model, shorting, wanted, lot)
    return check_track(track, filled_after_mark=rule == "same_close")


given_all = given(
    situation=situations(), rule=st.sampled_from(RULES), model=costs, shorting=st.booleans(), wanted=orders
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given_all
def test_the_recorded_truth_is_vectorbts(situation, rule, model, shorting, wanted):
    assert apart(situation, rule, model, shorting, wanted) <= 1e-9


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given_all
def test_the_recorded_truth_is_vectorbts_in_2000_examples(situation, rule, model, shorting, wanted):
    assert apart(situation, rule, model, shorting, wanted) <= 1e-9


def test_a_split_with_a_fraction_and_a_dividend_on_one_session():
    for order in (1, -1):
        told = [("split", 4, 1.5), ("dividend", 4, 0.25)][::order]
        data = market([10.0] * 10, [10.0] * 10, events=told)
        for rule in RULES:
            track = recorded(data, rule, CostModel(), False, [101, None, None, None, None, None], 1.0)
            assert track.dividends[-1] == pytest.approx(0.25 * 151)
            assert [f.quantity for f in track.fills] == [101.0, -0.5]
            assert check_track(track, filled_after_mark=rule == "same_close") <= 1e-9


def test_a_trade_one_session_before_an_ex_date_that_fills_at_the_same_close():
    run = prepared(
        "sma-cross", ticker="MSFT", start=date(2023, 1, 3), end=date(2023, 6, 30), fill="same_close"
    )
    track = track_of_records("sma-cross", simulate(run), run)
    assert track.dividends[-1] > 0
    assert check_track(track, filled_after_mark=True) <= 1e-9
