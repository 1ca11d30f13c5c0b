"""Settings of the FinMem agent."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from varve.agents.agent import AgentConfig

Profile = Literal["risk_seeking", "risk_averse", "self_adaptive"]
Variant = Literal["risk_seeking", "risk_averse"]

ADAPTIVE_SESSIONS = 3
"""A self-adaptive profile looks at the return over so many sessions (FinMem, section 3.1)."""


class FinMemConfig(AgentConfig):
    """What an agent is; equal settings on equal data with an equal model decide equally."""

    profile: Profile = "self_adaptive"
    """The trader's attitude to risk; self_adaptive changes it with the latest returns."""
    background: str = Field(default="", max_length=4_000)
    """What the trader knows of its company by profession; stands in the profile. None by default."""
    sentiment: bool = False
    """Show each new headline's tone by the package's word list, as FinMem's data carries it."""
    top_k: int = Field(default=5, ge=1, le=20)
    """Memories that are recalled from each tier."""

    @property
    def labels(self) -> int:
        """How many lines of one day can be cited: documents, four tiers, and two tool recalls' worth."""
        return self.max_news + 6 * self.top_k
