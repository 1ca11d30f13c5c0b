"""The FinMem agent."""

from __future__ import annotations

from varve.agents.finmem.agent import FinMem
from varve.agents.finmem.config import FinMemConfig

__all__ = ["FinMem", "FinMemConfig"]
