"""Another future: the same data with everything after an instant scrambled, for tests of foresight."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np

from varve.clock import from_ns, to_ns
from varve.market.data import BarSeries, InstrumentData
from varve.types import CorporateEvent


def scramble_after(data: InstrumentData, instant: datetime, *, seed: int = 0) -> InstrumentData:
    """``data`` with every fact that was not available at ``instant`` replaced by another.

    Bars that had not ended get other prices and volumes (calendar times stay: the calendar is known),
    later documents other texts, later splits and dividends other values. Everything available at
    ``instant`` is kept to the bit.
    """
    rng = np.random.default_rng(seed)
    bars = data.bars
    later = bars.end_ns > to_ns(instant)
    count = int(later.sum())
    factor = np.exp(np.cumsum(rng.normal(0.0, 0.05, count)) + 0.3 * rng.choice([-1.0, 1.0]))

    def other(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
        changed = values.copy()
        changed[later] = values[later] * scale
        return changed

    scrambled = BarSeries(
        sessions=bars.sessions,
        start_ns=bars.start_ns,
        end_ns=bars.end_ns,
        open=other(bars.open, factor),
        high=other(bars.high, factor * 1.02),
        low=other(bars.low, factor * 0.98),
        close=other(bars.close, factor * np.exp(rng.normal(0.0, 0.005, count))),
        volume=other(bars.volume, np.exp(rng.normal(0.0, 1.0, count))),
    )
    scrambled = replace(
        scrambled,
        high=_widened(np.fmax, scrambled.high, scrambled, later),
        low=_widened(np.fmin, scrambled.low, scrambled, later),
    )
    documents = tuple(
        d
        if d.available_at <= instant
        else replace(d, text=f"scrambled {rng.integers(1 << 30)} plunges surges")
        for d in data.documents
    )
    return replace(
        data,
        bars=scrambled,
        documents=documents,
        events=tuple(_other_event(e, data, instant) for e in data.events),
    )


def _widened(outer: np.ufunc, extreme: np.ndarray, bars: BarSeries, later: np.ndarray) -> np.ndarray:
    """Highs (lows) of later bars moved out to their opens and closes; what is missing stays missing."""
    return np.where(later & ~np.isnan(extreme), outer(extreme, outer(bars.open, bars.close)), extreme)


def _other_event(event: CorporateEvent, data: InstrumentData, instant: datetime) -> CorporateEvent:
    """The event with another value if its bar had not begun by ``instant``."""
    index = int(np.searchsorted(data.bars.sessions, np.datetime64(event.session)))
    if index < len(data.bars) and from_ns(int(data.bars.start_ns[index])) <= instant:
        return event
    return replace(event, value=event.value * 2.0)
