"""Agents with a language model: FinMem, its tools, and the conformance check (loaded when used)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.agents.check import check_agent
    from varve.agents.finmem import FinMem, FinMemConfig
    from varve.agents.tools import DayTools

_HOMES = {"DayTools": "tools", "FinMem": "finmem", "FinMemConfig": "finmem", "check_agent": "check"}

__all__ = ["DayTools", "FinMem", "FinMemConfig", "check_agent"]


__getattr__ = lazy(__name__, _HOMES)
