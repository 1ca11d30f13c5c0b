"""Changes its mind by chance: what turnover alone earns and costs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from varve.config import FrozenConfig
from varve.market.observation import Observation
from varve.strategies.base import Trader
from varve.types import Action, Decision


class RandomConfig(FrozenConfig):
    """How often it changes its mind."""

    flip_probability: float = Field(default=0.1, ge=0, le=1)
    """Chance per session of going from flat to long or back."""


def flips(seed: int, step: int, probability: float) -> bool:
    """Whether the random trader of that seed changes its mind at that step."""
    return bool(np.random.default_rng([seed, step]).random() < probability)


class RandomTrader(Trader):
    """Long or flat, flipping with a fixed chance per session; starts flat.

    Each session draws from a generator of its own, keyed by the run's seed and the step, so that no
    draw hangs on prices, on the end of the run or on earlier draws. Given the trading rate of an
    agent as ``flip_probability`` it is the random trader of matched turnover.
    """

    name: ClassVar[str] = "random"
    Config = RandomConfig

    def decide(self, observation: Observation) -> Decision:
        """BUY or SELL with chance ``flip_probability``, else HOLD."""
        if not flips(self.context.seed, observation.step, self.config.flip_probability):
            return self._single(Action.HOLD, "no flip")
        return self._single(Action.SELL if observation.position > 0 else Action.BUY, "flip")
