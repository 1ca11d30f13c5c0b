"""Probabilistic and deflated Sharpe, track records, resampled ranges: published or closed values."""

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.stats import kurtosis, norm, skew

from varve.backtests.results.bootstrap import resample
from varve.backtests.results.luck import (
    deflated_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_per_session,
)


def with_moments(count, sharpe, third, fourth):
    """A series of exactly these moments, from a sinh-arcsinh law."""
    points = norm.ppf((np.arange(count) + 0.5) / count)

    def shaped(params):
        return np.sinh((np.arcsinh(points) + params[0]) / np.exp(params[1]))

    def off(params):
        return [skew(shaped(params)) - third, kurtosis(shaped(params), fisher=False) - fourth]

    found = least_squares(off, [0.3 * np.sign(third), 0.0])
    assert found.cost < 1e-20
    series = shaped(found.x)
    return (series - series.mean()) / series.std(ddof=1) + sharpe


def two_valued(count, lows, sharpe):
    series = np.where(np.arange(count) < lows, -1.0, 0.0)
    return (series - series.mean()) / series.std(ddof=1) + sharpe


def spread_of(count, deviation):
    values = np.random.default_rng(0).normal(size=count)
    return list((values - values.mean()) / values.std(ddof=1) * deviation)


def test_the_hedge_fund_of_bailey_and_lopez_de_prado_2012():
    # Two years of months: mean 3.6 %, deviation 7.9 %, skewness -2.448, kurtosis 10.164.
    monthly = 0.036 / 0.079
    assert probabilistic_sharpe(with_moments(24, monthly, 0.0, 3.0)) == pytest.approx(0.982, abs=1e-3)
    assert probabilistic_sharpe(with_moments(24, monthly, -2.448, 10.164)) == pytest.approx(0.913, abs=1e-3)


@pytest.mark.parametrize(("a_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_track_records_of_bailey_and_lopez_de_prado_2012(a_year, years):
    # A Sharpe ratio of 2 a year against one of 1, normal, at 95 %.
    series = with_moments(2000, 2 / a_year**0.5, 0.0, 3.0)
    assert minimum_track_record(series, 1 / a_year**0.5) / a_year == pytest.approx(years, abs=0.005)


@pytest.mark.parametrize(("settings", "published"), [(100, 0.9004), (46, 0.9505)])
def test_the_search_of_bailey_and_lopez_de_prado_2014(settings, published):
    # Five years of days, 2.5 a year, trials with variance 1/2 a year, skewness -3, kurtosis 10: two values.
    series = two_valued(1250, 105, 2.5 / 250**0.5)
    assert (skew(series), kurtosis(series, fisher=False)) == pytest.approx((-3, 10), rel=2e-3)
    found = deflated_sharpe(series, settings, spread_of(settings, (0.5 / 250) ** 0.5))
    assert found.probability == pytest.approx(published, abs=1e-3)
    if settings == 100:
        assert found.luck == pytest.approx(0.1132, abs=5e-5)


def test_the_same_search_with_normal_returns_bears_88_trials():
    series = with_moments(1250, 2.5 / 250**0.5, 0.0, 3.0)
    found = deflated_sharpe(series, 88, spread_of(88, (0.5 / 250) ** 0.5))
    assert found.probability == pytest.approx(0.9505, abs=5e-4)


def test_a_minimum_track_record_is_just_long_enough():
    series = np.random.default_rng(3).normal(0.001, 0.01, 100)
    shape = {"third": skew(series), "fourth": kurtosis(series, fisher=False)}
    needed = minimum_track_record(series)
    for count, enough in ((int(needed), False), (int(needed) + 2, True)):
        record = with_moments(count, sharpe_per_session(series), **shape)
        assert (probabilistic_sharpe(record) > 0.95) is enough


def test_where_there_is_no_sharpe_ratio_there_is_no_probability():
    for returns in (np.zeros(50), np.full(50, 0.01), np.array([0.1, 0.2])):
        assert np.isnan(probabilistic_sharpe(returns))
        assert np.isnan(minimum_track_record(returns))
        assert np.isnan(deflated_sharpe(returns, 3, [0.1, 0.2]).probability)
    falling = np.random.default_rng(3).normal(-0.001, 0.01, 100)
    assert minimum_track_record(falling) == np.inf


def test_one_trial_is_not_deflated_and_more_trials_deflate_more():
    series = np.random.default_rng(6).normal(0.001, 0.01, 250)
    alone = deflated_sharpe(series, 1, [])
    assert alone.luck == 0
    assert alone.probability == probabilistic_sharpe(series)
    probabilities = [
        deflated_sharpe(series, count, [0.0, 0.05, 0.1]).probability for count in (1, 2, 10, 100)
    ]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(set(probabilities)) == 4


def test_trials_of_unknown_sharpe_ratios_are_taken_as_noise():
    found = deflated_sharpe(np.random.default_rng(6).normal(0.001, 0.01, 250), 10, [0.06])
    assert found.spread == pytest.approx(1 / 249**0.5)


def passed(searches, *, common=0.0):
    """The share of searches among 50 worthless strategies whose winner passes, deflated and not."""
    rng = np.random.default_rng(50)
    deflated = plain = 0
    for _ in range(searches):
        market = rng.normal(0, 0.01, 250)
        trials = common * market + (1 - common**2) ** 0.5 * rng.normal(0, 0.01, (50, 250))
        sharpes = [sharpe_per_session(trial) for trial in trials]
        winner = trials[int(np.argmax(sharpes))]
        deflated += deflated_sharpe(winner, 50, sharpes).probability > 0.95
        plain += probabilistic_sharpe(winner) > 0.95
    return deflated / searches, plain / searches


def test_the_winner_among_noise_does_not_pass():
    deflated, plain = passed(200)
    assert deflated < 0.05
    assert plain > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("common", [0.0, 0.3])
def test_the_winner_among_noise_does_not_pass_in_many_searches(common):
    assert passed(2000, common=common)[0] < 0.05


def test_a_resampled_range_of_independent_sessions_is_that_of_their_sum():
    returns = np.random.default_rng(1).normal(0.0005, 0.01, 500)
    found = resample(returns, draws=4000)
    logs = np.log1p(returns)
    closed = np.expm1(logs.sum() + np.array([-1.96, 1.96]) * logs.std() * 500**0.5)
    assert found.total_return == pytest.approx(closed, abs=0.06)
    low, high = found.max_drawdown
    wealth = np.cumprod(1 + returns)
    assert low < (wealth / np.maximum.accumulate(wealth)).min() - 1 < high < 0


def test_blocks_keep_what_hangs_together():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.01, 600)
    sticky = np.zeros(600)
    for i in range(1, 600):
        sticky[i] = 0.6 * sticky[i - 1] + noise[i]
    shuffled = rng.permutation(sticky)
    apart, together = resample(shuffled), resample(sticky)
    assert together.block_sessions >= 5 > apart.block_sessions
    width = together.total_return[1] - together.total_return[0]
    assert width > 1.3 * (apart.total_return[1] - apart.total_return[0])


def test_the_seed_alone_decides_the_draws():
    returns = np.random.default_rng(1).normal(0, 0.01, 100)
    assert resample(returns, draws=200) == resample(returns, draws=200)
    assert resample(returns, draws=200) != resample(returns, draws=200, seed=1)


def test_few_or_still_sessions_have_no_range():
    assert resample(np.zeros(100)) is None
    assert resample(np.array([0.01, -0.01] * 4)) is None
    assert resample(np.array([0.01, -0.01] * 5), draws=50) is not None
