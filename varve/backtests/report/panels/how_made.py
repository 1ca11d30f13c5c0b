"""How the figures were made, and the run's own record of itself."""

from __future__ import annotations

import json
from typing import ClassVar

from varve.backtests.record.run_record import RunRecord
from varve.backtests.report.panel import PanelInput, rendered
from varve.types import JsonObject

_READING = (
    "Returns are the ledger's, after costs, on the fills listed above; vectorbt replayed every fill and "
    "agreed with the ledger within 1e-9 of initial equity. The Sharpe interval is a 95 % interval from a "
    "prewhitened HAC standard error. It covers the luck of this window only: not the choice of agent, "
    "prompt, ticker or dates, and not what a model may have read about these dates in its training. "
    "The random column is one draw of luck that trades as often as the agent."
)


class HowMade:
    """How to read the figures, and ``run.json`` as far as it matters."""

    title: ClassVar[str] = "How this was made"
    place: ClassVar[int] = 50

    def html(self, shown: PanelInput) -> str:
        """Return a paragraph and the record."""
        record = json.dumps(_record(shown.run), indent=2, ensure_ascii=False)
        return rendered("panels/how_made.html.j2", reading=_READING, record=record)


def _record(run: RunRecord) -> JsonObject:
    wanted = (
        "run_id", "run_digest", "config", "agent_settings", "costs", "instrument", "provenance",
        "data_hash", "memory", "model", "knowledge", "software", "status", "started_at", "finished_at",
    )  # fmt: skip
    written = run.as_json()
    return {name: written.get(name) for name in wanted}
