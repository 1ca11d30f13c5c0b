"""What a reader must know before the figures: one list of sentences for terminal, report and comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from varve.backtests.config import RunConfig
from varve.backtests.record.rows import BecameEntry, StepRow
from varve.backtests.record.run_record import RunRecord
from varve.backtests.simulate.prepare import Prepared, find_trader
from varve.envs.desk import ALREADY, NOTHING_HELD, WORDS
from varve.envs.step import BELOW_ONE_LOT
from varve.errors import UnknownNameError
from varve.market.data import InstrumentData
from varve.market.sanity import moves_sentence, split_like_moves
from varve.strategies.base import Trader

NEARLY_WHOLE = 0.9
"""What is filled to this share is no caution: prices rise by a few percent until the fill every day."""
FAILING_SHARE = 0.10
"""A run is marked where more than this share of a stage, or of its decisions, failed."""


def headline(config: RunConfig, label: str, *, asks: bool) -> str:
    """Who decides, by what model, on what data: the first line of every run and page.

    Args:
        config: the run's settings; of the model's address nothing is shown.
        label: what the data are, in words.
        asks: whether the agent asks a model.
    """
    model = f"asks {config.llm.partition('@')[0]}" if asks else "asks no language model"
    return f"{config.agent} {model} · {label}"


def begin_cautions(prepared: Prepared) -> list[str]:
    """What can be said before the first step."""
    found = _without_news(prepared.trader_class, prepared.config.agent, prepared.data, prepared.config.news)
    return [found] if found else []


def cautions(
    run: RunRecord, data: InstrumentData, lessons: Sequence[StepRow], steps: Sequence[StepRow]
) -> list[str]:
    """What a reader must know before the figures of a run; empty where there is nothing."""
    config = run.config
    try:
        trader: type[Trader] | None = find_trader(config.agent)
    except UnknownNameError:
        # An agent of a package that is gone has no class to ask; its run still has a page.
        trader = None
    found = [
        *_split_like(data, steps),
        _without_news(trader, config.agent, data, config.news),
        *failing(lessons, steps),
        wishes_sentence(steps),
    ]
    return [sentence for sentence in found if sentence]


def record_cautions(run: RunRecord) -> list[str]:
    """What a reader must know of the record itself."""
    found = []
    if run.unverified is not None:
        found.append(f"This record is {run.unverified}.")
    if run.damaged_replies:
        keys = ", ".join(f"{key[:12]}…" for key in run.damaged_replies[:3])
        more = len(run.damaged_replies) - 3
        found.append(
            f"Damaged entries of the reply cache, asked for again and replaced: {len(run.damaged_replies)} "
            f"({keys}{f' and {more} more' if more > 0 else ''})."
        )
    return found


def _split_like(data: InstrumentData, steps: Sequence[StepRow]) -> list[str]:
    """Moves of the window that look like a split that nothing marks."""
    if not steps:
        return []
    last = steps[-1].fill_session or steps[-1].session
    moves = split_like_moves(data, date.fromisoformat(steps[0].session), date.fromisoformat(last))
    return [moves_sentence(moves)]


def _without_news(trader: type[Trader] | None, agent: str, data: InstrumentData, news: bool) -> str:
    if not news or trader is None or not trader.reads_news:
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
    ways = Counter(f"{_how(one)}: {WORDS.get(one.reason, one.reason)}" for one in cut)
    summed = "; ".join(f"{count} {way}" for way, count in ways.items())
    worked = sum(one.action == "HOLD" for row in steps for one in row.became or ())
    text = f"Orders wished for: {len(asked)}; of these {summed}."
    if any(one.reason == BELOW_ONE_LOT for one in cut):
        text += " Only a larger --cash, or another sizer, makes an order of that."
    if worked:
        text += f" What was capped was worked off later, in {worked} more fills"
        left = [one.left for one in steps[-1].became or () if one.left]
        text += f"; {abs(left[0]):,g} were still to be ordered at the end." if left else "."
    return text


def _how(one: BecameEntry) -> str:
    if not one.ordered:
        return "made no order"
    return "filled nothing" if not one.filled else "filled only in part"
