"""The seam of report panels: what a panel is given, and what it gives back.

A panel is a class that satisfies :class:`Panel`, registered in the entry-point group ``varve.panels``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from varve import registry
from varve.backtests.record.cards import Check, RescoreCard
from varve.backtests.record.rows import CallRow, StepKey, StepRow
from varve.backtests.record.run_record import RunRecord
from varve.backtests.report.day_charts import DayCharts
from varve.backtests.report.day_stages import by_step
from varve.backtests.results.metrics_file import RunMetrics
from varve.harmless import visible
from varve.memory.history import Told

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Details:
    """What the days of the page show beside their steps.

    ``lessons`` are the steps of the warm-up; ``pictures`` images by name that the model was shown.
    """

    lessons: Sequence[StepRow]
    calls: Sequence[CallRow]
    pictures: Mapping[str, bytes]
    charts: DayCharts

    @cached_property
    def by_step(self) -> dict[StepKey, list[CallRow]]:
        """Model calls by their step."""
        return by_step(self.calls)


class Rescored(NamedTuple):
    """What ``backtest rescore`` left, with its chart (PNG, base64)."""

    card: RescoreCard
    chart: str


class Beside(NamedTuple):
    """What other commands left beside the run; nothing where they left nothing."""

    audit: Sequence[Check] = ()
    rescored: Rescored | None = None


@dataclass(frozen=True)
class PanelInput:
    """All of a run, for a panel.

    ``run`` is ``run.json``; ``metrics`` is ``metrics.json``; ``steps`` are the trading steps in order;
    ``told`` the same as memory tells them; ``beside`` what other commands left.
    """

    run: RunRecord
    metrics: RunMetrics
    steps: Sequence[StepRow]
    told: Sequence[Told]
    details: Details
    beside: Beside


class Panel(Protocol):
    """One part of the page below the curves.

    ``title`` is its heading; ``place`` orders the panels, smallest first. Varve's own have 10 (audit),
    20 (stages), 30 (other rules), 40 (decisions) and 50 (how this was made).
    """

    title: ClassVar[str]
    place: ClassVar[int]

    def html(self, shown: PanelInput) -> str:
        """Return the panel; empty leaves it out.

        Plain text is escaped by the page. What is HTML already comes as ``markupsafe.Markup``, as
        :func:`environment`'s templates give it.
        """
        ...


def panels() -> list[tuple[str, Panel]]:
    """Every registered panel with its name, in the order of the page."""
    made = [(name, registry.load("panels", name)()) for name in registry.names("panels")]
    return sorted(made, key=lambda one: (one[1].place, one[0]))


@cache
def environment() -> Environment:
    """The templates of the page and of Varve's own panels; everything in them is escaped.

    What turns or hides text is shown as it is on a terminal.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    def seen(value: object) -> object:
        return value if hasattr(value, "__html__") or not isinstance(value, str) else visible(value)

    loader = PackageLoader("varve.backtests", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=seen)


def rendered(template: str, **values: object) -> str:
    """One of the templates as HTML that is not escaped again."""
    from markupsafe import Markup

    return Markup(environment().get_template(template).render(**values))
