"""Count what an agent's stages and tools did over a run, for metrics.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from varve.backtests.record.rows import Row


def stage_figures(steps: Sequence[Row], calls: Sequence[Row]) -> dict[str, Any]:
    """What ``metrics.json`` says of an agent whose days have stages; nothing of any other agent.

    ``stages``: by name, over warm-up and trading: how often it was done, failed and skipped, how charts
    were shown, its calls and tokens. ``tools``: how often each tool was called of those that were
    offered; 0 for one that was ignored.
    """
    notes = [note for row in steps for note in row["decision"].get("stages", ())]
    if not notes:
        return {}
    stages = {}
    for name in dict.fromkeys([note["stage"] for note in notes] + [call["stage"] for call in calls]):
        told = [note for note in notes if note["stage"] == name]
        own = [call["usage"] for call in calls if call["stage"] == name]
        stages[name] = {
            **{state: sum(n["state"] == state for n in told) for state in ("done", "failed", "skipped")},
            **{f"shown_{way}": sum(note["shown"] == way for note in told) for way in ("image", "table")},
            **{key: sum(usage[key] for usage in own) for key in ("calls", "input_tokens", "output_tokens")},
        }
    deciding = [call for call in calls if call["stage"] == "decide"]
    offered = {tool["function"]["name"]: 0 for call in deciding for tool in call["tools"][:-1]}
    asked = [call["name"] for row in steps for call in row["decision"]["tool_calls"]]
    return {"stages": stages, "tools": {name: asked.count(name) for name in offered}}


def abstentions(config: Row, calls: Sequence[Row]) -> dict[str, int]:
    """How many decisions a model that weighs actions left to a setting; nothing of any other run."""
    if config.get("decide") != "score" or not calls:
        return {}
    made = (one for call in calls for one in call["reply"]["tool_calls"])
    return {"abstentions": sum(bool(one["args"].get("abstained")) for one in made)}
