"""Technical indicators of a price series' last point, in plain numpy; for rules and for agents' tools.

Each takes closes (shape (n,), one currency, one split basis, oldest first) and a window in bars, and
returns one float, or None where the series is too short. Nothing hangs on closes older than it says.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from varve.errors import SettingError, UnknownNameError

Floats = NDArray[np.float64]
EMA_WINDOWS = 5
"""An exponential average looks back this many windows; what is older weighs under 5e-5."""


def sma(closes: Floats, window: int) -> float | None:
    """Simple average of the last ``window`` closes, in the currency of the closes."""
    return float(closes[-window:].mean()) if len(closes) >= window else None


def ema(closes: Floats, window: int) -> float | None:
    """Exponential average with α = 2 ÷ (window + 1), in the currency of the closes.

    Weights fall by 1 − α per bar over the last 5 windows and are normalised, so it needs one window.
    """
    if len(closes) < window:
        return None
    recent = closes[-EMA_WINDOWS * window :]
    weights = (1.0 - 2.0 / (window + 1)) ** np.arange(len(recent) - 1, -1, -1)
    return float(recent @ weights / weights.sum())


def rsi(closes: Floats, window: int) -> float | None:
    """Relative strength of the last ``window`` changes, 0 to 100, plain averages; 50 without any change."""
    if len(closes) < window + 1:
        return None
    changes = np.diff(closes[-window - 1 :])
    gains, losses = float(changes.clip(min=0).sum()), float(-changes.clip(max=0).sum())
    return 100.0 * gains / (gains + losses) if gains + losses else 50.0


def volatility(closes: Floats, window: int) -> float | None:
    """Sample standard deviation of the last ``window`` log returns, as a fraction per bar."""
    if window < 2 or len(closes) < window + 1:
        return None
    return float(np.diff(np.log(closes[-window - 1 :])).std(ddof=1))


def momentum(closes: Floats, window: int) -> float | None:
    """Last close ÷ close ``window`` bars before − 1, a fraction."""
    return float(closes[-1] / closes[-window - 1] - 1.0) if len(closes) >= window + 1 else None


def drawdown(closes: Floats, window: int) -> float | None:
    """Last close ÷ highest of the last ``window`` closes − 1, a fraction, never above 0."""
    return float(closes[-1] / closes[-window:].max() - 1.0) if len(closes) >= window else None


INDICATORS: dict[str, Callable[[Floats, int], float | None]] = {
    "drawdown": drawdown,
    "ema": ema,
    "momentum": momentum,
    "rsi": rsi,
    "sma": sma,
    "volatility": volatility,
}


def indicator(name: str, closes: Floats, window: int) -> float | None:
    """The indicator of that name over ``window`` bars; None where the series is too short.

    Raises:
        UnknownNameError: if there is none of that name.
        SettingError: if ``window`` is below 1.
    """
    if name not in INDICATORS:
        raise UnknownNameError("indicator", name, INDICATORS)
    if window < 1:
        raise SettingError(f"indicator window {window} cannot be used: at least 1 bar expected")
    return INDICATORS[name](closes, window)
