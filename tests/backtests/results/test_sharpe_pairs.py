"""Paired and pooled Sharpe ratios: their errors are the closed ones, their intervals cover."""

import numpy as np
import pytest

from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.sharpe import (
    pooled_difference,
    pooled_sharpe,
    seed_split,
    sharpe_difference,
    sharpe_estimate,
    sharpe_interval,
)

YEAR = 252
of = SessionReturns.alone


def autoregressive(rng, n, phi, width):
    noise = rng.normal(0, 0.01, (n + 50, width))
    series = np.zeros_like(noise)
    for i in range(1, n + 50):
        series[i] = phi * series[i - 1] + noise[i]
    return series[50:]


def pair(rng, n, phi, first_mean, second_mean):
    """Two series with correlation 0.64 and the same deviation."""
    common, one, two = autoregressive(rng, n, phi, 3).T
    return 0.8 * common + 0.6 * one + first_mean, 0.8 * common + 0.6 * two + second_mean


def paired_coverage(n, phi, trials):
    rng = np.random.default_rng(41)
    true = 0.0005 / (0.01 / np.sqrt(1 - phi**2)) * YEAR**0.5
    hits = rejected = 0
    for _ in range(trials):
        first, second = pair(rng, n, phi, 0.0006, 0.0001)
        estimate = sharpe_difference(of(first), of(second), YEAR)
        hits += estimate.low <= true <= estimate.high
        rejected += sharpe_difference(of(first - 0.0005), of(second), YEAR).p < 0.05
    return hits / trials, rejected / trials


@pytest.mark.parametrize("phi", [0.0, 0.3])
def test_a_paired_interval_covers_short(phi):
    covered, rejected = paired_coverage(250, phi, 300)
    assert 0.90 <= covered <= 0.98
    assert rejected <= 0.09


@pytest.mark.slow
@pytest.mark.parametrize("n", [250, 1000])
@pytest.mark.parametrize("phi", [0.0, 0.1, 0.3])
def test_a_paired_interval_covers(n, phi):
    covered, rejected = paired_coverage(n, phi, 2000)
    assert 0.92 <= covered <= 0.97
    assert 0.03 <= rejected <= 0.08


def test_for_independent_normal_sessions_the_paired_error_is_memmel_s():
    n = 40_000
    first, second = pair(np.random.default_rng(7), n, 0.0, 0.0008, 0.0002)
    a, b = first.mean() / first.std(), second.mean() / second.std()
    rho = np.corrcoef(first, second)[0, 1]
    # Jobson and Korkie (1981) as corrected by Memmel (2003).
    closed = (2 - 2 * rho + 0.5 * (a**2 + b**2 - 2 * a * b * rho**2)) / n
    estimate = sharpe_difference(of(first), of(second), YEAR)
    assert estimate.error / YEAR**0.5 == pytest.approx(closed**0.5, rel=0.1)  # of one draw, B = 467
    assert estimate.value == pytest.approx((a - b) * YEAR**0.5, rel=1e-3)


def test_pairing_tells_apart_what_two_intervals_cannot():
    rng = np.random.default_rng(3)
    market = rng.normal(0.0003, 0.012, 250)
    better = market + 0.0008 + rng.normal(0, 0.001, 250)
    assert sharpe_difference(of(better), of(market), YEAR).p < 0.001
    assert sharpe_interval(of(better), YEAR)[0] < sharpe_interval(of(market), YEAR)[1]


def test_a_difference_turned_round_is_its_negative():
    first, second = pair(np.random.default_rng(1), 300, 0.1, 0.001, 0.0)
    one, other = (
        sharpe_difference(of(first), of(second), YEAR),
        sharpe_difference(of(second), of(first), YEAR),
    )
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.p == pytest.approx(other.p)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_the_same_run_at_another_leverage_is_no_difference(factor):
    returns = np.random.default_rng(2).normal(0.0005, 0.01, 300)
    estimate = sharpe_difference(of(returns * factor), of(returns), YEAR)
    assert (estimate.value, np.isnan(estimate.low)) == (0, True)
    assert estimate.why == ("same trades" if factor == 1 else "the same but for its size")


def test_where_there_is_no_sharpe_ratio_there_is_no_difference():
    moving, flat = of(np.random.default_rng(2).normal(0, 0.01, 50)), of(np.zeros(50))
    nothing = (
        sharpe_difference(moving, flat, YEAR),
        sharpe_difference(of(moving.values[:5]), of(moving.values[5:10]), YEAR),
        sharpe_estimate(flat, YEAR),
        pooled_sharpe([moving, flat], YEAR),
        pooled_sharpe([], YEAR),
        pooled_difference([(moving, flat)] * 2, YEAR),
    )
    for estimate in nothing:
        assert np.isnan(estimate[:5]).all()
        assert estimate.why
    assert seed_split([moving], YEAR) is None
    assert seed_split([moving, flat], YEAR) is None
    with pytest.raises(ValueError, match="the same sessions"):
        sharpe_difference(moving, of(moving.values[1:]), YEAR)


def test_the_p_value_and_the_interval_agree():
    returns = of(np.random.default_rng(9).normal(0.001, 0.01, 400))
    estimate = sharpe_estimate(returns, YEAR)
    assert (estimate.low, estimate.high) == sharpe_interval(returns, YEAR)
    assert estimate.apart is (estimate.p < 0.05)
    shifted = sharpe_estimate(of(returns.values - returns.values.mean()), YEAR)
    assert shifted.p > 0.9


def seeds(rng, count, *, own_luck=0.0006, own_noise=0.006):
    """Runs of one agent on one window: what they share, their own luck, their own noise."""
    common = rng.normal(0.0004, 0.008, 250)
    return [of(common + rng.normal(0, own_luck) + rng.normal(0, own_noise, 250)) for _ in range(count)]


@pytest.mark.parametrize("count", [3, 10])
def test_a_pooled_interval_covers_what_other_seeds_and_windows_would_give(count):
    rng = np.random.default_rng(12)
    true = 0.0004 / 0.01 * YEAR**0.5
    pooled = [pooled_sharpe(seeds(rng, count), YEAR) for _ in range(300)]
    assert 0.90 <= np.mean([e.low <= true <= e.high for e in pooled]) <= 0.985


def test_pooled_differences_cover_too_and_seeds_help():
    rng = np.random.default_rng(15)
    hits, alone, together = 0, [], []
    for _ in range(200):
        pairs = list(zip(seeds(rng, 6), seeds(rng, 6), strict=True))
        estimate = pooled_difference(pairs, YEAR)
        hits += estimate.low <= 0 <= estimate.high
        together.append(estimate.error)
        alone.append(pooled_difference(pairs[:1], YEAR).error)
    assert 0.90 <= hits / 200 <= 0.985
    assert np.mean(together) < np.mean(alone)


def test_equal_seeds_pool_to_one_of_them():
    returns = of(np.random.default_rng(4).normal(0.001, 0.01, 250))
    one, five = sharpe_estimate(returns, YEAR), pooled_sharpe([returns] * 5, YEAR)
    assert five.value == pytest.approx(one.value)
    assert five.error == pytest.approx(one.error)
    assert seed_split([returns] * 5, YEAR).share == pytest.approx(0, abs=1e-9)


def test_the_split_names_the_larger_luck():
    rng = np.random.default_rng(8)
    by_seed = np.mean([seed_split(seeds(rng, 8, own_luck=0.003), YEAR).share for _ in range(50)])
    by_window = np.mean(
        [seed_split(seeds(rng, 8, own_luck=0, own_noise=0.0005), YEAR).share for _ in range(50)]
    )
    assert by_seed > 0.9
    assert by_window < 0.1
