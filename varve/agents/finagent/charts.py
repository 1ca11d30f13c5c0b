"""The two pictures of a FinAgent's day, and the same content as tables for models that cannot see.

K-line chart and trading chart after FinAgent (arXiv 2402.18485, section 4.2), drawn from the day's view and
the trader's own notes alone. PNG of 640 × 400 pixels; equal content gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from varve.drawing import draw_png
from varve.errors import NoDataError
from varve.market.data import BarSeries, Floats
from varve.market.observation import Observation
from varve.market.view import MarketView
from varve.strategies.indicators import deviation_line, sma_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SESSIONS = 60
"""Shown by default, today the last."""

FAST, SLOW, BAND = 5, 20, 2.0
"""Windows of the moving averages, sessions; Bollinger bands lie BAND sample deviations off the slow one."""

DAILY_ROWS, MERGED = 10, 5
"""Tables show the newest sessions one by one, and the older ones merged by so many."""

_SIZE, _DPI, _COLOURS = (6.4, 4.0), 100, 64
_UP, _DOWN, _TODAY, _INK = "#15803d", "#b91c1c", "#6d28d9", "#374151"
_FAST, _SLOW, _BAND, _GRID = "#d97706", "#0b5fa5", "#94a3b8", "#e5e7eb"
_STYLE: dict[str, object] = {
    "font.size": 8, "axes.titlesize": 9, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5, "axes.labelsize": 7.5, "axes.linewidth": 0.8,
}  # fmt: skip


class Held(NamedTuple):
    """What a trader held and was worth at one of its decisions.

    ``close`` is the last close as traded by then; ``position`` is signed, in shares of that day.
    """

    session: date
    close: float
    position: float
    equity: float


def held_at(observation: Observation) -> Held:
    """The note that a trader takes of itself at a decision, for its trading chart."""
    close = observation.view.last_close(observation.instrument.symbol)
    return Held(observation.session, float(close or 0.0), observation.position, observation.portfolio.equity)


class _Lines(NamedTuple):
    """The bars shown, and what was computed on longer history and cut to them; each of shape (n,)."""

    bars: BarSeries
    fast: Floats
    slow: Floats
    upper: Floats
    lower: Floats


def kline_chart(view: MarketView, symbol: str, *, sessions: int = SESSIONS) -> bytes:
    """Candles, moving averages, Bollinger bands and volume of the last sessions, with a mark on today.

    A line of closes where a bar shown has no open, high or low; no volume panel where none is known.

    Raises:
        NoDataError: if no bar had ended by then.
    """
    lines = _lines(view, symbol, sessions)
    currency = view.instrument(symbol).currency
    volume = bool(np.isfinite(lines.bars.volume).any())

    def paint(figure: Figure) -> None:
        price = figure.add_axes((0.09, 0.28 if volume else 0.08, 0.89, 0.65 if volume else 0.85))
        panels = [price]
        _prices(price, lines)
        if volume:
            panels.append(figure.add_axes((0.09, 0.08, 0.89, 0.17)))
            _volume(panels[-1], lines.bars)
        _frame(panels, lines.bars)
        price.set_title(_title(symbol, lines.bars, currency))
        _mark_synthetic(price, view, symbol)

    return draw_png(paint, _SIZE, dpi=_DPI, style=_STYLE, colours=_COLOURS)


def trading_chart(view: MarketView, symbol: str, held: Sequence[Held], *, sessions: int = SESSIONS) -> bytes:
    """Closes with the trader's own buys and sells, and below its cumulative return beside the price's.

    Args:
        held: the trader's notes, oldest first, the last one today's. A buy or sell is a change from one
            note to the next and stands on the session of the later one.

    Raises:
        NoDataError: if no bar had ended by then.
    """
    bars = _lines(view, symbol, sessions).bars
    own = _own(bars, held, view.instrument(symbol).lot_size)

    def paint(figure: Figure) -> None:
        price, returns = figure.add_axes((0.09, 0.38, 0.89, 0.55)), figure.add_axes((0.09, 0.08, 0.89, 0.26))
        _trades(price, bars, own)
        _returns(returns, own)
        _frame((price, returns), bars)
        price.set_title(_title(symbol, bars, view.instrument(symbol).currency))
        returns.legend(loc="upper left", ncols=2, borderaxespad=0.2)
        _mark_synthetic(price, view, symbol)

    return draw_png(paint, _SIZE, dpi=_DPI, style=_STYLE, colours=_COLOURS)


def kline_table(view: MarketView, symbol: str, *, sessions: int = SESSIONS) -> list[str]:
    """The content of :func:`kline_chart` as lines of text, a header first.

    The ten newest sessions one by one, older ones merged by five (first open, highest high, lowest low,
    last close and averages, mean volume). Prices in the instrument's currency; ``-`` where unknown.

    Raises:
        NoDataError: if no bar had ended by then.
    """
    bars, fast, slow, upper, lower = _lines(view, symbol, sessions)
    known = bool(np.isfinite(bars.open).any())
    with_volume = bool(np.isfinite(bars.volume).any())
    head = ["session", *(["open", "high", "low"] if known else []), "close", f"ma{FAST}", f"ma{SLOW}"]
    rows = [" | ".join([*head, "band_low", "band_high", *(["volume"] if with_volume else [])])]
    for first, last in _groups(len(bars)):
        part = slice(first, last)
        candle = (bars.open[first], _of(np.max, bars.high[part]), _of(np.min, bars.low[part]))
        cells = [
            *(candle if known else ()),
            *(line[last - 1] for line in (bars.close, fast, slow, lower, upper)),
        ]
        texts = [_price(float(cell)) for cell in cells]
        if with_volume:
            texts.append(_short(_of(np.mean, bars.volume[part])))
        rows.append(" | ".join([_named(bars, first, last), *texts]))
    return rows


def trading_table(
    view: MarketView, symbol: str, held: Sequence[Held], *, sessions: int = SESSIONS
) -> list[str]:
    """The content of :func:`trading_chart` as lines of text, a header first; rows as in :func:`kline_table`.

    ``bought`` and ``sold`` in today's shares; returns in percent since the first note shown.

    Raises:
        NoDataError: if no bar had ended by then.
    """
    bars = _lines(view, symbol, sessions).bars
    own = _own(bars, held, view.instrument(symbol).lot_size)
    rows = ["session | close | bought | sold | position | own_return_% | price_return_%"]
    for first, last in _groups(len(bars)):
        traded = own.traded[first:last]
        cells = [
            _price(float(bars.close[last - 1])),
            *(f"{amount:g}" if amount else "-" for amount in (_sum(traded, 1), _sum(traded, -1))),
            *(_plain(line[last - 1], form) for line, form in ((own.position, "g"), (own.gain, "+.1f"))),
            _plain(own.price_gain[last - 1], "+.1f"),
        ]
        rows.append(" | ".join([_named(bars, first, last), *cells]))
    return rows


def _lines(view: MarketView, symbol: str, sessions: int) -> _Lines:
    bars = view.bars(symbol, sessions + SLOW - 1)
    if not len(bars):
        raise NoDataError(f"no bar of {symbol} had ended by {view.instant}", mend="begin the run later")
    fast, slow = _known(sma_line, bars.close, FAST), _known(sma_line, bars.close, SLOW)
    width = BAND * _known(deviation_line, bars.close, SLOW)
    first = max(0, len(bars) - sessions)
    return _Lines(
        bars.slice(first, len(bars)), *(line[first:] for line in (fast, slow, slow + width, slow - width))
    )


def _known(line: Callable[[Floats, int], Floats], closes: Floats, window: int) -> Floats:
    return line(closes, window) if len(closes) >= window else np.full(len(closes), np.nan)


class _Own(NamedTuple):
    """A trader's notes on the bars shown, each of shape (n,): NaN (0 for ``traded``) where it has none.

    ``traded`` and ``position`` in shares of today; gains in percent since the first note shown.
    """

    traded: Floats
    position: Floats
    gain: Floats
    price_gain: Floats


def _own(bars: BarSeries, held: Sequence[Held], lot: float) -> _Own:
    by_session = {note.session: note for note in held}
    notes = [by_session.get(bars.session(i)) for i in range(len(bars))]
    unknown = float("nan")
    # A close as traded then ÷ the same close on today's basis is the splits since.
    position = np.array(
        [
            unknown if note is None else note.position * note.close / bars.close[i]
            for i, note in enumerate(notes)
        ]
    )
    equity = np.array([unknown if note is None else note.equity for note in notes])
    traded, before = np.zeros(len(bars)), None
    for i in np.flatnonzero(np.isfinite(position)):
        change = 0.0 if before is None else position[i] - before
        # Less than a lot is what a split leaves over.
        traded[i] = round(change, 6) if abs(change) > 0.999 * lot else 0.0
        before = position[i]
    shown = np.flatnonzero(np.isfinite(equity))
    gain, price_gain = np.full(len(bars), unknown), np.full(len(bars), unknown)
    if len(shown):
        first = shown[0]
        gain = 100.0 * (equity / equity[first] - 1.0)
        price_gain[first:] = 100.0 * (bars.close[first:] / bars.close[first] - 1.0)
    return _Own(traded, np.round(position, 6), gain, price_gain)


def _has_candles(bars: BarSeries) -> bool:
    return bool(np.isfinite(bars.open + bars.high + bars.low).all())


def _title(symbol: str, bars: BarSeries, currency: str) -> str:
    return f"{symbol} to {bars.session(len(bars) - 1)}, close {_price(float(bars.close[-1]))} {currency}"


def _prices(axes: Axes, lines: _Lines) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    bars, places = lines.bars, np.arange(len(lines.bars))
    axes.fill_between(places, lines.lower, lines.upper, color=_BAND, alpha=0.18, linewidth=0)
    axes.plot(places, lines.upper, color=_BAND, linewidth=0.8, label=f"Bollinger {SLOW}")
    axes.plot(places, lines.lower, color=_BAND, linewidth=0.8)
    axes.plot(places, lines.fast, color=_FAST, linewidth=1.1, label=f"MA{FAST}")
    axes.plot(places, lines.slow, color=_SLOW, linewidth=1.1, label=f"MA{SLOW}")
    if not _has_candles(bars):
        axes.plot(places, bars.close, color=_INK, linewidth=1.3)
        return
    colours = np.where(bars.close >= bars.open, _UP, _DOWN).tolist()
    wicks = [[(i, bars.low[i]), (i, bars.high[i])] for i in range(len(bars))]
    axes.add_collection(LineCollection(wicks, colors=colours, linewidths=0.9, zorder=2.5))
    thin = 0.001 * float(np.nanmax(bars.high) - np.nanmin(bars.low) or 1.0)
    bodies = []
    for i in range(len(bars)):
        low, high = sorted((float(bars.open[i]), float(bars.close[i])))
        high = max(high, low + thin)  # a bar that closes where it opened is a dash, not nothing
        bodies.append([(i - 0.35, low), (i + 0.35, low), (i + 0.35, high), (i - 0.35, high)])
    axes.add_collection(PolyCollection(bodies, facecolors=colours, linewidths=0, zorder=2.6))
    axes.autoscale_view()


def _volume(axes: Axes, bars: BarSeries) -> None:
    rises = np.diff(bars.close, prepend=bars.close[0]) >= 0
    axes.bar(
        np.arange(len(bars)),
        np.nan_to_num(bars.volume),
        0.7,
        color=np.where(rises, _UP, _DOWN).tolist(),
        alpha=0.6,
    )
    axes.set_ylabel("volume")
    axes.yaxis.set_major_formatter(lambda value, _: _short(value))


def _trades(axes: Axes, bars: BarSeries, own: _Own) -> None:
    axes.plot(np.arange(len(bars)), bars.close, color=_INK, linewidth=1.2)
    for sign, marker, colour, label in ((1, "^", _UP, "buy"), (-1, "v", _DOWN, "sell")):
        places = np.flatnonzero(own.traded * sign > 0)
        axes.plot(
            places, bars.close[places], linestyle="none", marker=marker, color=colour, markersize=7,
            label=f"{label} ({len(places)})",
        )  # fmt: skip


def _returns(axes: Axes, own: _Own) -> None:
    places = np.arange(len(own.gain))
    known = np.isfinite(own.gain)  # a day without a note is bridged, not a gap
    axes.plot(places, own.price_gain, color=_BAND, linewidth=1.0, label="price")
    axes.plot(places[known], own.gain[known], color=_SLOW, linewidth=1.4, label="own")
    axes.axhline(0.0, color="#9ca3af", linewidth=0.7)
    axes.set_ylabel("return, %")
    axes.margins(y=0.15)


def _frame(panels: Sequence[Axes], bars: BarSeries) -> None:
    """One span for every panel, up to six dates along the bottom of the last, and a dashed line on today."""
    count = len(bars)
    places = np.unique(np.linspace(0, count - 1, min(6, count)).round().astype(int))
    dates = [f"{bars.session(int(i)):%Y-%m-%d}" for i in places]
    for axes in panels:
        axes.set_xlim(-1.0, count + 0.055 * count)
        axes.set_xticks(places, dates if axes is panels[-1] else [""] * len(places))
        axes.grid(True, color=_GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.axvline(count - 1, color=_TODAY, linewidth=0.9, linestyle=(0, (4, 3)))
    # In the margin, where it hides no bar.
    panels[0].text(
        1.0, 0.04, "today", transform=panels[0].transAxes, rotation=90, color=_TODAY, weight="bold",
        ha="right", va="bottom",
    )  # fmt: skip
    panels[0].plot([count - 1], [bars.close[-1]], marker="D", color=_TODAY, markersize=4.0, zorder=4)
    panels[0].legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), ncols=3, borderaxespad=0.0)


def _mark_synthetic(axes: Axes, view: MarketView, symbol: str) -> None:
    if view.provenance(symbol).synthetic:
        axes.text(
            0.5, 0.5, "SYNTHETIC", transform=axes.transAxes, fontsize=24, color="#b45309", alpha=0.16,
            ha="center", va="center", weight="bold", zorder=0.5,
        )  # fmt: skip


def _groups(count: int) -> list[tuple[int, int]]:
    """Spans ``[first, last)`` of the rows of a table, oldest first; only the oldest may be short."""
    daily = [(i, i + 1) for i in range(max(0, count - DAILY_ROWS), count)]
    merged = [(max(0, last - MERGED), last) for last in range(count - DAILY_ROWS, 0, -MERGED)]
    return [*reversed(merged), *daily]


def _named(bars: BarSeries, first: int, last: int) -> str:
    end = f"{bars.session(last - 1)}"
    name = end if last - first == 1 else f"{bars.session(first)} to {end}"
    return f"{name} (today)" if last == len(bars) else name


def _of(fold: Callable[[Floats], np.floating], values: Floats) -> float:
    """A fold over what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(fold(known)) if len(known) else float("nan")


def _sum(values: Floats, sign: int) -> float:
    return float(np.abs(values[values * sign > 0]).sum())


def _price(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}" if abs(value) >= 1 else f"{value:.4g}"


def _plain(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(float(value), form)


def _short(value: float) -> str:
    """A count in three digits, as 12.3M."""
    if np.isnan(value):
        return "-"
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
