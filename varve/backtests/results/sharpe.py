"""How sure one can be: Sharpe ratios, their differences and pools, and a test for an edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from varve.market.data import Floats

Z_95 = 1.959963984540054


class Estimate(NamedTuple):
    """An annual Sharpe ratio, or a difference of two, with its standard error and 95 % interval.

    ``p`` is two-sided, against 0, from a normal law. All NaN where there is none.
    """

    value: float
    error: float
    low: float
    high: float
    p: float


NO_ESTIMATE = Estimate(*[float("nan")] * 5)
"""Of returns that are too few or never move."""


class SeedSplit(NamedTuple):
    """Where the variance of a measured annual Sharpe ratio comes from.

    ``seeds``: among seeds, on this window. ``window``: of what the seeds have in common, over windows
    like this one. ``share`` is seeds ÷ (seeds + window).
    """

    seeds: float
    window: float
    share: float


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
    if not _usable(returns):
        return float("nan")
    return _delta_error(_moments(returns), _gradient(returns))


def sharpe_interval(returns: Floats, sessions_per_year: int) -> tuple[float, float]:
    """The 95 % interval of the annual Sharpe ratio; NaN where it cannot be had."""
    estimate = sharpe_estimate(returns, sessions_per_year)
    return estimate.low, estimate.high


def sharpe_estimate(returns: Floats, sessions_per_year: int) -> Estimate:
    """The annual Sharpe ratio with its error; see :func:`sharpe_standard_error`."""
    if not _usable(returns):
        return NO_ESTIMATE
    return _annual(_sharpe(returns), sharpe_standard_error(returns), sessions_per_year)


def sharpe_difference(first: Floats, second: Floats, sessions_per_year: int) -> Estimate:
    """The annual Sharpe ratio of ``first`` less that of ``second``, on the same sessions.

    Delta method on the four moments (E a, E b, E a², E b²), Ledoit and Wolf (2008), section 3.1, with
    the covariance of :func:`sharpe_standard_error`. What moves both alike cancels: the error is far
    smaller than of two runs taken apart.

    Args:
        first, second: simple returns per session, shape (n,) both.

    Raises:
        ValueError: if their lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} sessions against {len(second)}: the same sessions expected")
    if not (_usable(first) and _usable(second)):
        return NO_ESTIMATE
    moments = np.hstack([_moments(first), _moments(second)])
    gradient = np.concatenate([_gradient(first), -_gradient(second)])
    difference = _sharpe(first) - _sharpe(second)
    return _annual(difference, _delta_error(moments, gradient), sessions_per_year)


def pooled_sharpe(runs: Sequence[Floats], sessions_per_year: int) -> Estimate:
    """The mean annual Sharpe ratio of runs on the same sessions: seeds of one agent, or tickers.

    The error has two parts: what another window would change for all of them, from the HAC error of
    the mean of their influences ψ = (r − μ)/σ − SR/2 · ((r − μ)²/σ² − 1), which keeps what they have
    in common; and what other seeds or tickers would change, the variance among the runs beyond what
    their own windows explain, divided by their number.

    Args:
        runs: simple returns per session, each of shape (n,). One run that cannot be used: NaN.
    """
    if not runs or not all(_usable(returns) for returns in runs):
        return NO_ESTIMATE
    if len(runs) == 1:
        return sharpe_estimate(runs[0], sessions_per_year)
    influences = np.column_stack([_influence(returns) for returns in runs])
    return _pooled([_sharpe(returns) for returns in runs], influences, sessions_per_year)


def pooled_difference(pairs: Sequence[tuple[Floats, Floats]], sessions_per_year: int) -> Estimate:
    """The mean of paired annual Sharpe differences, all on the same sessions; see :func:`pooled_sharpe`."""
    if not pairs or not all(_usable(a) and _usable(b) for a, b in pairs):
        return NO_ESTIMATE
    if len(pairs) == 1:
        return sharpe_difference(*pairs[0], sessions_per_year)
    influences = np.column_stack([_influence(a) - _influence(b) for a, b in pairs])
    return _pooled([_sharpe(a) - _sharpe(b) for a, b in pairs], influences, sessions_per_year)


def seed_split(runs: Sequence[Floats], sessions_per_year: int) -> SeedSplit | None:
    """How much of a Sharpe ratio is the luck of its seed, how much of its window; None below two seeds.

    By the law of total variance, given the window: the variance among seeds on it, and the variance
    over windows of what the seeds have in common (the HAC variance of their mean influence less the
    part that is each seed's own).

    Args:
        runs: simple returns per session of runs that differ in their seed alone, each of shape (n,).
    """
    if len(runs) < 2 or not all(_usable(returns) for returns in runs):
        return None
    influences = np.column_stack([_influence(returns) for returns in runs])
    common, own = _window_variances(influences)
    seeds = float(np.var([_sharpe(returns) for returns in runs], ddof=1)) * sessions_per_year
    window = max(0.0, common - own / len(runs)) * sessions_per_year
    total = seeds + window
    return SeedSplit(seeds, window, seeds / total if total > 0 else float("nan"))


def _usable(returns: Floats) -> bool:
    return len(returns) >= 10 and float(returns.var()) > 1e-18


def _sharpe(returns: Floats) -> float:
    return float(returns.mean() / returns.std(ddof=1))


def _moments(returns: Floats) -> Floats:
    """Centred (r, r²), shape (n, 2)."""
    squares = returns**2
    return np.column_stack([returns - returns.mean(), squares - squares.mean()])


def _gradient(returns: Floats) -> Floats:
    """Of the Sharpe ratio μ ÷ √(γ − μ²) in (μ, γ)."""
    mean, second = float(returns.mean()), float((returns**2).mean())
    return np.asarray([second, -mean / 2.0], dtype=np.float64) / float((second - mean**2) ** 1.5)


def _influence(returns: Floats) -> Floats:
    """What each session adds to the Sharpe ratio, mean 0, shape (n,): the moments along the gradient."""
    return np.asarray(_moments(returns) @ _gradient(returns), dtype=np.float64)


def _delta_error(moments: Floats, gradient: Floats) -> float:
    # On standardised moments: the filter is then well conditioned whatever the unit of returns.
    scale = moments.std(axis=0)
    scale[scale == 0] = 1.0
    covariance = _prewhitened_hac(moments / scale) * np.outer(scale, scale)
    variance = float(gradient @ covariance @ gradient)
    return float((max(variance, 0.0) / len(moments)) ** 0.5)


def _annual(value: float, error: float, sessions_per_year: int) -> Estimate:
    from scipy.stats import norm

    year = sessions_per_year**0.5
    # Runs that did the same differ by rounding alone; an error of that size means nothing.
    p = 1.0 if abs(value) < 1e-12 else float(2 * norm.sf(abs(value) / error)) if error > 0 else 0.0
    low, high = value - Z_95 * error, value + Z_95 * error
    return Estimate(value * year, error * year, low * year, high * year, p)


def _pooled(values: Sequence[float], influences: Floats, sessions_per_year: int) -> Estimate:
    common, own = _window_variances(influences)
    beyond = max(0.0, float(np.var(values, ddof=1)) - own)
    return _annual(float(np.mean(values)), (common + beyond / len(values)) ** 0.5, sessions_per_year)


def _window_variances(influences: Floats) -> tuple[float, float]:
    """HAC variance of the mean over runs, and of one run's own part; influences of shape (n, k)."""
    n, count = influences.shape
    mean = influences.mean(axis=1)
    apart = [_variance(influences[:, i] - mean) for i in range(count)]
    return _variance(mean) / n, float(np.mean(apart)) * count / (count - 1) / n


def _variance(series: Floats) -> float:
    spread = float(series.std())
    if spread < 1e-12:
        return 0.0
    return float(_prewhitened_hac((series / spread)[:, None])[0, 0]) * spread**2


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
