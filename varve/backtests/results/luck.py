"""How much of a Sharpe ratio may be luck: probabilistic and deflated Sharpe, minimum track record.

Bailey and López de Prado, "The Sharpe ratio efficient frontier" (2012) and "The deflated Sharpe ratio"
(2014). All ratios here are per session, none is annual. They take sessions as independent; the interval
of :func:`varve.backtests.results.sharpe.sharpe_interval` does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from varve.market.data import Floats


@dataclass(frozen=True, slots=True)
class Deflated:
    """A Sharpe ratio against the best that luck would have found among the trials.

    ``settings`` is the number of trials N; ``spread`` the standard deviation of their Sharpe ratios;
    ``luck`` the Sharpe ratio expected of the best of N without any edge; ``probability`` that the true
    one is above it (NaN where there is none).
    """

    settings: int
    spread: float
    luck: float
    probability: float


def probabilistic_sharpe(returns: Floats, benchmark: float = 0.0) -> float:
    """The probability that the true Sharpe ratio is above ``benchmark`` (2012).

    Args:
        returns: simple returns per session, shape (n,), n ≥ 3 and not constant; else NaN.
        benchmark: a Sharpe ratio per session.
    """
    from skfolio.measures import probabilistic_sharpe_ratio

    if not _moves(returns):
        return float("nan")
    return float(probabilistic_sharpe_ratio(returns, benchmark_sharpe_ratio=benchmark))


def minimum_track_record(returns: Floats, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Sessions that a record like this must have to be above ``benchmark`` (2012).

    1 + (1 − γ₃ SR + (γ₄ − 1)/4 · SR²) · (z / (SR − SR*))², γ₃ skewness, γ₄ kurtosis, z the normal
    quantile of ``confidence``.

    Args:
        returns: simple returns per session, shape (n,), n ≥ 3 and not constant; else NaN.

    Returns:
        A number of sessions; infinite where the Sharpe ratio is not above ``benchmark``.
    """
    from scipy.stats import norm
    from skfolio.measures import kurtosis, skew

    if not _moves(returns):
        return float("nan")
    sharpe = sharpe_per_session(returns)
    if sharpe <= benchmark:
        return float("inf")
    shape = 1 - float(skew(returns)) * sharpe + (float(kurtosis(returns)) - 1) / 4 * sharpe**2
    return float(1 + shape * (norm.ppf(confidence) / (sharpe - benchmark)) ** 2)


def deflated_sharpe(returns: Floats, settings: int, sharpes: Sequence[float]) -> Deflated:
    """The probability that a Sharpe ratio is more than the luck of the best of many trials (2014).

    Args:
        returns: simple returns per session of the run that is looked at, shape (n,).
        settings: how many settings were tried, N ≥ 1.
        sharpes: those of their Sharpe ratios that are known, per session. Below two, the spread is the
            standard error of a Sharpe ratio of 0, 1 ÷ √(n − 1).
    """
    from skfolio.measures import expected_max_sharpe_ratio

    if len(sharpes) >= 2:
        spread = float(np.std(sharpes, ddof=1))
    else:
        spread = 1.0 / (max(len(returns), 2) - 1) ** 0.5
    luck = float(expected_max_sharpe_ratio(settings, spread))
    return Deflated(settings, spread, luck, probabilistic_sharpe(returns, luck))


def sharpe_per_session(returns: Floats) -> float:
    """Mean ÷ sample standard deviation."""
    return float(returns.mean() / returns.std(ddof=1))


def _moves(returns: Floats) -> bool:
    return len(returns) >= 3 and float(returns.var()) > 1e-18
