"""Runs beside each other, with what that can and cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.studies.compare.comparison import Comparison, compare
    from varve.backtests.studies.compare.entrants import read_entrant
    from varve.backtests.studies.compare.sentences import conclusions
    from varve.backtests.studies.compare.table import blocks

_HOMES = {
    "Comparison": "comparison",
    "blocks": "table",
    "compare": "comparison",
    "conclusions": "sentences",
    "read_entrant": "entrants",
}

__all__ = [
    "Comparison",
    "blocks",
    "compare",
    "conclusions",
    "read_entrant",
]


__getattr__ = lazy(__name__, _HOMES)
