"""The trial registry: every run ever started, in a chained file that only grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.record.trial_registry.lines import Trial, trial_of_run, trial_of_settings
    from varve.backtests.record.trial_registry.registry import TrialRegistry, registry_beside

_HOMES = {
    "Trial": "lines",
    "TrialRegistry": "registry",
    "registry_beside": "registry",
    "trial_of_run": "lines",
    "trial_of_settings": "lines",
}

__all__ = [
    "Trial",
    "TrialRegistry",
    "registry_beside",
    "trial_of_run",
    "trial_of_settings",
]


__getattr__ = lazy(__name__, _HOMES)
