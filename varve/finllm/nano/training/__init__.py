"""How nano is made: rows, training, evaluation, model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.finllm.nano.training.pipeline import FULL, QUICK, build

_HOMES = {
    "FULL": "pipeline",
    "QUICK": "pipeline",
    "build": "pipeline",
}

__all__ = [
    "FULL",
    "QUICK",
    "build",
]


__getattr__ = lazy(__name__, _HOMES)
