"""What a reader must know before the figures: one list of sentences for terminal, report and comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from varve import registry
from varve.backtests.record.rows import BecameEntry, StepRow
from varve.backtests.record.run_record import RunRecord
from varve.backtests.simulate.prepare import Prepared
from varve.envs.desk import ALREADY, NOTHING_HELD, WORDS
from varve.envs.step import BELOW_ONE_LOT
from varve.market.data import InstrumentData

NEARLY_WHOLE = 0.9
"""What is filled to this share is no caution: prices rise by a few percent until the fill every day."""
FAILING_SHARE = 0.10
"""A run is marked where more than this share of a stage, or of its decisions, failed."""


def headline(run: RunRecord) -> str:
    """Who decides, by what model, on what data: the first line of every run and page."""
    return headline_of(run.config.agent, None if run.model is None else run.config.llm, run.data_label)


def headline_of(agent: str, llm: str | None, label: str) -> str:
    """The first line of a run whose agent asks ``llm``; None for one that asks no model."""
    asks = "asks no language model" if llm is None else f"asks {llm.partition('@')[0]}"
    return f"{agent} {asks} · {label}"


def headline_of_prepared(prepared: Prepared) -> str:
    """The same before a run begins."""
    config = prepared.config
    return headline_of(config.agent, config.llm if prepared.model is not None else None, prepared.label)


def begin_cautions(prepared: Prepared) -> list[str]:
    """What can be said before the first step."""
    found = _without_news(prepared.trader_class, prepared.config.agent, prepared.data, prepared.config.news)
    return [found] if found else []


def cautions(
    run: RunRecord, data: InstrumentData, lessons: Sequence[StepRow], steps: Sequence[StepRow]
) -> list[str]:
    """What a reader must know before the figures of a run; empty where there is nothing."""
    config = run.config
    trader: object = None
    for group in ("agents", "strategies"):
        # An agent of a package that is gone has no class to ask; its run still has a page.
        if config.agent in registry.names(group):
            trader = registry.load(group, config.agent)
    found = [
        _without_news(trader, config.agent, data, config.news),
        *failing(lessons, steps),
        wishes_sentence(steps),
    ]
    return [sentence for sentence in found if sentence]


def _without_news(trader: object, agent: str, data: InstrumentData, news: bool) -> str:
    if not news or not getattr(trader, "reads_news", False):
        return ""
    if any(document.kind != "guidance" for document in data.documents):
        return ""
    return (
        f"{agent} reads news and filings, and these data hold none: it decides by prices alone. "
        "Import some: backtest data import --help"
    )


def failing(lessons: Sequence[StepRow], steps: Sequence[StepRow]) -> list[str]:
    """What fails too often to be called the agent: decisions, and stages of its days."""
    found = []
    failed = sum(row.failure is not None for row in steps)
    if failed > FAILING_SHARE * len(steps):
        found.append(f"{failed} of {len(steps)} decisions failed; each kept the position.")
    notes = [note for row in [*lessons, *steps] for note in row.decision.stages]
    for stage in dict.fromkeys(note.stage for note in notes):
        asked = [note.state for note in notes if note.stage == stage and note.state != "skipped"]
        bad = asked.count("failed")
        if bad > FAILING_SHARE * len(asked):
            found.append(
                f"The stage {stage} failed {bad} of {len(asked)} times: this is not the agent as it is meant."
            )
    return found


def wishes_sentence(steps: Sequence[StepRow]) -> str:
    """What became of the BUYs, SELLs and FLATs that were not carried out whole; empty where all were."""
    wishes = [one for row in steps for one in row.became or () if one.action != "HOLD"]
    asked = [one for one in wishes if one.reason not in (ALREADY, NOTHING_HELD)]
    cut = [one for one in asked if one.reason and abs(one.filled) < NEARLY_WHOLE * abs(one.ordered or 1.0)]
    if not cut:
        return ""
    ways = "; ".join(
        f"{count} {_how(one)}: {WORDS.get(one.reason, one.reason)}" for one, count in _grouped(cut).values()
    )
    worked = sum(one.action == "HOLD" for row in steps for one in row.became or ())
    text = f"Orders wished for: {len(asked)}; of these {ways}."
    if any(one.reason == BELOW_ONE_LOT for one in cut):
        text += " Only a larger --cash, or another sizer, makes an order of that."
    if worked:
        text += f" What was capped was worked off later, in {worked} more fills"
        left = [one.left for one in steps[-1].became or () if one.left]
        text += f"; {abs(left[0]):,g} were still to be ordered at the end." if left else "."
    return text


def _grouped(cut: Sequence[BecameEntry]) -> dict[tuple[str, str], tuple[BecameEntry, int]]:
    counts = Counter((one.reason, _how(one)) for one in cut)
    return {
        key: (next(one for one in cut if (one.reason, _how(one)) == key), count)
        for key, count in counts.items()
    }


def _how(one: BecameEntry) -> str:
    if not one.ordered:
        return "made no order"
    return "filled nothing" if not one.filled else "filled only in part"
