"""Count what an agent's stages and tools did over a run, for metrics.json."""

from __future__ import annotations

from collections.abc import Sequence

from varve.backtests.record.rows import CallRow, StepRow, tool_name
from varve.backtests.record.run_record import RecordedSettings
from varve.types import JsonObject


def stage_figures(steps: Sequence[StepRow], calls: Sequence[CallRow]) -> JsonObject:
    """Return what ``metrics.json`` says of an agent whose days have stages; nothing of any other agent.

    ``stages``: by name, over warm-up and trading: how often it was done, failed and skipped, how charts
    were shown, its calls and tokens. ``tools``: how often each tool was called of those that were
    offered; 0 for one that was ignored.
    """
    notes = [note for row in steps for note in row.decision.stages]
    if not notes:
        return {}
    stages: JsonObject = {}
    for name in dict.fromkeys([note.stage for note in notes] + [call.stage for call in calls]):
        told = [note for note in notes if note.stage == name]
        own = [call.usage for call in calls if call.stage == name]
        stages[name] = {
            **{state: sum(n.state == state for n in told) for state in ("done", "failed", "skipped")},
            **{f"shown_{way}": sum(note.shown == way for note in told) for way in ("image", "table")},
            "calls": sum(usage.calls for usage in own),
            "input_tokens": sum(usage.input_tokens for usage in own),
            "output_tokens": sum(usage.output_tokens for usage in own),
        }
    deciding = [call for call in calls if call.stage == "decide"]
    offered = dict.fromkeys(tool_name(tool) for call in deciding for tool in call.tools[:-1])
    asked = [call.name for row in steps for call in row.decision.tool_calls]
    return {"stages": stages, "tools": {name: asked.count(name) for name in offered}}


def abstentions(config: RecordedSettings, calls: Sequence[CallRow]) -> JsonObject:
    """Count the decisions that a model that weighs actions left to a setting; nothing of any other run."""
    if config.decide != "score" or not calls:
        return {}
    made = (one for call in calls for one in call.reply.tool_calls)
    return {"abstentions": sum(bool(one.args.get("abstained")) for one in made)}
