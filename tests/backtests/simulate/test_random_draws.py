"""The random traders beside a result are the registered random trader, on the run's own exchange."""

from dataclasses import replace

import numpy as np

from tests.support.helpers import prepared
from varve.backtests.simulate.random_draws import DRAWS, _total_returns, luck_range
from varve.backtests.simulate.steps import baseline_of, simulate


def test_each_draw_ends_as_a_whole_run_of_that_seed_does():
    run = baseline_of(prepared("buy-and-hold"), "random", flip_probability=0.3)
    ends = _total_returns(run, 0.3)
    assert len(ends) == DRAWS
    for seed in (0, 1, 42):
        whole = simulate(replace(run, config=run.config.model_copy(update={"seed": seed})))
        assert ends[seed] == whole[-1].portfolio.equity / run.config.initial_cash - 1.0


def test_the_range_holds_95_of_100_and_counts_those_below():
    run = prepared("buy-and-hold")
    luck = luck_range(run, 12, 0.0)
    sessions = run.window.last - run.window.first
    ends = _total_returns(baseline_of(run, "random", flip_probability=12 / sessions), 12 / sessions)
    assert int(((ends >= luck.low) & (ends <= luck.high)).sum()) == 95
    assert luck.below == int((ends < 0.0).sum())
    assert np.isfinite([luck.low, luck.high]).all()


def test_a_run_that_never_traded_has_none():
    assert luck_range(prepared("buy-and-hold"), 0, 0.0) is None


def test_baselines_of_a_fixed_unit_sizer_are_sized_by_it_and_work_off_as_the_run_does():
    unit = baseline_of(
        prepared("finmem", sizer="finmem_unit", settings={"sizer": {"lots": 3}}), "buy-and-hold"
    )
    assert (unit.config.sizer, unit.config.sizer_settings) == ("finmem_unit", {"lots": 3})
    held = simulate(unit)[-1].portfolio.position("TSLA")
    assert held == 3.0
    part = baseline_of(prepared("finmem", sizer="fraction"), "buy-and-hold")
    assert (part.config.sizer, part.config.sizer_settings) == ("all_in", {})
    forgets = {"sizer": {"work_off": False}}
    assert baseline_of(prepared(settings=forgets), "buy-and-hold").config.sizer_settings == {
        "work_off": False
    }
