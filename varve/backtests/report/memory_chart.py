"""The chart of a memory over time: tiers as layers, what rose and was purged, and how much was of use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial

import numpy as np

from varve.backtests.report.equity_charts import Axes, draw_stacked, set_dates
from varve.memory.history import Tally, Told, names, timeline
from varve.memory.state.config import TIERS

HIT_RATE_SESSIONS = 21
"""The hit rate is drawn over so many sessions; of a single one it is mostly noise."""

_LAYERS = {"long": "#8c6d46", "mid": "#c49a5a", "short": "#ead7a6", "reflection": "#7c9cb5"}
"""From the bottom, as sediment lies; reflections on top."""

_UP, _DOWN, _PURGED, _HITS = "#15803d", "#b91c1c", "#6b7280", "#0b5fa5"


def draw_timelines(told: Sequence[Told], *, synthetic: bool) -> dict[str, bytes]:
    """A chart (PNG) for each memory of a run, by name: ``memory`` where there is one."""
    known = names(told)
    charts = {}
    for name in known:
        days, several = timeline(told, name), len(known) > 1
        parts = (
            (partial(_sizes, days=days), f"Memories by tier{f': {name}' if several else ''}", 2.8),
            (partial(_moves, days=days), "Moves in a session", 1.7),
            (partial(_hits, days=days), f"Cited of those recalled, {HIT_RATE_SESSIONS} sessions (%)", 1.6),
        )
        charts[f"memory-{name}" if several else "memory"] = draw_stacked(parts, synthetic=synthetic)
    return charts


def _sizes(axes: Axes, days: Sequence[Tally]) -> None:
    sessions = [day.session for day in days]
    layers = [*_LAYERS, *sorted({tier for day in days for tier in day.sizes} - set(TIERS))]
    counts = [[day.sizes.get(tier, 0) for day in days] for tier in layers]
    colours = [_LAYERS.get(tier, "#d1d5db") for tier in layers]
    axes.stackplot(sessions, counts, labels=layers, colors=colours, linewidth=0)
    _finish(axes, sessions, legend=True)


def _moves(axes: Axes, days: Sequence[Tally]) -> None:
    sessions = [day.session for day in days]
    down = -np.array([day.demoted for day in days])
    axes.bar(sessions, [day.promoted for day in days], 1.0, color=_UP, label="promoted")
    axes.bar(sessions, down, 1.0, color=_DOWN, label="demoted")
    axes.bar(sessions, [-day.purged for day in days], 1.0, bottom=down, color=_PURGED, label="purged")
    axes.axhline(0, color="#9ca3af", linewidth=0.8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    _finish(axes, sessions, legend=True)


def _hits(axes: Axes, days: Sequence[Tally]) -> None:
    sessions = [day.session for day in days]
    axes.plot(sessions, rolling_hit_rate(days), color=_HITS, linewidth=1.5)
    axes.set_ylim(bottom=0)
    _finish(axes, sessions, legend=False)


def _finish(axes: Axes, sessions: Sequence[date], *, legend: bool) -> None:
    """One span of dates for every part; the legend on the title's line, where it hides nothing."""
    axes.set_xlim(sessions[0], sessions[-1] + timedelta(days=1))
    set_dates(axes)
    if legend:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=4, borderaxespad=0.0)


def rolling_hit_rate(days: Sequence[Tally]) -> list[float]:
    """Percent of the memories recalled in the last 21 sessions that were cited; NaN where none was."""
    rates = []
    for i in range(len(days)):
        part = days[max(0, i + 1 - HIT_RATE_SESSIONS) : i + 1]
        recalled = sum(day.recalled for day in part)
        rates.append(100.0 * sum(day.used for day in part) / recalled if recalled else float("nan"))
    return rates
