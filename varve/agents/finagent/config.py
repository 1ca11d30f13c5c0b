"""Settings of the FinAgent agent."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from varve import registry
from varve.agents.agent import AgentConfig

Profile = Literal["aggressive", "neutral", "conservative"]
Part = Literal["intelligence", "low_reflection", "high_reflection", "tools", "guidance", "vision"]

MOVES_SESSIONS = (1, 7, 14)
"""Sessions over which low-level reflection explains the price (FinAgent, section 4.4)."""

STRATEGIES = ("macd", "kdj-rsi", "zscore", "stochastic-bollinger", "sma-cross", "buy-and-hold")


class FinAgentConfig(AgentConfig):
    """What an agent is; beside :class:`~varve.agents.agent.AgentConfig`."""

    profile: Profile = "aggressive"
    """The trader's preference, a text in every prompt."""
    without: tuple[Part, ...] = ()
    """Parts that are switched off."""
    top_k: int = Field(default=5, ge=1, le=20)
    """Past intelligence per horizon, and past reflections of each level, that are recalled."""
    signals: Literal["called", "pasted"] = "called"
    """called: each strategy is a tool; pasted: all signals are in the prompt, as released."""
    strategies: tuple[str, ...] = STRATEGIES
    """Registered strategies whose signals it sees."""
    item_tokens: int = Field(default=40, ge=8)
    """Longest summary of one piece of news, in tokens of four characters."""
    tool_tokens: int = Field(default=1500, ge=50)
    """All answers of one day's tools together, in tokens of four characters."""
    reflect_every_sessions: int = Field(default=1, ge=1)
    """Both reflections are made on every so manyth session."""
    decisions_reviewed: int = Field(default=14, ge=1, le=60)
    """The newest decisions that high-level reflection looks at."""
    chart_sessions: int = Field(default=60, ge=20, le=250)
    """Sessions that both charts show."""
    max_guidance: int = Field(default=3, ge=1, le=20)
    """Newest pieces of expert guidance that a prompt shows."""
    max_news: int = Field(default=20, ge=1, le=50)
    """New documents that a prompt shows: filings first, then the newest."""

    @field_validator("without")
    @classmethod
    def _each_once(cls, value: tuple[Part, ...]) -> tuple[Part, ...]:
        """In one order, so that equal ablations are equal settings."""
        return tuple(sorted(set(value)))

    @field_validator("strategies")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = registry.names("strategies")
        for name in value:
            if name not in known:
                raise ValueError(f"no strategy is called {name!r}; known: {', '.join(known)}")
        return tuple(dict.fromkeys(value))

    def has(self, part: Part) -> bool:
        """Whether a part is switched on."""
        return part not in self.without

    @property
    def labels(self) -> int:
        """How many lines of one day can be cited: today's news, guidance, reflections, what tools recall."""
        return self.max_news + 6 * self.top_k + 2
