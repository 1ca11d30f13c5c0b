"""The long-run variance against one written out in plain loops, at a unit root too; the seeds' own part."""

import numpy as np
import pytest

from varve.backtests.results.sharpe import (
    _moments,
    _prewhitened_hac,
    _usable,
    _variance,
    _window_variances,
    seed_split,
    window_sentence,
)


def autoregressive(n, phi, seed=3):
    noise = np.random.default_rng(seed).normal(0, 0.01, n)
    series = np.zeros(n)
    for i in range(1, n):
        series[i] = phi * series[i - 1] + noise[i]
    return series - series.mean()


def by_hand(rows, filter_):
    """Long-run covariance, shape (d, d), after a VAR(1) filter that is given."""
    n, d = rows.shape
    residuals = np.array([rows[i] - filter_ @ rows[i - 1] for i in range(1, n)])
    residuals = residuals - residuals.mean(axis=0)
    lags = int(4 * (n / 100) ** (2 / 9))
    total = sum(np.outer(row, row) for row in residuals)
    for lag in range(1, lags + 1):
        apart = sum(np.outer(residuals[i], residuals[i - lag]) for i in range(lag, len(residuals)))
        total = total + (1 - lag / (lags + 1)) * (apart + apart.T)
    recolour = np.linalg.inv(np.eye(d) - filter_)
    return recolour @ (total / (n - 1 - d)) @ recolour.T


@pytest.mark.parametrize("n", [12, 60, 250])
@pytest.mark.parametrize(
    ("phi", "filtered"), [(0.0, None), (0.5, None), (-0.6, None), (1.0, None), (1.02, 0.97)]
)
def test_the_long_run_variance_is_the_one_by_hand_with_a_filter_of_at_most_0_97(n, phi, filtered):
    series = autoregressive(n, phi)
    fitted = float(series[1:] @ series[:-1] / (series[:-1] @ series[:-1]))
    used = float(np.sign(fitted) * min(abs(fitted), 0.97))
    if filtered is not None and n == 250:
        assert fitted > used == filtered
    expected = by_hand(series[:, None], np.array([[used]]))[0, 0]
    assert _prewhitened_hac(series[:, None])[0, 0] == pytest.approx(expected, rel=1e-9)
    assert _variance(series) == pytest.approx(expected, rel=1e-9)


def test_the_long_run_covariance_of_two_is_the_one_by_hand():
    rows = np.column_stack([autoregressive(40, 0.3, 1), autoregressive(40, -0.2, 2)])
    fitted = np.linalg.lstsq(rows[:-1], rows[1:], rcond=None)[0].T
    assert np.linalg.svd(fitted)[1].max() < 0.97
    assert _prewhitened_hac(rows) == pytest.approx(by_hand(rows, fitted), rel=1e-9)


def test_the_own_part_is_that_of_one_run_not_of_its_distance_from_the_mean():
    common, own = autoregressive(120, 0.2, 1), autoregressive(120, 0.1, 2)
    one = _variance(own) / 120
    shared, apart = _window_variances(np.column_stack([common + own, common - own]))
    assert (shared, apart) == pytest.approx((_variance(common) / 120, 2 * one))
    shared, apart = _window_variances(np.column_stack([common + own, common - own, common]))
    assert (shared, apart) == pytest.approx((_variance(common) / 120, one))


def test_the_own_part_of_independent_runs_is_all_of_their_variance():
    rng = np.random.default_rng(9)
    for count in (2, 3, 8):
        ratio = np.mean([_window_variances(rng.normal(0, 1, (400, count)))[1] * 400 for _ in range(40)])
        assert ratio == pytest.approx(1.0, rel=0.1)


def test_without_any_variance_no_part_is_the_seeds():
    up_and_down = np.array([0.01, -0.01] * 10)
    split = seed_split([up_and_down, -up_and_down], 252)
    assert (split.seeds, split.window) == (0.0, 0.0)
    assert np.isnan(split.share)


def test_returns_of_ten_sessions_above_a_variance_of_1e_18_can_be_used():
    size = next(x for x in np.nextafter(1e-9, 0) + np.arange(-9, 9) * 1e-25 if x * x == 1e-18)
    flat = np.array([size, -size] * 8)
    assert flat.var() == 1e-18
    assert not _usable(flat)
    assert _usable(flat * 1.001)
    assert _usable(np.array([0.01, -0.01] * 5))
    assert not _usable(np.array([0.01, -0.01] * 5)[:9])


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.0, 1.0), "cannot be told from 0"),
        ((-1.0, 0.0), "cannot be told from 0"),
        ((0.1, 1.0), "differs from 0"),
        ((-1.0, -0.1), "differs from 0"),
    ],
)
def test_an_interval_that_reaches_0_cannot_be_told_from_it(interval, said):
    assert window_sentence(100, 252, interval).endswith(f"{said}.")


def test_the_moments_of_returns_are_centred():
    returns = autoregressive(40, 0.3) + 0.01
    expected = np.column_stack([returns - returns.mean(), returns**2 - np.mean(returns**2)])
    assert _moments(returns) == pytest.approx(expected)
    assert _moments(returns).mean(axis=0) == pytest.approx([0, 0], abs=1e-15)


def test_a_short_window_says_how_far_a_true_ratio_of_1_would_be_missed():
    # 1.96 × √((1 + 1/2) ÷ 100) = 0.24 where a session is a year
    assert window_sentence(100, 1, None) == (
        "100 sessions (100.0 years) say little: even a true Sharpe ratio of 1 would be measured anywhere "
        "from 0.8 to 1.2."
    )
