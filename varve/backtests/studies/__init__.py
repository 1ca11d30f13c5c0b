"""Studies over runs: compare them, rescore them, take memory away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.studies.ablation import Ablation, Compared, verdict

_HOMES = {
    "Ablation": "ablation",
    "Compared": "ablation",
    "verdict": "ablation",
}

__all__ = [
    "Ablation",
    "Compared",
    "verdict",
]


__getattr__ = lazy(__name__, _HOMES)
