"""Trials of a run: replay it, audit it, give it another future."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.integrity.audit import audit_run
    from varve.backtests.integrity.replay import Replayed, replay_run

_HOMES = {
    "Replayed": "replay",
    "audit_run": "audit",
    "replay_run": "replay",
}

__all__ = [
    "Replayed",
    "audit_run",
    "replay_run",
]


__getattr__ = lazy(__name__, _HOMES)
