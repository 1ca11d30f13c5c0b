"""Crossing of two simple moving averages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from varve.config import FrozenConfig
from varve.market.data import BarSeries
from varve.strategies.indicators import sma_line
from varve.strategies.signals import Reading, SignalTrader
from varve.types import Action


class SmaCrossConfig(FrozenConfig):
    """Windows in bars; ``fast`` must be shorter than ``slow``."""

    fast: int = Field(default=10, ge=1)
    """Bars of the fast average; fewer than slow."""
    slow: int = Field(default=50, ge=2)
    """Bars of the slow average."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast={self.fast} must be below slow={self.slow}")
        return self


class SmaCross(SignalTrader):
    """BUY while the fast average of closes is above the slow one, else SELL."""

    name: ClassVar[str] = "sma-cross"
    Config = SmaCrossConfig
    search_space: ClassVar = {"fast": range(3, 21), "slow": range(25, 101)}

    @property
    def bars_needed(self) -> int:
        """The slow window."""
        return int(self.config.slow)

    def read(self, bars: BarSeries) -> Reading:
        """The side of the slow average on which the fast one lies."""
        fast, slow = sma_line(bars.close, self.config.fast), sma_line(bars.close, self.config.slow)
        actions = np.where(fast > slow, 1, -1).astype(np.int8)
        actions[np.isnan(slow)] = 0
        return Reading(actions, {"sma_fast": fast, "sma_slow": slow})

    def explain(self, action: Action, values: Mapping[str, float]) -> str:
        """Both averages."""
        side = "above" if action is Action.BUY else "not above"
        return (
            f"{action}, because SMA({self.config.fast}) {values['sma_fast']:.4f} is {side} "
            f"SMA({self.config.slow}) {values['sma_slow']:.4f}."
        )
