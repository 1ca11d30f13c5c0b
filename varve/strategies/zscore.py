"""Mean reversion by the z-score of the close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from varve.config import FrozenConfig
from varve.market.data import BarSeries
from varve.strategies.indicators import zscore_line
from varve.strategies.signals import Reading, SignalTrader
from varve.types import Action


class ZScoreConfig(FrozenConfig):
    """Window in bars, threshold in standard deviations; FinAgent's released code has 14 and 1."""

    window: int = Field(default=20, ge=3)
    """Bars over which mean and standard deviation are taken."""
    threshold: float = Field(default=1.0, gt=0)
    """Standard deviations from the mean at which it trades."""


class ZScore(SignalTrader):
    """BUY when the close is more than the threshold below its mean, SELL when above, else HOLD."""

    name: ClassVar[str] = "zscore"
    Config = ZScoreConfig
    search_space: ClassVar = {
        "window": range(10, 61),
        "threshold": (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5),
    }

    @property
    def bars_needed(self) -> int:
        """One window."""
        return int(self.config.window)

    def read(self, bars: BarSeries) -> Reading:
        """The side of the mean on which the close is too far out."""
        zscore = zscore_line(bars.close, self.config.window)
        far = np.abs(zscore) > self.config.threshold
        return Reading(np.where(far, -np.sign(zscore), 0).astype(np.int8), {"zscore": zscore})

    def explain(self, action: Action, values: Mapping[str, float]) -> str:
        """How far the close lies from its mean."""
        size, threshold = f"z-score {values['zscore']:.2f}", f"{self.config.threshold:g}"
        where = f"standard deviations of its {self.config.window}-bar mean"
        if action is Action.HOLD:
            return f"HOLD, because the close lies within {threshold} {where} ({size})."
        side = "below" if action is Action.BUY else "above"
        return (
            f"{action}, because the close lies more than {threshold} standard deviations {side} its "
            f"{self.config.window}-bar mean, to which it is held to return ({size})."
        )
