"""How much of a Sharpe ratio may be luck: probabilistic and deflated Sharpe, minimum track record.

After Bailey and López de Prado, "The Sharpe ratio efficient frontier" (2012) and "The deflated Sharpe
ratio" (2014), but by the law of :mod:`varve.backtests.results.sharpe` in place of their normal one, which
takes flat sessions for evidence. All ratios here are per session, none is annual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.sharpe import session_law


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


def probabilistic_sharpe(sample: SessionReturns, benchmark: float = 0.0) -> float:
    """The probability that the true Sharpe ratio is above ``benchmark``; NaN where nothing can be said.

    One less the one-sided p of the test that the interval inverts.

    Args:
        sample: returns per session.
        benchmark: a Sharpe ratio per session.
    """
    from scipy.stats import t

    found = session_law(sample)
    if found is None:
        return float("nan")
    value, error, law = found
    return float(t.cdf(float(law.score((value - benchmark) / error)), law.freedom))


def minimum_track_record(sample: SessionReturns, benchmark: float = 0.0, confidence: float = 0.95) -> float:
    """Sessions from which on a record like this is above ``benchmark`` with that probability.

    The number at which :func:`probabilistic_sharpe` reaches ``confidence``, all else being as it is: the
    Sharpe ratio, the share of sessions in position, skewness, long-run variance, degrees of freedom.

    Returns:
        A number of sessions; infinite where the Sharpe ratio is not above ``benchmark``; NaN where
        nothing can be said.
    """
    from scipy.stats import t

    found = session_law(sample)
    if found is None:
        return float("nan")
    value, error, law = found
    if value <= benchmark:
        return float("inf")
    root, skew = law.count**0.5, float(law.skew)
    # The score is √m · bent + skew ÷ (6 √m): a quadratic in √m.
    bent = (float(law.score((value - benchmark) / error)) - skew / (6 * root)) / root
    asked = float(t.ppf(confidence, law.freedom))
    if bent <= 0:
        return float("inf")
    needed = (asked + max(asked**2 - 2 * bent * skew / 3, 0.0) ** 0.5) / (2 * bent)
    return float(needed**2 * len(sample) / law.count)


def deflated_sharpe(sample: SessionReturns, settings: int, sharpes: Sequence[float]) -> Deflated:
    """The probability that a Sharpe ratio is more than the luck of the best of many trials (2014).

    Args:
        sample: returns per session of the run that is looked at.
        settings: how many settings were tried, N ≥ 1.
        sharpes: those of their Sharpe ratios that are known, per session. Below two, the spread is the
            standard error of a Sharpe ratio of 0, 1 ÷ √(n − 1).
    """
    from skfolio.measures import expected_max_sharpe_ratio

    if len(sharpes) >= 2:
        spread = float(np.std(sharpes, ddof=1))
    else:
        spread = 1.0 / (max(len(sample), 2) - 1) ** 0.5
    luck = float(expected_max_sharpe_ratio(settings, spread))
    return Deflated(settings, spread, luck, probabilistic_sharpe(sample, luck))
