"""A metric from another package: the best session of a run."""

import itertools

from varve.api import Measured, Metric


def best(measured: Measured) -> float | None:
    equity = measured.track.equity
    returns = [after / before - 1.0 for before, after in itertools.pairwise(equity)]
    return max(returns) if returns else None


BEST_SESSION = Metric(
    label="best session", unit="percent", better="higher", meaning="Return of the best session.", value=best
)
