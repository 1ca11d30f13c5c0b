"""Crossing of MACD and its signal line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from varve.config import FrozenConfig
from varve.market.data import BarSeries
from varve.strategies.indicators import crossings, macd_lines
from varve.strategies.signals import Reading, SignalTrader
from varve.types import Action


class MacdConfig(FrozenConfig):
    """Windows in bars, Appel's 12, 26 and 9; FinAgent's released code has 7, 14 and 9."""

    fast: int = Field(default=12, ge=1)
    """Bars of the fast average; fewer than slow."""
    slow: int = Field(default=26, ge=2)
    """Bars of the slow average."""
    signal: int = Field(default=9, ge=1)
    """Bars of the signal line."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast={self.fast} must be below slow={self.slow}")
        return self


class Macd(SignalTrader):
    """BUY when MACD crosses above its signal line, SELL when it crosses below, else HOLD."""

    name: ClassVar[str] = "macd"
    Config = MacdConfig
    search_space: ClassVar = {"fast": range(4, 14), "slow": range(14, 41), "signal": range(5, 14)}

    @property
    def bars_needed(self) -> int:
        """The signal line must be known on two bars."""
        return int(self.config.slow + self.config.signal)

    def read(self, bars: BarSeries) -> Reading:
        """Crossings of the two lines."""
        macd, line = macd_lines(bars.close, self.config.fast, self.config.slow, self.config.signal)
        return Reading(crossings(macd, line), {"macd": macd, "signal_line": line})

    def explain(self, action: Action, values: Mapping[str, float]) -> str:
        """Where MACD lies and how it came there."""
        lines = f"MACD {values['macd']:.5g}, signal line {values['signal_line']:.5g}"
        if action is Action.HOLD:
            return f"HOLD, because MACD has not just crossed its signal line ({lines})."
        side = (
            "above its signal line: momentum is turning up"
            if action is Action.BUY
            else ("below its signal line: momentum is turning down")
        )
        return f"{action}, because MACD has crossed {side} ({lines})."
