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
from typing import TYPE_CHECKING, Any

from varve.backtests.config import chosen
from varve.backtests.record.folder import RunFolder, write_atomically
from varve.backtests.report.cited_memories import cited_memory
from varve.backtests.report.day_charts import DayCharts
from varve.backtests.report.day_stages import by_step, key_of, stage_table, stages_of_day
from varve.backtests.report.metric_rows import table_rows
from varve.backtests.results.trial_count import trials_sentence
from varve.backtests.simulate.rule_search import tuning_sentence
from varve.backtests.simulate.starting_memory import memory_sentences
from varve.clock import parse_iso
from varve.finllm.chat.model_cards import knowledge_warning
from varve.memory.history import Life, Told, lives

if TYPE_CHECKING:
    from jinja2 import Template

MAX_TOOL_CHARS = 400


@dataclass(frozen=True)
class Details:
    """What the days of the page show beside their steps.

    ``lessons`` are the steps of the warm-up; ``pictures`` images by name that the model was shown.
    """

    lessons: Sequence[Mapping[str, Any]]
    calls: Sequence[Mapping[str, Any]]
    pictures: Mapping[str, bytes]
    charts: DayCharts

    @cached_property
    def by_step(self) -> dict[Any, list[Mapping[str, Any]]]:
        """Model calls by their step."""
        return by_step(self.calls)


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
    manifest: Mapping[str, Any],
    metrics: dict[str, Any],
    steps: Sequence[Mapping[str, Any]],
    told: Sequence[Told],
    charts: Mapping[str, bytes],
    details: Details,
) -> None:
    """Write the page from the run's record, its metrics, its steps, its memory and its charts (PNG)."""
    page = render_report(manifest, metrics, steps, told, charts, details)
    write_atomically(folder.report, page)


def render_report(
    manifest: Mapping[str, Any],
    metrics: dict[str, Any],
    steps: Sequence[Mapping[str, Any]],
    told: Sequence[Told],
    charts: Mapping[str, bytes],
    details: Details,
) -> str:
    """The page as HTML text; see :func:`write_report`."""
    header, rows = table_rows(metrics)
    config = manifest["config"]
    agent = metrics["columns"][0]["metrics"]
    memories = lives(told)
    instrument = manifest["instrument"]
    stage_header, stage_rows = stage_table([*details.lessons, *steps], details.calls)
    return _template().render(
        title=f"{config['agent']} on {config['ticker']} · Varve",
        heading=f"{config['agent']} on {config['ticker']}",
        label=manifest["data_label"],
        synthetic=manifest["synthetic"],
        warnings=_warnings(manifest),
        window=(
            f"{metrics['start']} to {metrics['end']}, {agent['sessions']} sessions; "
            f"warm-up from {manifest['window']['warmup_start']} "
            f"({manifest['window']['warmup_sessions']} sessions)"
        ),
        model=_model_line(manifest),
        began_with=memory_sentences(manifest)[0],
        trading=(
            f"fill={manifest['fill_rule']} · costs {chosen(config, 'costs')} · "
            f"sizer {chosen(config, 'sizer')} · "
            f"{config['initial_cash']:,.0f} {instrument['currency']} · seed {manifest['seed']}"
        ),
        header=header,
        rows=rows,
        sentence=metrics["sentence"],
        trials=trials_sentence(manifest.get("trials")),
        charts=[(name, base64.b64encode(image).decode()) for name, image in charts.items()],
        counts=_counts(agent),
        stage_header=stage_header,
        stage_rows=stage_rows,
        drawings=details.charts.drawings(),
        days=[_day(row, memories, details) for row in steps],
        audit=manifest.get("audit", ()),
        rescored=manifest.get("rescored"),
        reading=_READING,
        record=json.dumps(_record(manifest), indent=2, ensure_ascii=False),
    )


def _counts(agent: Mapping[str, Any]) -> str:
    left = f", {agent['abstentions']} abstentions" if "abstentions" in agent else ""
    return (
        f"{agent['decisions']} decisions{left}, {agent['failures']} failures, {agent['trades']} fills; "
        f"{agent['warmup_failures']} failures in the warm-up."
    )


def _warnings(manifest: Mapping[str, Any]) -> list[str]:
    warnings = []
    if manifest["status"] == "stopped":
        warnings.append(f"This run stopped early: {manifest['reason']}")
    if manifest["fill_rule"] == "same_close":
        warnings.append(
            "fill=same_close: orders fill at the close that the decision has read. An ablation, not a result."
        )
    if not manifest["config"]["news"]:
        warnings.append("Run without news and filings (--no-news).")
    knowledge = knowledge_warning(manifest.get("knowledge"))
    if knowledge is not None:
        warnings.append(knowledge)
    return [*warnings, *memory_sentences(manifest)[1]]


def _model_line(manifest: Mapping[str, Any]) -> str:
    model = manifest["model"]
    if model is None:
        return f"No language model is asked. {tuning_sentence(manifest)}".rstrip()
    if manifest["config"]["llm"].partition(":")[0] == "scripted":
        return _SCRIPTED
    name = manifest["config"]["llm"]
    line = f"Language model {name}"
    if name.partition(":")[0] == "nano":
        line += " (three million parameters, trained on generated lines alone; not an analyst)"
    knowledge = manifest.get("knowledge") or {"status": "unknown", "known_until": None}
    if knowledge["status"] == "after":
        return f"{line}; it knows the world until {knowledge['known_until']}, before this window."
    if knowledge["status"] == "none":
        return f"{line}; it cannot have read about these data."
    return f"{line}."


def _record(manifest: Mapping[str, Any]) -> dict[str, Any]:
    wanted = (
        "run_id", "run_digest", "config", "agent_settings", "costs", "instrument", "provenance",
        "data_hash", "memory", "model", "knowledge", "software", "status", "started_at", "finished_at",
    )  # fmt: skip
    return {name: manifest.get(name) for name in wanted}


def _day(row: Mapping[str, Any], memories: Mapping[str, Life], details: Details) -> dict[str, Any]:
    decision = row["decision"]
    failure = decision["failure"]
    action = decision["orders"][0][1] if decision["orders"] else ("FAILED" if failure else "HOLD")
    at = parse_iso(row["decision_at"])
    return {
        "session": row["session"],
        "tag": action,
        "confidence": decision["confidence"],
        "rationale": decision["rationale"],
        "failure": None if failure is None else f"{failure['reason']}: {failure['detail']}",
        "memories": [cited_memory(i, memories, at) for i in decision["cited_memories"]],
        "tools": [_tool(call) for call in decision["tool_calls"]],
        "charts": details.charts.of(date.fromisoformat(row["session"])),
        "stages": stages_of_day(row, details.by_step.get(key_of(row), ()), details.pictures),
        "fill": ", ".join(_fill(fill) for fill in row["fills"]),
        "lines": _lines(row),
    }


def _tool(call: Mapping[str, Any]) -> dict[str, str]:
    arguments = ", ".join(f"{name}={value!r}" for name, value in call["arguments"].items())
    return {
        "call": f"{call['name']}({arguments})",
        "result": _cut(call["error"] or call["result"], MAX_TOOL_CHARS),
    }


def _fill(fill: Mapping[str, Any]) -> str:
    side = "bought" if fill["quantity"] > 0 else "sold"
    clipped = f" ({fill['clipped']})" if fill["clipped"] else ""
    return f"{side} {abs(fill['quantity']):,g} at {fill['price']:,.2f}{clipped}"


def _lines(row: Mapping[str, Any]) -> list[str]:
    portfolio = row["portfolio"]
    held = ", ".join(f"{q:,g} {symbol}" for symbol, q in portfolio["positions"].items()) or "flat"
    lines = [f"decided {row['decision_at']}, filled in session {row['fill_session']}"]
    lines += [f"ordered {quantity:+,g} {symbol}" for symbol, quantity in row["orders"]]
    lines += [
        f"the decision of {outcome['decided_at'][:10]} has come to {100 * outcome['reward']:+.2f} % "
        f"after {outcome['horizon_sessions']} sessions"
        for outcome in row["outcomes"]
        if outcome["position"]
    ]
    lines.append(f"after the fill: {held}, equity {portfolio['equity']:,.2f} {portfolio['currency']}")
    return lines


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("varve.backtests", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("report.html.j2")
