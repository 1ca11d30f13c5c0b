"""Runs, their records, and what follows from them: metrics, statistics, reports, studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.config import RunConfig
    from varve.backtests.resume import resume_run
    from varve.backtests.runner import run_backtest

_HOMES = {
    "RunConfig": "config",
    "resume_run": "resume",
    "run_backtest": "runner",
}

__all__ = [
    "RunConfig",
    "resume_run",
    "run_backtest",
]


__getattr__ = lazy(__name__, _HOMES)
