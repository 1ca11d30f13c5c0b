"""Crossing of two simple moving averages."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from varve.config import FrozenConfig
from varve.market.observation import Observation
from varve.strategies.base import Trader
from varve.strategies.indicators import sma
from varve.types import Action, Decision


class SmaCrossConfig(FrozenConfig):
    """Windows in bars; ``fast`` must be shorter than ``slow``."""

    fast: int = Field(default=10, ge=1)
    slow: int = Field(default=50, ge=2)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast={self.fast} must be below slow={self.slow}")
        return self


class SmaCross(Trader):
    """Long while the fast average of closes is above the slow one, else flat (short where shorts are on).

    An order is given only where the position differs from what is wanted; without ``slow`` closes it
    holds.
    """

    name: ClassVar[str] = "sma-cross"
    Config = SmaCrossConfig

    def decide(self, observation: Observation) -> Decision:
        """BUY, SELL or HOLD by the two averages of the last closes."""
        closes = observation.view.closes(observation.instrument.symbol, self.config.slow)
        slow, fast = sma(closes, self.config.slow), sma(closes, self.config.fast)
        if slow is None or fast is None:
            return self._single(Action.HOLD, f"fewer than {self.config.slow} closes")
        down = -1 if self.context.shorting else 0
        wanted = 1 if fast > slow else down
        held = (observation.position > 0) - (observation.position < 0)
        reason = f"SMA({self.config.fast}) {fast:.4f}, SMA({self.config.slow}) {slow:.4f}"
        if wanted == held:
            return self._single(Action.HOLD, reason)
        return self._single(Action.BUY if wanted > held else Action.SELL, reason)
