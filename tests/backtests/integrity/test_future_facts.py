"""Every kind of fact of the future that a trader can reach is caught by the audit; honest traders pass it."""

from dataclasses import replace
from datetime import date

import pytest

from tests.support import fact_cheats
from varve import registry
from varve.backtests.config import RunConfig
from varve.backtests.integrity.audit import audit_run
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.prepare import find_trader
from varve.market.store import Store
from varve.market.worlds import sample_world

DAYS = {"ticker": "TSLA", "start": date(2023, 3, 1), "end": date(2023, 4, 28)}
AROUND_A_SPLIT = {"ticker": "TSLA", "start": date(2022, 8, 1), "end": date(2022, 9, 15)}


@pytest.fixture
def future_of(varve_home, monkeypatch):
    """What the audit says about the future that a cheat, or a registered trader, saw."""

    def audited(cheat=None, **settings):
        if cheat is not None:
            monkeypatch.setattr(
                "varve.backtests.simulate.prepare.find_trader",
                lambda name: cheat if name == cheat.name else find_trader(name),
            )
        agent = {} if cheat is None else {"agent": cheat.name}
        folder = run_backtest(RunConfig.build(**{**DAYS, "data": "sample", **agent, **settings}))
        (check,) = [check for check in audit_run(folder, seeds=0) if check.name == "future"]
        return check

    return audited


@pytest.mark.parametrize("cheat", fact_cheats.FACTS, ids=lambda cheat: cheat.name)
def test_each_kind_of_fact_is_caught(future_of, cheat):
    check = future_of(cheat)
    assert check.passed is False
    assert "through data" in check.detail


@pytest.mark.parametrize("cheat", [fact_cheats.SplitAhead, fact_cheats.SumOfEvents], ids=lambda c: c.name)
def test_a_true_split_ahead_is_caught_as_well(future_of, cheat):
    assert future_of(cheat, **AROUND_A_SPLIT).passed is False


def test_the_number_of_bars_that_are_stored_is_caught(future_of):
    Store().write(sample_world("TSLA", end=date(2023, 5, 31)))
    assert future_of(fact_cheats.StoresList, data="store").passed is False


def test_when_the_data_was_pulled_is_caught(future_of):
    data = sample_world("TSLA", end=date(2023, 5, 31))
    Store().write(replace(data, provenance=replace(data.provenance, pulled_at="2023-06-01T00:00:00Z")))
    assert future_of(fact_cheats.WhenPulled, data="store").passed is False


@pytest.mark.parametrize("name", [*registry.names("strategies"), *registry.names("agents")])
def test_every_honest_trader_passes(future_of, name):
    # An agent's day takes longer than a rule's.
    short = {"start": date(2022, 8, 18), "end": date(2022, 8, 31), "warmup_start": date(2022, 8, 5)}
    check = future_of(agent=name, **{**AROUND_A_SPLIT, **(short if name in registry.names("agents") else {})})
    assert check.passed, check.detail


@pytest.mark.parametrize("sizer", registry.names("sizers"))
def test_every_sizer_passes(future_of, sizer):
    check = future_of(agent="macd", sizer=sizer)
    assert check.passed, check.detail
