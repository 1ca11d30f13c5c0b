"""Intervals that cover, a test for edges that finds one and only one that is there."""

import numpy as np
import pytest

from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.sharpe import (
    Estimate,
    edge,
    holm,
    one_sided_p,
    sharpe_estimate,
    sharpe_interval,
    window_sentence,
)


def simulated(rng, n, phi, mean=0.0005, sigma=0.01):
    noise = rng.normal(0, sigma, n + 50)
    series = np.zeros(n + 50)
    for i in range(1, n + 50):
        series[i] = phi * series[i - 1] + noise[i]
    return series[50:] + mean


def coverage(n, phi, trials):
    rng = np.random.default_rng(20)
    true = 0.0005 / (0.01 / np.sqrt(1 - phi**2)) * 252**0.5
    intervals = (sharpe_interval(SessionReturns.alone(simulated(rng, n, phi)), 252) for _ in range(trials))
    return np.mean([low <= true <= high for low, high in intervals])


@pytest.mark.parametrize("phi", [0.0, 0.3])
def test_the_interval_covers_short(phi):
    assert 0.91 <= coverage(250, phi, 500) <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("n", [250, 1000])
@pytest.mark.parametrize("phi", [0.0, 0.1, 0.3])
def test_the_interval_covers(n, phi):
    assert 0.92 <= coverage(n, phi, 2000) <= 0.97


def test_for_independent_normal_returns_the_error_is_lo_s():
    returns = np.random.default_rng(1).normal(0.001, 0.01, 20_000)
    sharpe = returns.mean() / returns.std()
    closed_form = np.sqrt((1 + sharpe**2 / 2) / len(returns))
    # One draw of B = 294 squares: its own error is √(2/294) ÷ 2, or 4 %.
    assert sharpe_estimate(SessionReturns.alone(returns), 1).error == pytest.approx(closed_form, rel=0.1)


def test_autocorrelation_widens_the_interval():
    rng = np.random.default_rng(5)
    plain, sticky = (
        sharpe_estimate(SessionReturns.alone(simulated(rng, 2000, phi)), 252) for phi in (0.0, 0.4)
    )
    assert sticky.error > 1.3 * plain.error


@pytest.mark.parametrize("returns", [np.zeros(100), np.full(100, 0.01), np.array([0.1, -0.1])])
def test_where_there_is_no_error_there_is_no_number(returns):
    assert np.isnan(sharpe_interval(SessionReturns.alone(returns), 252)).all()


def test_scale_does_not_matter():
    returns = np.random.default_rng(2).normal(0.0005, 0.01, 300)
    one, other = SessionReturns.alone(returns), SessionReturns.alone(returns * 50)
    assert sharpe_interval(one, 252) == pytest.approx(sharpe_interval(other, 252), rel=1e-9)


def test_edge_by_hand():
    positions, returns = [1, 0, 1, 1], [0.01, 0.02, 0.03, -0.01]
    by_hand = ((0 - 1) * 0.02 + (1 - 0.5) * 0.03 + (1 - 2 / 3) * -0.01) / 3
    assert edge(positions, returns) == pytest.approx(by_hand)


def test_always_long_has_no_edge_however_the_market_drifts():
    assert edge(np.ones(100), np.random.default_rng(0).normal(0.01, 0.01, 100)) == 0.0


def test_holm_is_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_one_sided():
    assert one_sided_p([1.0, 1.1, 0.9, 1.05]) < 0.001
    assert one_sided_p([-1.0, -1.1, -0.9]) > 0.99
    assert one_sided_p([0.0, 0.0, 0.0]) == 1.0


def test_the_sentence_says_what_a_window_cannot_show():
    text = window_sentence(124, 252, Estimate(1.0, 1.4, -1.8, 3.8, 0.4))
    assert text.startswith("124 sessions (0.5 years) say little")
    assert "from -1.8 to 3.8" in text
    assert "cannot be told from 0" in text
    assert "differs from 0" in window_sentence(1000, 252, Estimate(1.2, 0.4, 0.4, 2.0, 0.01))
    assert "this run's interval" not in window_sentence(124, 252, None)
