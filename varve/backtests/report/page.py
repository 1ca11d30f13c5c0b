"""``report.html``: one self-contained page a run, without scripts or outside resources.

Everything that came from data or a model is escaped by the template.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import NamedTuple

from varve.backtests.record.folder import RunFolder
from varve.backtests.record.run_record import RunRecord
from varve.backtests.report.metric_rows import table_rows
from varve.backtests.report.panel import PanelInput, environment, panels
from varve.backtests.results.cautions import headline, record_cautions
from varve.backtests.results.trial_count import trials_sentence
from varve.backtests.simulate.rule_search import tuning_sentence
from varve.backtests.simulate.starting_memory import memory_sentences
from varve.files import replace_file
from varve.finllm.chat.model_cards import knowledge_warning

_SCRIPTED = (
    "Decisions by the scripted stand-in: a fixed rule that counts sentiment words in the prompt. "
    "It is not a language model."
)


class Shown(NamedTuple):
    """A panel as the page shows it."""

    title: str
    html: str


def write_report(folder: RunFolder, shown: PanelInput, charts: Mapping[str, bytes]) -> None:
    """Write the page of a run with its charts (PNG by name)."""
    replace_file(folder.report, render_report(shown, charts))


def render_report(shown: PanelInput, charts: Mapping[str, bytes]) -> str:
    """The page as HTML text; see :func:`write_report`."""
    run, metrics = shown.run, shown.metrics
    header, rows = table_rows(metrics)
    config, agent = run.config, metrics.agent
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title=f"{config.agent} on {config.ticker} · Varve",
            heading=f"{config.agent} on {config.ticker}",
            label=headline(config, run.data_label, asks=run.model is not None),
            synthetic=run.synthetic,
            warnings=[*_warnings(run), *metrics.cautions],
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
            luck=None if metrics.luck is None else metrics.luck.sentence,
            trials=trials_sentence(run.trials),
            charts=[(name, base64.b64encode(image).decode()) for name, image in charts.items()],
            panels=_panels(shown),
        )
    )


def _panels(shown: PanelInput) -> list[Shown]:
    """Every panel that has something to show; one that breaks says so in its place."""
    found = []
    for name, panel in panels():
        try:
            html = panel.html(shown)
        except Exception as error:  # noqa: BLE001 (a panel of another package must not cost the page)
            html = f"The panel {name!r} failed: {type(error).__name__}: {error}"
        if html:
            found.append(Shown(panel.title, html))
    return found


def _warnings(run: RunRecord) -> list[str]:
    warnings = []
    if run.status == "stopped":
        warnings.append(f"This run stopped early: {run.reason}")
    warnings += record_cautions(run)
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
