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
    """What an agent is; beside :class:`~varve.agents.agent.AgentConfig`.

    Args:
        profile: the trader's preference, a text in every prompt.
        without: parts that are switched off.
        top_k: past intelligence per horizon, and past reflections of each level, that are recalled.
        signals: ``called`` offers each strategy as a tool; ``pasted`` puts the signals of all into the
            prompt instead, as the released code does.
        strategies: whose signals; names of registered strategies.
        item_tokens: longest summary of one piece of news, four characters each.
        tool_tokens: of all answers of one day's tools together.
        reflect_every_sessions: both reflections are made on every so manyth session.
        decisions_reviewed: the newest decisions that high-level reflection looks at.
        chart_sessions: sessions that both charts show.
        max_guidance: newest pieces of expert guidance shown.
    """

    profile: Profile = "aggressive"
    without: tuple[Part, ...] = ()
    top_k: int = Field(default=5, ge=1, le=20)
    signals: Literal["called", "pasted"] = "called"
    strategies: tuple[str, ...] = STRATEGIES
    item_tokens: int = Field(default=40, ge=8)
    tool_tokens: int = Field(default=1500, ge=50)
    reflect_every_sessions: int = Field(default=1, ge=1)
    decisions_reviewed: int = Field(default=14, ge=1, le=60)
    chart_sessions: int = Field(default=60, ge=20, le=250)
    max_guidance: int = Field(default=3, ge=1, le=20)
    max_news: int = Field(default=20, ge=1, le=50)

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
