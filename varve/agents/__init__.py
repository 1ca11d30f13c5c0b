"""Agents with a language model: FinMem and FinAgent, the kit they are built on, and the conformance check.

All is loaded when used; ``docs/agents/write-an-agent.md`` builds an agent of one's own on the kit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.agents.agent import Agent, AgentConfig
    from varve.agents.check import check_agent
    from varve.agents.finmem import FinMem, FinMemConfig
    from varve.agents.prompting import Page, Prompts
    from varve.agents.stage import Budget, Stage
    from varve.agents.tools import DayTools

_HOMES = {
    "Agent": "agent",
    "AgentConfig": "agent",
    "Budget": "stage",
    "DayTools": "tools",
    "FinMem": "finmem",
    "FinMemConfig": "finmem",
    "Page": "prompting",
    "Prompts": "prompting",
    "Stage": "stage",
    "check_agent": "check",
}

__all__ = [
    "Agent",
    "AgentConfig",
    "Budget",
    "DayTools",
    "FinMem",
    "FinMemConfig",
    "Page",
    "Prompts",
    "Stage",
    "check_agent",
]


__getattr__ = lazy(__name__, _HOMES)
