"""Agents with a language model: FinMem, its tools, and the conformance check (loaded when used)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from varve.agents.check import check_agent
    from varve.agents.finmem import FinMem, FinMemConfig
    from varve.agents.tools import DayTools

_HOMES = {"DayTools": "tools", "FinMem": "finmem", "FinMemConfig": "finmem", "check_agent": "check"}

__all__ = ["DayTools", "FinMem", "FinMemConfig", "check_agent"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"varve.agents has no {name!r}")
    from importlib import import_module

    return getattr(import_module(f"varve.agents.{_HOMES[name]}"), name)
