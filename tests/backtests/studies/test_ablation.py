"""Ablations of the memory: what each variant sets, paired differences, and that noise shows nothing."""

import json
from datetime import date

import numpy as np
import pytest

from tests.support.helpers import prepared
from varve.backtests.config import RunConfig
from varve.backtests.record.trial_registry.registry import TrialRegistry
from varve.backtests.results.returns import SessionReturns
from varve.backtests.simulate.steps import simulate
from varve.backtests.studies.ablation import (
    FULL,
    VARIANTS,
    Ablation,
    ablate,
    compare_variants,
    daily_difference,
    verdict,
)
from varve.errors import SettingError, UsageError
from varve.memory.state.config import TIERS


def short(variant):
    return {"end": date(2023, 3, 24), "settings": {"memory": VARIANTS[variant]}}


@pytest.mark.parametrize("variant", [*VARIANTS])
def test_each_variant_is_a_setting_that_does_what_it_is_called(variant):
    steps = simulate(prepared(**short(variant)))
    events = [event for step in steps for event in step.memory_events]
    found = [event.data["found"] for event in events if event.kind == "recalled"]
    shown = {tier for hits in found for tier in hits if hits[tier]}
    expected = {
        **{f"without {tier}": {*TIERS} - {tier} for tier in TIERS},
        "no memory": set(),
        # no quarterly report in these weeks: into the middle tier one comes by credit alone
        "no credit": {*TIERS} - {"mid"},
    }.get(variant, {*TIERS})
    assert shown == expected
    assert any(event.kind == "added" for event in events)
    if variant == "no decay":
        recency = [hit[3] for hits in found for tier in hits for hit in hits[tier]]
        assert min(recency) > 0.98
    if variant == "no credit":
        assert not any(event.kind in ("promoted", "demoted") for event in events)
        credited = [event.data["importance"] for event in events if event.kind == "credited"]
        assert credited
        assert max(credited) <= 80
    if variant == "random recall":
        scores = [[hit[1] for hit in hits["short"]] for hits in found]
        assert any(values != sorted(values, reverse=True) for values in scores)


def series(seed, shift=0.0, n=250):
    return np.random.default_rng(seed).normal(shift, 0.01, n)


def returns_of(shift):
    full = [series(seed) for seed in range(4)]
    worse = [values - shift + series(100 + seed) / 20 for seed, values in enumerate(full)]
    found = {FULL: full, "worse": worse, "same": [values.copy() for values in full]}
    return {name: [SessionReturns.alone(values) for values in rows] for name, rows in found.items()}


def test_what_is_worse_stands_out_and_what_is_the_same_does_not():
    worse, same = compare_variants(returns_of(0.002), 252)
    assert worse.stands_out
    assert worse.daily.value == pytest.approx(20, abs=1)
    assert worse.daily.low < 20 < worse.daily.high
    assert worse.sharpe.value == pytest.approx(0.2 * 252**0.5, abs=0.3)
    assert (same.equal, same.sharpe.value, same.sharpe_p, same.stands_out) == (4, 0.0, 1.0, False)
    assert same.sharpe.why == same.daily.why == "same trades"
    assert np.isnan([same.sharpe.low, same.daily.high]).all()
    nothing, _ = compare_variants(returns_of(0.0), 252)
    assert not nothing.stands_out


def test_holm_counts_every_variant():
    alone = compare_variants({FULL: returns_of(0.0)[FULL], "a": returns_of(0.00008)["worse"]}, 252)[0]
    among = compare_variants(
        {FULL: returns_of(0.0)[FULL], "a": returns_of(0.00008)["worse"]}
        | {
            f"n{i}": [
                SessionReturns.alone(v.values + series(200 + 9 * i + j) / 20)
                for j, v in enumerate(returns_of(0.0)[FULL])
            ]
            for i in range(5)
        },
        252,
    )[0]
    assert among.daily.p == alone.daily.p
    assert among.daily_p == pytest.approx(6 * alone.daily.p)


def test_the_interval_of_a_daily_difference_covers():
    """Of 300 seeded pairs without a difference, near 95 % of the intervals hold 0."""
    held = 0
    for seed in range(300):
        seeds = [2 * seed + 10_000 * k for k in range(2)]
        pairs = [tuple(SessionReturns.alone(series(s + i)) for i in range(2)) for s in seeds]
        daily = daily_difference(pairs)
        held += daily.low <= 0 <= daily.high
    assert 0.91 <= held / 300 <= 0.98


def test_words_say_what_cannot_be_concluded():
    compared = tuple(compare_variants(returns_of(0.002), 252))
    common = {"label": "", "agent": "finmem", "ticker": "T", "sessions": 250, "synthetic": True}
    told = verdict(Ablation(**common, seeds=4, distinct=4, compared=compared))
    assert told.startswith("Told from the full memory")
    assert "worse." in told
    silent = verdict(Ablation(**common, seeds=4, distinct=1, compared=compared[1:]))
    assert "None of 1 variants" in silent
    assert "does not show that it has none" in silent
    assert "only 1 different runs" in silent


NOISE = {
    "agent": "finmem", "ticker": "MSFT", "world": "noise", "data": "sample", "start": date(2023, 3, 1),
    "warmup_start": date(2023, 2, 6),
}  # fmt: skip


def test_on_noise_nothing_stands_out(varve_home):
    found = ablate(RunConfig.build(**NOISE, end=date(2023, 3, 31)), seeds=2)
    assert found.distinct == found.seeds == 2
    assert [row.variant for row in found.compared] == [*VARIANTS]
    assert not any(row.stands_out for row in found.compared)
    assert any(row.equal < 2 for row in found.compared)
    trials = TrialRegistry().trials()
    assert len(trials) == 2 * (len(VARIANTS) + 1)
    assert len({trial.settings for trial in trials}) == len(VARIANTS) + 1


@pytest.mark.slow
def test_on_noise_nothing_stands_out_in_many_seeds(varve_home):
    found = ablate(RunConfig.build(**NOISE, end=date(2023, 12, 29)), seeds=10)
    assert not any(row.stands_out for row in found.compared)


def test_on_the_command_line(backtest):
    code, out, err = backtest(
        "ablate", "--agent", "finmem", "--ticker", "TSLA", "--seeds", 1, "--start", "2023-03-01", "--end",
        "2023-03-17", "--warmup-start", "2023-02-15", "--json",
    )  # fmt: skip
    assert code == 0, err
    shown = json.loads(out)
    assert [row["variant"] for row in shown["compared"]] == [*VARIANTS]
    assert shown["verdict"]


@pytest.mark.parametrize(
    ("given", "seeds", "error", "words"),
    [
        ({"agent": "macd"}, 2, UsageError, "no layered memory"),
        ({"settings": {"memory_kind": "flat"}}, 2, UsageError, "no layered memory"),
        ({}, 0, SettingError, "0 seeds"),
    ],
)
def test_what_cannot_be_ablated(varve_home, given, seeds, error, words):
    with pytest.raises(error, match=words):
        ablate(RunConfig.build(**{**NOISE, **given}), seeds=seeds)
    assert list(varve_home.iterdir()) == []
