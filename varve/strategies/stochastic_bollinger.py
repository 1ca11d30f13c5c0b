"""Stochastic oscillator with Bollinger bands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from varve.config import FrozenConfig
from varve.market.data import BarSeries
from varve.strategies.indicators import deviation_line, sma_line, stochastic_line
from varve.strategies.signals import Reading, SignalTrader
from varve.types import Action


class StochasticBollingerConfig(FrozenConfig):
    """Windows in bars, band width in standard deviations, thresholds of the stochastic (0 to 100).

    Lane's 14, 20 and 80, Bollinger's 20 and 2; FinAgent's released code has 14 for both windows.
    """

    window: int = Field(default=14, ge=2)
    """Bars of the stochastic."""
    band_window: int = Field(default=20, ge=3)
    """Bars of the Bollinger bands."""
    deviations: float = Field(default=2.0, gt=0)
    """Half the width of the bands, in standard deviations."""
    oversold: float = Field(default=20.0, ge=0, le=100)
    """Stochastic below which a BUY is let through; below overbought."""
    overbought: float = Field(default=80.0, ge=0, le=100)
    """Stochastic above which a SELL is let through."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.oversold >= self.overbought:
            raise ValueError(f"oversold={self.oversold:g} must be below overbought={self.overbought:g}")
        return self


class StochasticBollinger(SignalTrader):
    """BUY below the lower band with the stochastic oversold, SELL above the upper one and overbought."""

    name: ClassVar[str] = "stochastic-bollinger"
    Config = StochasticBollingerConfig
    search_space: ClassVar = {
        "window": range(7, 29),
        "band_window": range(10, 41),
        "deviations": (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5),
        "oversold": (10.0, 15.0, 20.0, 25.0, 30.0),
        "overbought": (70.0, 75.0, 80.0, 85.0, 90.0),
    }

    @property
    def bars_needed(self) -> int:
        """The longer window."""
        return int(max(self.config.window, self.config.band_window))

    def read(self, bars: BarSeries) -> Reading:
        """Closes outside the bands that the stochastic agrees with."""
        config = self.config
        stochastic = stochastic_line(bars.high, bars.low, bars.close, config.window)
        mean = sma_line(bars.close, config.band_window)
        width = config.deviations * deviation_line(bars.close, config.band_window)
        lower, upper = mean - width, mean + width
        low = (bars.close < lower) & (stochastic < config.oversold)
        high = (bars.close > upper) & (stochastic > config.overbought)
        lines = {"close": bars.close, "lower_band": lower, "upper_band": upper, "stochastic": stochastic}
        return Reading(low.astype(np.int8) - high.astype(np.int8), lines)

    def explain(self, action: Action, values: Mapping[str, float]) -> str:
        """The close, its bands and the stochastic."""
        lines = (
            f"close {values['close']:.5g}, bands {values['lower_band']:.5g} to {values['upper_band']:.5g}, "
            f"stochastic {values['stochastic']:.1f}"
        )
        if action is Action.BUY:
            return (
                f"BUY, because the close lies below the lower band and the stochastic is oversold ({lines})."
            )
        if action is Action.SELL:
            return f"SELL, because the close is above the upper band and the stochastic overbought ({lines})."
        return f"HOLD, because close and stochastic are not beyond their bounds on the same side ({lines})."
