"""How sure one can be: Sharpe intervals, and a test for an edge that a martingale cannot give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from varve.market.data import Floats

Z_95 = 1.959963984540054


def sharpe_standard_error(returns: Floats) -> float:
    """Standard error of mean ÷ standard deviation per session, robust to autocorrelation and fat tails.

    Delta method on the moments (E r, E r²), Ledoit and Wolf (2008), section 3.1, with their long-run
    covariance from a prewhitened HAC estimate (Andrews and Monahan 1992): a VAR(1) filter, Bartlett
    weights on its residuals with Newey and West's automatic lags, and recolouring.

    Args:
        returns: simple returns per session, shape (n,), n ≥ 10 and not constant.

    Returns:
        The standard error per session; NaN where it cannot be had.
    """
    n = len(returns)
    mean, second = float(returns.mean()), float((returns**2).mean())
    variance = second - mean**2
    if n < 10 or variance <= 1e-18:
        return float("nan")
    gradient = np.array([second, -mean / 2.0]) / variance**1.5
    # On standardised moments: the filter is then well conditioned whatever the unit of returns.
    moments = np.column_stack([returns - mean, returns**2 - second])
    scale = moments.std(axis=0)
    scale[scale == 0] = 1.0
    covariance = _prewhitened_hac(moments / scale) * np.outer(scale, scale)
    return float(np.sqrt(max(gradient @ covariance @ gradient, 0.0) / n))


def sharpe_interval(returns: Floats, sessions_per_year: int) -> tuple[float, float]:
    """The 95 % interval of the annual Sharpe ratio; NaN where it cannot be had."""
    error = sharpe_standard_error(returns)
    if np.isnan(error):
        return float("nan"), float("nan")
    sharpe = float(returns.mean() / returns.std(ddof=1))
    year = sessions_per_year**0.5
    return (sharpe - Z_95 * error) * year, (sharpe + Z_95 * error) * year


def _prewhitened_hac(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Long-run covariance of centred rows, shape (n, d) to (d, d)."""
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    n, d = moments.shape
    before, after = moments[:-1], moments[1:]
    filter_ = np.linalg.lstsq(before, after, rcond=None)[0].T
    # Andrews and Monahan keep the filter away from a unit root.
    left, singular, right = np.linalg.svd(filter_)
    filter_ = left @ np.diag(np.minimum(singular, 0.97)) @ right
    residuals = after - before @ filter_.T
    residuals = residuals - residuals.mean(axis=0)
    lags = int(4 * (n / 100) ** (2 / 9))
    inner = S_hac_simple(residuals, nlags=lags) / (len(residuals) - d)
    recolour = np.linalg.inv(np.eye(d) - filter_)
    return np.asarray(recolour @ inner @ recolour.T, dtype=np.float64)


def edge(positions: Sequence[float], returns: Sequence[float]) -> float:
    """Mean of (position − mean position over earlier sessions) × return; 0 in expectation on a martingale.

    Args:
        positions: signed exposure held over each session, decided before it, shape (n,).
        returns: the instrument's gross return while it was held, shape (n,).
    """
    held, gained = np.asarray(positions, float), np.asarray(returns, float)
    if len(held) < 2:
        return float("nan")
    earlier = np.cumsum(held)[:-1] / np.arange(1, len(held))
    return float(((held[1:] - earlier) * gained[1:]).mean())


def one_sided_p(values: Sequence[float]) -> float:
    """p-value of a one-sided t-test that the mean of independent ``values`` is above 0."""
    from scipy.stats import ttest_1samp

    sample = np.asarray(values, float)
    if sample.std() == 0:
        return 1.0
    return float(ttest_1samp(sample, 0.0, alternative="greater").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    from statsmodels.stats.multitest import multipletests

    adjusted: list[float] = multipletests(list(p_values), method="holm")[1].tolist()
    return adjusted


def window_sentence(sessions: int, sessions_per_year: int, interval: tuple[float, float] | None) -> str:
    """What so short a window cannot show, in one sentence."""
    # The large-sample error of a Sharpe ratio of 1 a year with independent normal returns (Lo 2002).
    per_session = 1.0 / sessions_per_year**0.5
    half = Z_95 * ((1 + per_session**2 / 2) / sessions) ** 0.5 * sessions_per_year**0.5
    years = sessions / sessions_per_year
    text = (
        f"{sessions} sessions ({years:.1f} years) say little: even a true Sharpe ratio of 1 would be "
        f"measured anywhere from {1 - half:.1f} to {1 + half:.1f}"
    )
    if interval is not None and not np.isnan(interval).any():
        holds = "cannot be told from 0" if interval[0] <= 0 <= interval[1] else "differs from 0"
        text += f"; this run's interval, {interval[0]:.1f} to {interval[1]:.1f}, {holds}"
    return text + "."
