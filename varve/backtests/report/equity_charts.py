"""Charts of a run as PNG bytes: equal data gives equal bytes. Synthetic data is marked on every one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from varve.backtests.results.track import Track
from varve.drawing import draw_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Axes = Any
"""Matplotlib's; its stubs refuse dates on an axis."""

COLOURS = ("#0b5fa5", "#d97706", "#6b7280", "#9d4edd", "#2a9d8f")
_BUY, _SELL, _GRID = "#15803d", "#b91c1c", "#e5e7eb"
WIDTH = 9.0
"""Of a chart, inches."""

_STYLE = {"font.size": 10}


def draw_charts(tracks: Sequence[Track], *, currency: str, synthetic: bool) -> dict[str, bytes]:
    """The four charts by name, PNG; the agent's track first, then its baselines."""

    def draw(paint: Callable[[Axes], None], title: str, height: float) -> bytes:
        return _draw(paint, title, height, synthetic=synthetic)

    agent = tracks[0]
    return {
        "equity": draw(lambda ax: _equity(ax, tracks, currency), f"Equity ({currency})", 3.6),
        "drawdown": draw(lambda ax: _drawdown(ax, tracks), "Drawdown (%)", 2.4),
        "price": draw(lambda ax: _price(ax, agent), f"Price and trades ({currency})", 3.4),
        "exposure": draw(lambda ax: _exposure(ax, agent), "Exposure (% of equity)", 1.9),
    }


def _draw(paint: Callable[[Axes], None], title: str, height: float, *, synthetic: bool) -> bytes:
    return draw_stacked(((paint, title, height),), synthetic=synthetic)


def draw_stacked(parts: Sequence[tuple[Callable[[Axes], None], str, float]], *, synthetic: bool) -> bytes:
    """A figure of parts below each other, PNG; each has what paints it, a title and a height (inches)."""
    whole = sum(height for *_, height in parts)

    def paint_all(figure: Figure) -> None:
        bottom = whole
        for paint, title, height in parts:
            bottom -= height
            # Fixed margins: a layout that measures its labels draws everything twice.
            place = (0.85 / WIDTH, (bottom + 0.35) / whole, 1 - 1.0 / WIDTH, (height - 0.7) / whole)
            axes = figure.add_axes(place)
            axes.set_title(title)
            axes.grid(True, color=_GRID, linewidth=0.8)
            axes.set_axisbelow(True)
            paint(axes)
            if synthetic:
                _mark_synthetic(axes)

    return draw_png(paint_all, (WIDTH, whole), dpi=110, style=_STYLE)


def _mark_synthetic(axes: Axes) -> None:
    axes.text(
        0.5, 0.5, "SYNTHETIC DATA", transform=axes.transAxes, fontsize=30, color="#b45309",
        alpha=0.16, ha="center", va="center", weight="bold", zorder=0.5,
    )  # fmt: skip


def set_dates(axes: Axes) -> None:
    """Dates along the bottom."""
    import matplotlib.dates as mdates

    first, last = axes.get_xlim()
    # No hours: a window of few days has few dates.
    locator = mdates.AutoDateLocator(minticks=min(5, max(1, int(last - first))), maxticks=9)
    axes.xaxis.set_major_locator(locator)
    # The year stands at the months: below the axis, where it is put by default, there is no room for it.
    zeros = ["", "%Y", "%b %Y", "%b-%d", "%H:%M", "%H:%M"]
    axes.xaxis.set_major_formatter(
        mdates.ConciseDateFormatter(locator, zero_formats=zeros, show_offset=False)
    )


def _equity(axes: Axes, tracks: Sequence[Track], currency: str) -> None:
    for i, track in enumerate(tracks):
        style = {"linewidth": 2.0, "zorder": 3} if i == 0 else {"linewidth": 1.2}
        axes.plot(track.sessions, track.equity, label=track.name, color=COLOURS[i % len(COLOURS)], **style)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(loc="best", ncols=2)
    set_dates(axes)


def _drawdown(axes: Axes, tracks: Sequence[Track]) -> None:
    for i, track in enumerate(tracks[:2]):
        equity = np.asarray(track.equity)
        depth = 100 * (equity / np.maximum.accumulate(equity) - 1)
        colour = COLOURS[i]
        axes.plot(track.sessions, depth, color=colour, linewidth=1.3, label=track.name)
        if i == 0:
            axes.fill_between(track.sessions, depth, 0, color=colour, alpha=0.15)
    axes.legend(loc="lower left", ncols=2)
    set_dates(axes)


def _price(axes: Axes, track: Track) -> None:
    # On the split basis of the last session, so that a split is no cliff.
    factor = dict(zip(track.sessions, track.split_factors, strict=True))
    closes = np.asarray(track.close) / np.asarray(track.split_factors)
    axes.plot(track.sessions, closes, color="#374151", linewidth=1.2)
    for sign, marker, colour, label in ((1, "^", _BUY, "buy"), (-1, "v", _SELL, "sell")):
        fills = [f for f in track.fills if f.quantity * sign > 0 and f.clipped != "cash_in_lieu"]
        axes.scatter(
            [f.session for f in fills],
            [f.price / factor[f.session] for f in fills],
            marker=marker, color=colour, s=34, label=f"{label} ({len(fills)})", zorder=3, linewidths=0,
        )  # fmt: skip
    axes.legend(loc="best", ncols=2)
    set_dates(axes)


def _exposure(axes: Axes, track: Track) -> None:
    weight = 100 * np.asarray(track.position) * np.asarray(track.close) / np.asarray(track.equity)
    axes.fill_between(track.sessions, weight, 0, step="pre", color=COLOURS[0], alpha=0.35, linewidth=0)
    axes.axhline(0, color="#9ca3af", linewidth=0.8)
    axes.set_ylim(min(-5.0, float(weight.min()) * 1.05), max(105.0, float(weight.max()) * 1.05))
    set_dates(axes)
