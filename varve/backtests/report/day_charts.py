"""The charts of every day of a run, drawn once: each day is a window on them that ends with that day.

K-line (candles, averages, Bollinger bands, volume) and trading chart (closes with the run's own fills,
returns below) as SVG. A day shows the last 60 sessions of it, so that nothing after the day is in sight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from varve.backtests.results.track import Track
from varve.market.data import Floats, InstrumentData
from varve.market.market_data import MarketData
from varve.strategies.indicators import deviation_line, sma_line

SESSIONS = 60
FAST, SLOW, BAND = 5, 20, 2.0
"""As in FinAgent's charts: averages over sessions, bands in sample deviations."""

_UP, _DOWN, _INK, _FAST, _SLOW, _BAND = "#15803d", "#b91c1c", "#374151", "#d97706", "#0b5fa5", "#94a3b8"
_STYLE = 'fill="none" vector-effect="non-scaling-stroke"'


class Window(NamedTuple):
    """One chart of one day: which drawing, what part of it (x, y, width, height), what to write beside."""

    drawing: str
    box: str
    top: str
    bottom: str
    tall: bool


class ChartsOfDay(NamedTuple):
    """The windows of one day with their captions; ``span`` is its first session and the day itself."""

    kline: list[Window]
    trading: list[Window]
    kline_note: str
    trading_note: str
    span: tuple[str, str]


class DayCharts:
    """The drawings of a run, and each day's windows on them.

    Args:
        data: what the run could see.
        track: what it did, from the first session of the test on.
    """

    def __init__(self, data: InstrumentData, track: Track) -> None:
        symbol = data.instrument.symbol
        last = int(np.searchsorted(data.bars.sessions, np.datetime64(track.sessions[-1])))
        first = int(np.searchsorted(data.bars.sessions, np.datetime64(track.sessions[0])))
        self._first = max(0, first + 1 - SESSIONS)
        bars = MarketData({symbol: data}).as_of(data.bars.bar(last).end).bars(symbol)
        slow = _known(sma_line, bars.close, SLOW)
        width = BAND * _known(deviation_line, bars.close, SLOW)
        lines = (bars.open, bars.high, bars.low, bars.close, bars.volume, _known(sma_line, bars.close, FAST))
        shown = [line[self._first :] for line in (*lines, slow, slow + width, slow - width)]
        self._open, self._high, self._low, self._close, self._volume = shown[:5]
        self._fast, self._slow, self._upper, self._lower = shown[5:]
        # What a price on the basis of the run's end was on the basis of its own day.
        self._basis = data.bars.close[self._first : last + 1] / self._close
        self._sessions: list[date] = bars.sessions[self._first :].tolist()
        self._place = {session: i for i, session in enumerate(self._sessions)}
        unknown = np.full(first - self._first, np.nan)
        equity = np.asarray(track.equity)
        close = self._close[first - self._first :]
        self._own = np.concatenate([unknown, 100.0 * (equity / equity[0] - 1.0)])
        self._price = np.concatenate([unknown, 100.0 * (close / close[0] - 1.0)])
        self._fills = [fill for fill in track.fills if fill.clipped != "cash_in_lieu"]
        self._candles = bool(np.isfinite(self._open + self._high + self._low).all())
        self._has_volume = bool(np.isfinite(self._volume).any())

    def drawings(self) -> list[tuple[str, str]]:
        """Every drawing once, as (id, SVG elements); x in sessions, y in minus prices (or percent)."""
        bands = [(self._upper, _BAND), (self._lower, _BAND), (self._fast, _FAST), (self._slow, _SLOW)]
        kline = self._candle_paths() if self._candles else [_line(self._close, _INK, 1.4)]
        kline += [_line(line, colour, 1.1) for line, colour in bands]
        drawings = [("kline", kline)]
        if self._has_volume:
            drawings.append(("volume", self._volume_paths()))
        drawings.append(("trades", [_line(self._close, _INK, 1.3), *self._fill_paths()]))
        drawings.append(("returns", [_line(self._price, _BAND, 1.2), _line(self._own, _SLOW, 1.6)]))
        return [(name, "".join(parts)) for name, parts in drawings]

    def of(self, session: date) -> ChartsOfDay | None:
        """A day's captions and windows; None for a session that is not in the run."""
        i = self._place.get(session)
        if i is None:
            return None
        part = slice(max(0, i + 1 - SESSIONS), i + 1)
        prices = (self._high, self._low) if self._candles else (self._close,)
        basis = float(self._basis[i])
        windows = [self._window("kline", part, (*prices, self._upper, self._lower), basis, "{:,.2f}", True)]
        if self._has_volume:
            windows.append(
                self._window("volume", part, (self._volume, np.zeros(1)), 1e-6, "{:,.4g} M", False)
            )
        own = [
            self._window("trades", part, (self._close,), basis, "{:,.2f}", True),
            self._window("returns", part, (self._own, self._price), 1.0, "{:+.1f} %", False),
        ]
        return ChartsOfDay(
            kline=windows,
            trading=own,
            kline_note=self._kline_note(i, basis),
            trading_note=self._trading_note(i, part),
            span=(str(self._sessions[part.start]), f"{session} (today)"),
        )

    def _kline_note(self, i: int, basis: float) -> str:
        said = [f"close {self._close[i] * basis:,.2f}"]
        for name, line in ((f"MA{FAST}", self._fast), (f"MA{SLOW}", self._slow)):
            if np.isfinite(line[i]):
                said.append(f"{name} {line[i] * basis:,.2f}")
        if np.isfinite(self._upper[i]):
            said.append(f"bands {self._lower[i] * basis:,.2f} to {self._upper[i] * basis:,.2f}")
        return ", ".join(said)

    def _trading_note(self, i: int, part: slice) -> str:
        since = self._sessions[part.start]
        here = [fill for fill in self._fills if since <= fill.session <= self._sessions[i]]
        bought = sum(fill.quantity > 0 for fill in here)
        text = f"{bought} bought, {len(here) - bought} sold"
        if np.isfinite(self._own[i]):
            text += f"; since the start {self._own[i]:+.1f} %, the price {self._price[i]:+.1f} %"
        return text

    def _window(
        self, drawing: str, part: slice, lines: Sequence[Floats], basis: float, form: str, tall: bool
    ) -> Window:
        values = np.concatenate([line[part] if len(line) > 1 else line for line in lines])
        values = values[np.isfinite(values)]
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        room = 0.04 * (high - low) or 0.01 * abs(high) or 1.0
        count = part.stop - part.start
        # Up to the right edge of today's bar and no further.
        box = f"{part.start - 0.5:g} {_n(-high - room)} {count:g} {_n(high - low + 2 * room)}"
        return Window(drawing, box, form.format(high * basis), form.format(low * basis), tall)

    def _candle_paths(self) -> list[str]:
        parts = []
        rises = self._close >= self._open
        for up, colour in ((True, _UP), (False, _DOWN)):
            days = np.flatnonzero(rises == up)
            wicks = "".join(f"M{i} {_n(-self._low[i])}V{_n(-self._high[i])}" for i in days)
            bodies = "".join(
                f"M{i - 0.35:g} {_n(-max(self._open[i], self._close[i]))}h.7"
                f"V{_n(-min(self._open[i], self._close[i]))}h-.7z"
                for i in days
            )
            parts.append(f'<path {_STYLE} stroke="{colour}" d="{wicks}"/>')
            # Stroked too: a bar that closes where it opened is a dash, not nothing.
            parts.append(
                f'<path fill="{colour}" stroke="{colour}" stroke-width=".8" '
                f'vector-effect="non-scaling-stroke" d="{bodies}"/>'
            )
        return parts

    def _volume_paths(self) -> list[str]:
        rises = np.diff(self._close, prepend=self._close[0]) >= 0
        parts = []
        for up, colour in ((True, _UP), (False, _DOWN)):
            days = np.flatnonzero((rises == up) & np.isfinite(self._volume))
            bars = "".join(f"M{i - 0.35:g} 0h.7V{_n(-self._volume[i])}h-.7z" for i in days)
            parts.append(f'<path fill="{colour}" opacity=".6" d="{bars}"/>')
        return parts

    def _fill_paths(self) -> list[str]:
        """A dot per fill on the close of its session: round ends of lines of no length."""
        parts = []
        for sign, colour in ((1, _UP), (-1, _DOWN)):
            places = [self._place[fill.session] for fill in self._fills if fill.quantity * sign > 0]
            dots = "".join(f"M{i} {_n(-self._close[i])}h0" for i in places)
            parts.append(
                f'<path {_STYLE} stroke="{colour}" stroke-width="9" stroke-linecap="round" d="{dots}"/>'
            )
        return parts


def _line(values: Floats, colour: str, width: float) -> str:
    points = " ".join(f"{i},{_n(-values[i])}" for i in np.flatnonzero(np.isfinite(values)))
    return f'<polyline {_STYLE} stroke="{colour}" stroke-width="{width}" points="{points}"/>'


def _known(line: Callable[[Floats, int], Floats], closes: Floats, window: int) -> Floats:
    known: Floats = line(closes, window) if len(closes) >= window else np.full(len(closes), np.nan)
    return known


def _n(value: float) -> str:
    return f"{value:.6g}"
