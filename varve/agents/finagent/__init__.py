"""The FinAgent agent."""

from __future__ import annotations

from varve.agents.finagent.agent import FinAgent
from varve.agents.finagent.config import FinAgentConfig

__all__ = ["FinAgent", "FinAgentConfig"]
