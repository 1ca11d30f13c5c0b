"""``report.html``: one self-contained page a run, without scripts or outside resources.

Everything that came from data or a model is escaped by the template.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

from varve.backtests.record.cards import Check, RescoreCard
from varve.backtests.record.folder import RunFolder, write_atomically
from varve.backtests.record.rows import CallRow, FillEntry, StepKey, StepRow, ToolCallEntry
from varve.backtests.record.run_record import RunRecord
from varve.backtests.report.cited_memories import CitedMemory, cited_memory
from varve.backtests.report.day_charts import ChartsOfDay, DayCharts
from varve.backtests.report.day_stages import StageOfDay, by_step, stage_table, stages_of_day
from varve.backtests.report.metric_rows import table_rows
from varve.backtests.results.metrics_file import Figures, RunMetrics
from varve.backtests.results.trial_count import trials_sentence
from varve.backtests.simulate.rule_search import tuning_sentence
from varve.backtests.simulate.starting_memory import memory_sentences
from varve.clock import parse_iso
from varve.finllm.chat.model_cards import knowledge_warning
from varve.memory.history import Life, Told, lives
from varve.types import JsonObject

if TYPE_CHECKING:
    from jinja2 import Template

MAX_TOOL_CHARS = 400


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


_READING = (
    "Returns are the ledger's, after costs, on the fills listed above; vectorbt replayed every fill and "
    "agreed with the ledger within 1e-9 of initial equity. The Sharpe interval is a 95 % interval from a "
    "prewhitened HAC standard error. It covers the luck of this window only: not the choice of agent, "
    "prompt, ticker or dates, and not what a model may have read about these dates in its training. "
    "The random column is one draw of luck that trades as often as the agent."
)
_SCRIPTED = (
    "Decisions by the scripted stand-in: a fixed rule that counts sentiment words in the prompt. "
    "It is not a language model."
)


def write_report(
    folder: RunFolder,
    run: RunRecord,
    metrics: RunMetrics,
    steps: Sequence[StepRow],
    told: Sequence[Told],
    charts: Mapping[str, bytes],
    details: Details,
    beside: Beside,
) -> None:
    """Write the page from the run's record, its metrics, its steps, its memory and its charts (PNG)."""
    page = render_report(run, metrics, steps, told, charts, details, beside)
    write_atomically(folder.report, page)


def render_report(
    run: RunRecord,
    metrics: RunMetrics,
    steps: Sequence[StepRow],
    told: Sequence[Told],
    charts: Mapping[str, bytes],
    details: Details,
    beside: Beside,
) -> str:
    """The page as HTML text; see :func:`write_report`."""
    header, rows = table_rows(metrics)
    config, agent = run.config, metrics.agent
    memories = lives(told)
    stage_header, stage_rows = stage_table([*details.lessons, *steps], details.calls)
    return _template().render(
        title=f"{config.agent} on {config.ticker} · Varve",
        heading=f"{config.agent} on {config.ticker}",
        label=run.data_label,
        synthetic=run.synthetic,
        warnings=_warnings(run),
        window=(
            f"{metrics.start} to {metrics.end}, {agent.sessions} sessions; "
            f"warm-up from {run.window.warmup_start} "
            f"({run.window.warmup_sessions} sessions)"
        ),
        model=_model_line(run),
        began_with=memory_sentences(run)[0],
        trading=(
            f"fill={run.fill_rule} · costs {config.chosen('costs')} · sizer {config.chosen('sizer')} · "
            f"{config.initial_cash:,.0f} {run.instrument.currency} · seed {run.seed}"
        ),
        header=header,
        rows=rows,
        sentence=metrics.sentence,
        trials=trials_sentence(run.trials),
        charts=[(name, base64.b64encode(image).decode()) for name, image in charts.items()],
        counts=_counts(agent),
        stage_header=stage_header,
        stage_rows=stage_rows,
        drawings=details.charts.drawings(),
        days=[_day(row, memories, details) for row in steps],
        audit=beside.audit,
        rescored=beside.rescored,
        reading=_READING,
        record=json.dumps(_record(run), indent=2, ensure_ascii=False),
    )


def _counts(agent: Figures) -> str:
    left = "" if agent.abstentions is None else f", {agent.abstentions} abstentions"
    return (
        f"{agent.decisions} decisions{left}, {agent.failures} failures, {agent.trades} fills; "
        f"{agent.warmup_failures} failures in the warm-up."
    )


def _warnings(run: RunRecord) -> list[str]:
    warnings = []
    if run.status == "stopped":
        warnings.append(f"This run stopped early: {run.reason}")
    if run.fill_rule == "same_close":
        warnings.append(
            "fill=same_close: orders fill at the close that the decision has read. An ablation, not a result."
        )
    if not run.config.news:
        warnings.append("Run without news and filings (--no-news).")
    knowledge = knowledge_warning(None if run.knowledge is None else run.knowledge.as_json())
    if knowledge is not None:
        warnings.append(knowledge)
    return [*warnings, *memory_sentences(run)[1]]


def _model_line(run: RunRecord) -> str:
    if run.model is None:
        return f"No language model is asked. {tuning_sentence(run)}".rstrip()
    if run.config.llm.partition(":")[0] == "scripted":
        return _SCRIPTED
    name = run.config.llm
    line = f"Language model {name}"
    if name.partition(":")[0] == "nano":
        line += " (three million parameters, trained on generated lines alone; not an analyst)"
    knowledge = run.knowledge
    if knowledge is not None and knowledge.status == "after":
        return f"{line}; it knows the world until {knowledge.known_until}, before this window."
    if knowledge is not None and knowledge.status == "none":
        return f"{line}; it cannot have read about these data."
    return f"{line}."


def _record(run: RunRecord) -> JsonObject:
    wanted = (
        "run_id", "run_digest", "config", "agent_settings", "costs", "instrument", "provenance",
        "data_hash", "memory", "model", "knowledge", "software", "status", "started_at", "finished_at",
    )  # fmt: skip
    written = run.as_json()
    return {name: written.get(name) for name in wanted}


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
    lines = [f"decided {row.decision_at}, filled in session {row.fill_session}"]
    lines += [f"ordered {quantity:+,g} {symbol}" for symbol, quantity in row.orders]
    lines += [
        f"the decision of {outcome.decided_at[:10]} has come to {100 * outcome.reward:+.2f} % "
        f"after {outcome.horizon_sessions} sessions"
        for outcome in row.outcomes
        if outcome.position
    ]
    lines.append(f"after the fill: {held}, equity {portfolio.equity:,.2f} {portfolio.currency}")
    return lines


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("varve.backtests", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("report.html.j2")
