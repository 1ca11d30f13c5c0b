"""Crossing of the KDJ lines, where the relative strength index agrees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from varve.config import FrozenConfig
from varve.market.data import BarSeries
from varve.strategies.indicators import crossings, kdj_lines, rsi_line
from varve.strategies.signals import Reading, SignalTrader
from varve.types import Action


class KdjRsiConfig(FrozenConfig):
    """Windows in bars and RSI thresholds (0 to 100), as in FinAgent's released code."""

    window: int = Field(default=9, ge=2)
    """Bars of the stochastic."""
    smoothing: int = Field(default=3, ge=2)
    """Bars over which K and D are smoothed."""
    rsi_window: int = Field(default=14, ge=2)
    """Bars of the relative strength index (RSI)."""
    oversold: float = Field(default=40.0, ge=0, le=100)
    """RSI below which a BUY is let through; below overbought."""
    overbought: float = Field(default=60.0, ge=0, le=100)
    """RSI above which a SELL is let through."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.oversold >= self.overbought:
            raise ValueError(f"oversold={self.oversold:g} must be below overbought={self.overbought:g}")
        return self


class KdjRsi(SignalTrader):
    """BUY when J crosses above D and RSI is oversold, SELL when below and overbought, else HOLD."""

    name: ClassVar[str] = "kdj-rsi"
    Config = KdjRsiConfig
    search_space: ClassVar = {
        "window": range(5, 22),
        "smoothing": range(2, 6),
        "rsi_window": range(7, 22),
        "oversold": (30.0, 35.0, 40.0, 45.0),
        "overbought": (55.0, 60.0, 65.0, 70.0),
    }

    @property
    def bars_needed(self) -> int:
        """D must be known on two bars and RSI on one."""
        lines = self.config.window + 2 * (self.config.smoothing - 1) + 1
        return int(max(lines, self.config.rsi_window + 1))

    def read(self, bars: BarSeries) -> Reading:
        """Crossings that RSI lets through."""
        config = self.config
        k, d, j = kdj_lines(bars.high, bars.low, bars.close, config.window, config.smoothing)
        rsi = rsi_line(bars.close, config.rsi_window)
        # J − D is 3 (K − D): the same crossings, without the rounding of 3K − 2D.
        crossed = crossings(k, d)
        agrees = np.where(crossed > 0, rsi < config.oversold, rsi > config.overbought)
        actions = np.where(agrees, crossed, 0).astype(np.int8)
        return Reading(actions, {"k": k, "d": d, "j": j, "rsi": rsi})

    def explain(self, action: Action, values: Mapping[str, float]) -> str:
        """The lines, RSI and its thresholds."""
        low, high = f"{self.config.oversold:g}", f"{self.config.overbought:g}"
        lines = f"J {values['j']:.1f}, D {values['d']:.1f}, RSI {values['rsi']:.1f}"
        if action is Action.BUY:
            return f"BUY, because J has crossed above D while RSI is below {low}: turning up ({lines})."
        if action is Action.SELL:
            return f"SELL, because J has crossed below D while RSI is above {high}: overbought ({lines})."
        return f"HOLD, because J has not just crossed D with RSI below {low} or above {high} ({lines})."
