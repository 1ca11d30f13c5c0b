"""The seam of metrics: a figure of a run, how it is shown, and which direction is better.

A metric is a :class:`Metric` registered in the entry-point group ``varve.metrics``. Its value goes into
``metrics.json`` under ``extra``, into the result table of terminal and report, and into comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from varve import registry
from varve.backtests.results.track import Track
from varve.errors import UsageError

Unit = Literal["percent", "ratio", "times", "count", "money", "interval"]
"""``percent`` is a fraction shown times 100; ``money`` is in the instrument's currency."""
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How a figure is shown.

    Args:
        label: what the table calls it.
        unit: what its number is.
        better: which direction is better, for whoever compares.
        meaning: what it is, in one sentence.
    """

    label: str
    unit: Unit
    better: Better
    meaning: str


@dataclass(frozen=True)
class Measured:
    """What a metric is computed from: a track, and how many sessions its year has."""

    track: Track
    sessions_per_year: int


@dataclass(frozen=True, kw_only=True)
class Metric(Shown):
    """A figure with the function that computes it; None where a run has none."""

    value: Callable[[Measured], float | None]


def registered_metrics() -> dict[str, Metric]:
    """Every registered metric by name.

    Raises:
        UsageError: if what is registered is no metric.
    """
    found = {name: registry.load("metrics", name) for name in registry.names("metrics")}
    for name, metric in found.items():
        if not isinstance(metric, Metric):
            raise UsageError(
                f"metric {name!r} is registered as a {type(metric).__name__}, a Metric expected",
                mend="mend the package that registers it",
            )
    return found


def extra_figures(measured: Measured) -> dict[str, float | None]:
    """The values of all registered metrics; NaN and infinities become None.

    Raises:
        UsageError: if a metric fails, naming it.
    """
    found: dict[str, float | None] = {}
    for name, metric in registered_metrics().items():
        try:
            value = metric.value(measured)
        except Exception as error:
            raise UsageError(
                f"the metric {name!r} failed: {type(error).__name__}: {error}",
                mend="mend or uninstall the package that registers it, then: backtest report RUN",
            ) from error
        found[name] = None if value is None or not math.isfinite(value) else float(value)
    return found


def in_words(value: float | None, unit: Unit) -> str:
    """A figure as a cell of a table."""
    if value is None:
        return "–"
    if unit == "percent":
        return f"{100 * value:.1f} %"
    if unit == "ratio":
        return f"{value:.2f}"
    return f"{value:.1f}×" if unit == "times" else f"{value:,.0f}"
