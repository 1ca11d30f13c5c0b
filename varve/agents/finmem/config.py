"""Settings of the FinMem agent."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from varve.config import FrozenConfig
from varve.memory.config import MemoryConfig

Profile = Literal["risk_seeking", "risk_averse", "self_adaptive"]
Variant = Literal["risk_seeking", "risk_averse"]

ADAPTIVE_SESSIONS = 3
"""A self-adaptive profile looks at the return over so many sessions (FinMem, section 3.1)."""


class FinMemConfig(FrozenConfig):
    """What an agent is; equal settings on equal data with an equal model decide equally.

    ``top_k`` memories are recalled per tier. A decision has at most ``max_tool_rounds`` rounds of at
    most ``max_tool_calls`` questions each. Of new documents the prompt shows ``max_news``, filings
    first, then the newest; a memory is cut to ``memory_tokens`` and a document to ``news_tokens``
    (four characters each). ``closes_shown`` closes stand in the prompt.
    """

    profile: Profile = "self_adaptive"
    top_k: int = Field(default=5, ge=1, le=20)
    max_tool_rounds: int = Field(default=2, ge=0, le=10)
    max_tool_calls: int = Field(default=4, ge=1, le=16)
    max_news: int = Field(default=10, ge=1, le=50)
    memory_tokens: int = Field(default=80, ge=8)
    news_tokens: int = Field(default=120, ge=8)
    closes_shown: int = Field(default=10, ge=2, le=120)
    memory: MemoryConfig = Field(default_factory=lambda: MemoryConfig.build())

    @field_validator("memory")
    @classmethod
    def _nobody_judges(cls, value: MemoryConfig) -> MemoryConfig:
        if value.importance == "judged":
            raise ValueError("'judged' importance needs a judge, which finmem has not; use constant or drawn")
        return value

    @property
    def labels(self) -> int:
        """How many lines of one day can be cited: documents, four tiers, and two tool recalls' worth."""
        return self.max_news + 6 * self.top_k
