"""The stages of an agent's days as the report shows them: replies, tools, tokens, and the run's sums."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from varve.backtests.record.journal import Journal
from varve.backtests.record.rows import CallRow, StageEntry, StepKey, StepRow, tool_name
from varve.backtests.report.metric_rows import ABSENT
from varve.types import Json

MAX_REPLY_CHARS = 1_500
SAID_ABOVE = ("action", "confidence", "rationale", "cited_memories")
"""Fields of a decision that the day shows already."""
MAX_PICTURED_DAYS = 20
"""Days of which the page holds the very images that the model was shown: those with orders first."""


class StageOfDay(NamedTuple):
    """One stage of a day: what became of it, what it said, which tools it left alone, what it was shown."""

    name: str
    state: str
    detail: str
    facts: str
    reply: list[tuple[str, str]]
    unused: list[str]
    images: list[str]


def by_step(calls: Iterable[CallRow]) -> dict[StepKey, list[CallRow]]:
    """Group model calls by the step that they belong to, in their order."""
    grouped: dict[StepKey, list[CallRow]] = {}
    for call in calls:
        grouped.setdefault(call.key, []).append(call)
    return grouped


def pictures(journal: Journal, steps: Sequence[StepRow], calls: Iterable[CallRow]) -> dict[str, bytes]:
    """Images by name that the model was shown on 20 days: with orders first, then the newest."""
    grouped = by_step(calls)
    named = [(row, _images(grouped.get(row.key, ()))) for row in steps]
    shown = [(not row.orders, -i, names) for i, (row, names) in enumerate(named) if names]
    chosen = sorted(shown)[:MAX_PICTURED_DAYS]
    found = {name: journal.image(name) for *_, names in chosen for name in names}
    return {name: data for name, data in found.items() if data is not None}


def stages_of_day(row: StepRow, calls: Sequence[CallRow], shown: Mapping[str, bytes]) -> list[StageOfDay]:
    """Each stage of a day: what became of it, what it was shown and said, and what that cost.

    Stages that asked nothing are there too where the agent notes them.
    """
    notes = {note.stage: note for note in row.decision.stages}
    by_stage: dict[str, list[CallRow]] = {name: [] for name in notes}
    for call in calls:
        by_stage.setdefault(call.stage, []).append(call)
    return [_stage(name, notes.get(name), asked, shown) for name, asked in by_stage.items()]


def stage_table(steps: Sequence[StepRow], calls: Sequence[CallRow]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of what each stage did and cost over the run; the warm-up's apart; the sum last.

    Tokens a day are over the days of the phase, those included on which the stage asked nothing.
    """
    names = dict.fromkeys((call.phase, call.stage) for call in calls)
    notes: dict[tuple[str, str], list[StageEntry]] = {}
    for row in steps:
        for note in row.decision.stages:
            notes.setdefault((row.phase, note.stage), []).append(note)
    header = ["stage", "done", "failed", "skipped", "chart as", "calls", "from cache", "re-asks",
              "tokens in", "tokens out", "tokens a day"]  # fmt: skip
    days = {phase: sum(row.phase == phase for row in steps) for phase in ("warmup", "trade")}
    rows = []
    for phase, stage in dict.fromkeys([*notes, *names]):
        own = [call for call in calls if (call.phase, call.stage) == (phase, stage)]
        label = f"{stage} (warm-up)" if phase == "warmup" and stage != "warm_up" else stage
        rows.append([label, *_counts(notes.get((phase, stage))), *_costs(own, days[phase])])
    if len(rows) > 1:
        rows.append(["all", *[""] * 4, *_costs(calls, sum(days.values()))])
    return header, rows


def _counts(notes: Sequence[StageEntry] | None) -> list[str]:
    if notes is None:
        return [ABSENT] * 4
    states = [note.state for note in notes]
    ways = [note.shown for note in notes if note.shown]
    shown = ", ".join(f"{way} {ways.count(way)}×" for way in dict.fromkeys(ways)) or ABSENT
    return [*(f"{states.count(state):,}" for state in ("done", "failed", "skipped")), shown]


def _costs(calls: Sequence[CallRow], days: int) -> list[str]:
    told, said = _tokens(calls)
    counts = (len(calls), sum(call.cached for call in calls), sum(call.attempt > 0 for call in calls))
    each = (told + said) / days if days else 0.0
    return [f"{count:,}" for count in (*counts, told, said)] + [f"{each:,.0f}"]


def _tokens(calls: Sequence[CallRow]) -> tuple[int, int]:
    """Tokens of prompts and of replies."""
    return sum(call.usage.input_tokens for call in calls), sum(call.usage.output_tokens for call in calls)


def _stage(
    name: str, note: StageEntry | None, calls: Sequence[CallRow], shown: Mapping[str, bytes]
) -> StageOfDay:
    refused = sum(call.reply.finish_reason == "image_refused" for call in calls)
    told, said = _tokens(calls)
    facts = [f"chart as {note.shown}"] if note and note.shown else []
    if calls:
        facts.append(f"{len(calls)} call{'s' if len(calls) > 1 else ''}")
        facts.append(f"{told:,} + {said:,} tokens" if told + said else "tokens not counted")
    if calls and all(call.cached for call in calls):
        facts.append("from the cache")
    facts += [f"image refused {refused}×"] if refused else []
    images = [image for image in _images(calls) if image in shown]
    return StageOfDay(
        name=name.replace("_", " "),
        state=note.state if note else "done",
        detail=note.detail if note else "",
        facts=" · ".join(facts),
        reply=_reply(calls),
        unused=_unused(calls),
        images=[base64.b64encode(shown[image]).decode() for image in images],
    )


def _reply(calls: Sequence[CallRow]) -> list[tuple[str, str]]:
    """The last reply of a stage, field by field; a text as it is."""
    if not calls:
        return []
    reply = calls[-1].reply
    fields = [
        (name, value)
        for call in reply.tool_calls
        for name, value in call.args.items()
        if call.name != "decide" or name not in SAID_ABOVE
    ]
    if not fields and reply.content:
        fields = [("text", reply.content)]
    return [
        (name.replace("_", " "), _cut(_plain(value))) for name, value in fields if value not in ("", [], None)
    ]


def _plain(value: Json) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ("\n" if any(isinstance(item, Mapping) for item in value) else ", ").join(map(_plain, value))
    return str(value)


def _unused(calls: Sequence[CallRow]) -> list[str]:
    """Tools that were offered and not called. The last schema of a call is the form of its reply."""
    offered = dict.fromkeys(tool_name(tool) for call in calls for tool in call.tools[:-1])
    called = {asked.name for call in calls for asked in call.reply.tool_calls}
    return [name for name in offered if name not in called]


def _images(calls: Iterable[CallRow]) -> list[str]:
    """Names of the images in the messages of some calls, each once."""
    contents = [message.get("content") for call in calls for message in call.messages]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return list(
        dict.fromkeys(str(b["sha256"]) for b in blocks if isinstance(b, Mapping) and b.get("type") == "image")
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_REPLY_CHARS else text[: MAX_REPLY_CHARS - 1] + "…"
