"""What commands show: every text that was written elsewhere is made harmless here, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.cli.screen.console import BarText, Screen, styled
    from varve.cli.screen.failures import show_crash, show_failure, show_usage_error
    from varve.cli.screen.plain import forget_impossible_sizes, say, say_json

_HOMES = {
    "BarText": "console",
    "Screen": "console",
    "forget_impossible_sizes": "plain",
    "say": "plain",
    "say_json": "plain",
    "show_crash": "failures",
    "show_failure": "failures",
    "show_usage_error": "failures",
    "styled": "console",
}

__all__ = [
    "BarText",
    "Screen",
    "forget_impossible_sizes",
    "say",
    "say_json",
    "show_crash",
    "show_failure",
    "show_usage_error",
    "styled",
]


__getattr__ = lazy(__name__, _HOMES)
