"""The seam of metrics: a figure of a run, how it is shown, and which direction is better.

A metric is a :class:`Metric` registered in the entry-point group ``varve.metrics``. Its value goes into
``metrics.json`` under ``extra``, into the result table of terminal and report, and into comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from varve import registry
from varve.backtests.results.returns import withheld
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
    """What a metric is computed from: a track, and how many bars its year has."""

    track: Track
    bars_per_year: float


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


def probability_in_words(value: float | None, why: str = "") -> str:
    """A probability as text: never 1.00 or 0.00, as nothing here is certain."""
    if value is None or not math.isfinite(value):
        return absent(why)
    if value >= 0.995:
        return "> 0.99"
    return f"{value:.2f}" if value >= 0.005 else "< 0.01"


def p_in_words(value: float) -> str:
    """A p-value with its sign, as in: p = 0.31, p > 0.99."""
    told = probability_in_words(value)
    return f"p {told}" if told[0] in "<>" else f"p = {told}"


class Counted(Protocol):
    """What the reason of a missing figure is told from; ``Metrics`` and ``Figures`` have it."""

    @property
    def sessions(self) -> int:
        """Sessions, bar 0 included."""

    @property
    def trades(self) -> int:
        """Fills."""

    @property
    def sessions_in_position(self) -> int | None:
        """Sessions that came with a position."""

    @property
    def spells(self) -> int | None:
        """Runs of such sessions."""

    @property
    def annual_volatility(self) -> float | None:
        """0 where the returns never move."""


_RATIOS = {"sharpe": "the returns never move", "sortino": "no losing session", "calmar": "no drawdown"}
_OF_THE_AGENT = ("failures", "abstentions", "tokens")


def why_absent(name: str, figures: Counted) -> str:
    """Why a run has no figure of that name, in words: for terminal, report and comparison."""
    held, spells = figures.sessions_in_position, figures.spells
    if name in _OF_THE_AGENT:
        return "a baseline"
    if name in ("sessions_in_position", "spells"):
        return "not recorded"
    if name in (*_RATIOS, "sharpe_interval"):
        if held == 0 or (held is None and figures.trades == 0):
            return "no position"
        if name in _RATIOS:
            return _RATIOS[name if figures.annual_volatility else "sharpe"]
        if held is None or spells is None:
            return "not recorded"
        return withheld(figures.sessions - 1, held, spells) or _RATIOS["sharpe"]
    return "no value here"


def absent(why: str) -> str:
    """What stands where a figure does not exist: a dash with the reason."""
    return f"– ({why})" if why else "–"


def in_words(value: float | None, unit: Unit, why: str = "") -> str:
    """A figure as a cell of a table; where there is none, a dash with the reason."""
    if value is None or not math.isfinite(value):
        return absent(why)
    if unit == "percent":
        return f"{100 * value:.1f} %"
    if unit == "ratio":
        return f"{value:.2f}"
    return f"{value:.1f}×" if unit == "times" else f"{value:,.0f}"
