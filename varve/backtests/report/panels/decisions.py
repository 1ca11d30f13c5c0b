"""Every day of the run: why it was decided so, what was remembered, and what was traded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import ClassVar, NamedTuple

from varve.backtests.record.rows import FillEntry, StepRow, ToolCallEntry
from varve.backtests.report.cited_memories import CitedMemory, cited_memory
from varve.backtests.report.day_charts import ChartsOfDay
from varve.backtests.report.day_stages import StageOfDay, stages_of_day
from varve.backtests.report.panel import Details, PanelInput, rendered
from varve.backtests.results.metrics_file import Figures
from varve.clock import parse_iso
from varve.envs.desk import in_words
from varve.memory.history import Life, lives

MAX_TOOL_CHARS = 400


class DayShown(NamedTuple):
    """One day as the page shows it."""

    session: str
    tag: str
    confidence: float | None
    rationale: str
    failure: str | None
    memories: list[CitedMemory]
    tools: list[ToolShown]
    charts: ChartsOfDay | None
    stages: list[StageOfDay]
    fill: str
    lines: list[str]


class ToolShown(NamedTuple):
    """A tool call as the page shows it."""

    call: str
    result: str


class Decisions:
    """The days, each to be opened."""

    title: ClassVar[str] = "Decisions"
    place: ClassVar[int] = 40

    def html(self, shown: PanelInput) -> str:
        """Return all days in order."""
        memories = lives(shown.told)
        return rendered(
            "panels/decisions.html.j2",
            counts=_counts(shown.metrics.agent),
            drawings=shown.details.charts.drawings(),
            days=[_day(row, memories, shown.details) for row in shown.steps],
        )


def _counts(agent: Figures) -> str:
    left = "" if agent.abstentions is None else f", {agent.abstentions} abstentions"
    return (
        f"{agent.decisions} decisions{left}, {agent.failures} failures, {agent.trades} fills; "
        f"{agent.warmup_failures} failures in the warm-up."
    )


def _day(row: StepRow, memories: Mapping[str, Life], details: Details) -> DayShown:
    decision, failure = row.decision, row.decision.failure
    at = parse_iso(row.decision_at)
    return DayShown(
        session=row.session,
        tag=decision.action or ("FAILED" if failure else "HOLD"),
        confidence=decision.confidence,
        rationale=decision.rationale,
        failure=None if failure is None else f"{failure.reason}: {failure.detail}",
        memories=[cited_memory(i, memories, at) for i in decision.cited_memories],
        tools=[_tool(call) for call in decision.tool_calls],
        charts=details.charts.of(date.fromisoformat(row.session)),
        stages=stages_of_day(row, details.by_step.get(row.key, ()), details.pictures),
        fill=", ".join(_fill(fill) for fill in row.fills),
        lines=_lines(row),
    )


def _tool(call: ToolCallEntry) -> ToolShown:
    arguments = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return ToolShown(f"{call.name}({arguments})", _cut(call.error or call.result, MAX_TOOL_CHARS))


def _fill(fill: FillEntry) -> str:
    side = "bought" if fill.quantity > 0 else "sold"
    clipped = f" ({fill.clipped})" if fill.clipped else ""
    return f"{side} {abs(fill.quantity):,g} at {fill.price:,.2f}{clipped}"


def _lines(row: StepRow) -> list[str]:
    portfolio = row.portfolio
    held = ", ".join(f"{q:,g} {symbol}" for symbol, q in portfolio.positions.items()) or "flat"
    lines = [f"decided {row.decision_at}"]
    lines += [
        f"ordered {quantity:+,g} {symbol} for session {row.fill_session}" for symbol, quantity in row.orders
    ]
    lines += [in_words(one.plain) for one in row.became or ()]
    lines += [
        f"the decision of {outcome.decided_at[:10]} has come to {100 * outcome.reward:+.2f} % "
        f"after {outcome.horizon_sessions} sessions"
        for outcome in row.outcomes
        if outcome.position
    ]
    lines.append(
        f"after session {row.fill_session}: {held}, equity {portfolio.equity:,.2f} {portfolio.currency}"
    )
    return lines


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
