"""What the same sessions in another order might have come to: the stationary block bootstrap."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from varve.market.data import Floats

DRAWS = 2_000
MIN_SESSIONS = 10


class Resampled(NamedTuple):
    """Ranges that hold 95 % of resampled runs, as fractions; ``max_drawdown`` is negative.

    Resampled ranges, not confidence intervals: a drawdown hangs on the order of sessions, and its
    resampled law is centred on no true value. ``block_sessions`` is the mean length of a block.
    """

    total_return: tuple[float, float]
    max_drawdown: tuple[float, float]
    block_sessions: int


def resample(returns: Floats, *, draws: int = DRAWS, seed: int = 0) -> Resampled | None:
    """Draw blocks of sessions again and again (Politis and Romano 1994) and see what each run comes to.

    Blocks have random lengths, the mean being Politis and White's automatic choice (2004, corrected
    2009), so that what hangs together from one session to the next stays together.

    Args:
        returns: simple returns per session without bar 0, shape (n,).
        draws: runs drawn.
        seed: of the draws; nothing else decides them.

    Returns:
        The ranges; None with fewer than 10 sessions, or where nothing ever moves.
    """
    from arch.bootstrap import StationaryBootstrap, optimal_block_length

    if len(returns) < MIN_SESSIONS or float(returns.var()) <= 1e-18:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        # Sessions that stand still for a while have no autocorrelation; the choice is then not finite.
        best = float(optimal_block_length(returns)["stationary"].iloc[0])
    block = min(max(1, math.ceil(best)), len(returns)) if math.isfinite(best) else 1
    drawn = StationaryBootstrap(block, np.asarray(returns, float), seed=seed).apply(_figures, draws)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return Resampled((float(low[0]), float(high[0])), (float(low[1]), float(high[1])), block)


def _figures(returns: Floats) -> Floats:
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    return np.array([wealth[-1] - 1.0, (wealth / np.maximum.accumulate(wealth)).min() - 1.0])
