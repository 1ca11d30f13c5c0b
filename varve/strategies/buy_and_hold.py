"""Buy once, keep: the competitor that every trader is measured against."""

from __future__ import annotations

from typing import ClassVar

from varve.market.observation import Observation
from varve.strategies.base import Trader
from varve.types import Action, Decision


class BuyAndHold(Trader):
    """BUY while nothing is held (so an order that found no bar is given again), then HOLD."""

    name: ClassVar[str] = "buy-and-hold"

    def decide(self, observation: Observation) -> Decision:
        """BUY when flat, else HOLD."""
        if observation.position == 0:
            return self._single(Action.BUY, "nothing is held yet")
        return self._single(Action.HOLD, "held to the end")
