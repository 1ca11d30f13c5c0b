"""Probabilistic and deflated Sharpe, track records, resampled ranges: published or closed values."""

import numpy as np
import pytest
from scipy.stats import norm

from varve.backtests.results.luck import (
    deflated_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)
from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.sharpe import sharpe_estimate, sharpe_per_session
from varve.backtests.studies.compare.bootstrap import resample


def noise(seed, mean=0.001, count=250):
    return SessionReturns.alone(np.random.default_rng(seed).normal(mean, 0.01, count))


def standard(seed, count, sharpe):
    """Normal sessions with exactly that Sharpe ratio per session."""
    values = np.random.default_rng(seed).normal(size=count)
    return SessionReturns.alone((values - values.mean()) / values.std(ddof=1) + sharpe)


def spread_of(count, deviation):
    values = np.random.default_rng(0).normal(size=count)
    return list((values - values.mean()) / values.std(ddof=1) * deviation)


@pytest.mark.parametrize("settings", [46, 100])
def test_the_luck_of_the_search_of_bailey_and_lopez_de_prado_2014(settings):
    # Five years of days, trials with variance 1/2 a year; by hand with Euler and Mascheroni's constant.
    spread, gamma = (0.5 / 250) ** 0.5, 0.5772156649
    found = deflated_sharpe(noise(1, 0.001, 1250), settings, spread_of(settings, spread))
    by_hand = (1 - gamma) * norm.ppf(1 - 1 / settings) + gamma * norm.ppf(1 - 1 / (settings * np.e))
    assert found.luck == pytest.approx(spread * by_hand)
    if settings == 100:
        assert found.luck == pytest.approx(0.1132, abs=5e-5)


def test_the_probability_is_the_one_sided_p_turned_round():
    for seed in range(5):
        sample = noise(seed, 0.0005)
        estimate, above = sharpe_estimate(sample, 1), probabilistic_sharpe(sample)
        assert 2 * min(above, 1 - above) == pytest.approx(estimate.p)
        assert (above > 0.5) is (estimate.value > 0)


@pytest.mark.parametrize("seed", range(20))
def test_a_record_is_long_enough_exactly_where_the_probability_is_above_95_percent(seed):
    sample = noise(seed, 0.0008, 200)
    values = np.where(np.arange(200) % 20 < 8, sample.values, 0.0)
    for one in (sample, SessionReturns.alone(values)):
        for benchmark in (0.0, 0.03):
            enough = minimum_track_record(one, benchmark) < 200
            assert enough is bool(probabilistic_sharpe(one, benchmark) > 0.95)


def test_a_track_record_of_normal_sessions_is_near_that_of_bailey_and_lopez_de_prado_2012():
    # A Sharpe ratio of 2 a year against one of 1 in daily sessions: 2.73 years, here by a t of B = 107.
    found = [minimum_track_record(standard(seed, 4410, 2 / 252**0.5), 1 / 252**0.5) for seed in range(40)]
    assert np.median(found) / 252 == pytest.approx(2.73, rel=0.1)


def test_of_mostly_flat_noise_one_in_twenty_passes():
    rng = np.random.default_rng(11)
    passed = 0
    for _ in range(2000):
        values = np.zeros(252)
        values.reshape(-1, 42)[:, :5] = rng.normal(0, 0.01, (6, 5))
        passed += probabilistic_sharpe(SessionReturns.alone(values)) > 0.95
    # Three binomial errors of 5 % in 2,000 are 1.5 %.
    assert 0.035 <= passed / 2000 <= 0.065


def test_where_there_is_no_sharpe_ratio_there_is_no_probability():
    for values in (np.zeros(50), np.full(50, 0.01), np.array([0.1, 0.2])):
        returns = SessionReturns.alone(values)
        assert np.isnan(probabilistic_sharpe(returns))
        assert np.isnan(minimum_track_record(returns))
        assert np.isnan(deflated_sharpe(returns, 3, [0.1, 0.2]).probability)
    falling = noise(3, -0.001, 100)
    assert minimum_track_record(falling) == np.inf


def test_one_trial_is_not_deflated_and_more_trials_deflate_more():
    series = noise(6)
    alone = deflated_sharpe(series, 1, [])
    assert alone.luck == 0
    assert alone.probability == probabilistic_sharpe(series)
    probabilities = [
        deflated_sharpe(series, count, [0.0, 0.05, 0.1]).probability for count in (1, 2, 10, 100)
    ]
    assert probabilities == sorted(probabilities, reverse=True)
    assert len(set(probabilities)) == 4


def test_trials_of_unknown_sharpe_ratios_are_taken_as_noise():
    found = deflated_sharpe(noise(6), 10, [0.06])
    assert found.spread == pytest.approx(1 / 249**0.5)


def passed(searches, *, common=0.0):
    """The share of searches among 50 worthless strategies whose winner passes, deflated and not."""
    rng = np.random.default_rng(50)
    deflated = plain = 0
    for _ in range(searches):
        market = rng.normal(0, 0.01, 250)
        rows = common * market + (1 - common**2) ** 0.5 * rng.normal(0, 0.01, (50, 250))
        trials = [SessionReturns.alone(row) for row in rows]
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
