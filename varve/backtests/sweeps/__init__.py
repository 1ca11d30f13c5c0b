"""Many runs in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.sweeps.plan import Sweep, read_sweep
    from varve.backtests.sweeps.threads import RunState, message_of, run_sweep

_HOMES = {
    "RunState": "threads",
    "Sweep": "plan",
    "message_of": "threads",
    "read_sweep": "plan",
    "run_sweep": "threads",
}

__all__ = [
    "RunState",
    "Sweep",
    "message_of",
    "read_sweep",
    "run_sweep",
]


__getattr__ = lazy(__name__, _HOMES)
