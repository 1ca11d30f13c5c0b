"""Technical indicators in plain numpy, for rules and for agents' tools.

Those of a series' last point take closes (shape (n,), one currency, one split basis, oldest first) and a
window in bars, and return one float, or None where the series is too short. Nothing hangs on closes
older than it says.

Those called *line* run along a whole history: shape (n,) in and out, NaN where too little is known.
Value i hangs on the bars up to i alone, to the last bit, whatever comes after them and however much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


def sma_line(values: Floats, window: int) -> Floats:
    """Simple average of the last ``window`` values, exact where they are all equal."""
    newest = values[window - 1 :]
    total = np.zeros(len(newest))
    # Sums of what differs from the newest: equal prices must not seem to cross by rounding.
    for shifted in _shifted(values, window):
        total += shifted - newest
    return _led_by_nan(newest + total / window, len(values))


def deviation_line(values: Floats, window: int) -> Floats:
    """Sample standard deviation (n − 1) of the last ``window`` values, at least 2."""
    mean = sma_line(values, window)[window - 1 :]
    total = np.zeros(len(mean))
    for shifted in _shifted(values, window):
        total += (shifted - mean) ** 2
    return _led_by_nan(np.sqrt(total / (window - 1)), len(values))


def highest_line(values: Floats, window: int) -> Floats:
    """Highest of the last ``window`` values."""
    highest = values[window - 1 :].copy()
    for shifted in _shifted(values, window):
        np.maximum(highest, shifted, out=highest)
    return _led_by_nan(highest, len(values))


def ema_line(values: Floats, window: int) -> Floats:
    """Exponential average with α = 2 ÷ (window + 1), started with the first value; known from bar 1 on."""
    return _smoothed(values, 2.0 / (window + 1))


def macd_lines(closes: Floats, fast: int, slow: int, signal: int) -> tuple[Floats, Floats]:
    """MACD and its signal line, in the currency of the closes (G. Appel).

    MACD = EMA(fast) − EMA(slow), known from bar ``slow`` on; the signal line is its EMA(signal), known
    from bar ``slow + signal − 1`` on.
    """
    macd = ema_line(closes, fast) - ema_line(closes, slow)
    line = ema_line(macd, signal)
    macd[: slow - 1] = np.nan
    line[: slow + signal - 2] = np.nan
    return macd, line


def rsi_line(closes: Floats, window: int) -> Floats:
    """Relative strength, 0 to 100, by Wilder's averages (New Concepts in Technical Trading Systems, 1978).

    The first is the plain average of the first ``window`` changes, each later one weighs the newest
    change by 1 ÷ window. 50 without any change.
    """
    line = np.full(len(closes), np.nan)
    if len(closes) <= window:
        return line
    changes = np.diff(closes)
    sides = []
    for side in (changes.clip(min=0), -changes.clip(max=0)):
        started = np.concatenate([sma_line(side[:window], window)[-1:], side[window:]])
        sides.append(_smoothed(started, 1.0 / window))
    gains, total = sides[0], sides[0] + sides[1]
    line[window:] = np.divide(100.0 * gains, total, out=np.full(len(total), 50.0), where=total > 0)
    return line


def stochastic_line(high: Floats, low: Floats, close: Floats, window: int) -> Floats:
    """Raw stochastic %K (G. Lane), 0 to 100: where the close lies in the range of the last ``window`` bars.

    50 where the range is nothing; a bar without high or low counts with its close.
    """
    highest = highest_line(np.where(np.isnan(high), close, high), window)
    lowest = -highest_line(-np.where(np.isnan(low), close, low), window)
    span = highest - lowest
    line: Floats = np.divide(100.0 * (close - lowest), span, out=np.full(len(close), 50.0), where=span > 0)
    line[np.isnan(span)] = np.nan
    return line


def kdj_lines(
    high: Floats, low: Floats, close: Floats, window: int, smoothing: int
) -> tuple[Floats, Floats, Floats]:
    """K, D and J: the raw stochastic averaged once and twice over ``smoothing`` bars; J = 3K − 2D.

    Plain averages, as in FinAgent's released code; other houses smooth exponentially.
    """
    raw = stochastic_line(high, low, close, window)
    k = _of_known(raw, smoothing)
    d = _of_known(k, smoothing)
    return k, d, 3.0 * k - 2.0 * d


def zscore_line(closes: Floats, window: int) -> Floats:
    """(Close − mean) ÷ sample standard deviation of the last ``window`` closes; 0 where all are equal."""
    mean, deviation = sma_line(closes, window), deviation_line(closes, window)
    line = np.divide(closes - mean, deviation, out=np.zeros(len(closes)), where=deviation > 0)
    line[np.isnan(deviation)] = np.nan
    return line


def crossings(one: Floats, other: Floats) -> NDArray[np.int8]:
    """Where ``one`` comes to lie above (1) or below (−1) ``other`` after having lain on its other side.

    Shape (n,), 0 elsewhere; bars on which both are equal, or one is NaN, lie on no side.
    """
    side = np.nan_to_num(np.sign(one - other)).astype(np.int8)
    crossed = np.zeros(len(side), dtype=np.int8)
    sided = np.flatnonzero(side)
    turned = sided[1:][side[sided[1:]] != side[sided[:-1]]]
    crossed[turned] = side[turned]
    return crossed


def _shifted(values: Floats, window: int) -> Iterator[Floats]:
    """The oldest value of each whole window, then the next, up to the newest.

    Adding them one by one fixes the order of each sum, so that no result hangs on the length of ``values``.
    """
    for first in range(window):
        yield values[first : len(values) - window + 1 + first]


def _led_by_nan(known: Floats, count: int) -> Floats:
    return np.concatenate([np.full(count - len(known), np.nan), known])


def _of_known(line: Floats, window: int) -> Floats:
    """The simple average of a line that begins with NaN."""
    unknown = int(np.isnan(line).sum())
    return _led_by_nan(sma_line(line[unknown:], window), len(line))


def _smoothed(values: Floats, weight: float) -> Floats:
    """a[i] = a[i−1] + weight · (values[i] − a[i−1]), a[0] = values[0]."""
    smoothed: list[float] = values[:1].tolist()
    for value in values[1:].tolist():
        smoothed.append(smoothed[-1] + weight * (value - smoothed[-1]))
    return np.array(smoothed, dtype=np.float64)
