"""Buy once, keep: the competitor that every trader is measured against."""

from __future__ import annotations

from typing import ClassVar

from varve.market.observation import Observation
from varve.market.view import MarketView
from varve.strategies.base import Trader
from varve.strategies.indicators import drawdown, momentum
from varve.strategies.signals import Record, Signal
from varve.types import Action, Decision

YEAR_SESSIONS = 252


class BuyAndHold(Trader):
    """BUY while nothing is held (so an order that found no bar is given again), then HOLD."""

    name: ClassVar[str] = "buy-and-hold"

    def decide(self, observation: Observation) -> Decision:
        """BUY when flat, else HOLD."""
        if observation.position == 0:
            return self._single(Action.BUY, "nothing is held yet")
        return self._single(Action.HOLD, "held to the end")

    def signal(self, view: MarketView, symbol: str) -> Signal:
        """Always BUY; its values tell what holding was worth over the last year, or as far as is known."""
        closes = view.closes(symbol, YEAR_SESSIONS + 1)
        sessions = len(closes) - 1
        change = momentum(closes, sessions) if sessions > 0 else None
        if change is None:
            return Signal(Action.BUY, {}, "BUY, because it always holds.", Record())
        fall = drawdown(closes, sessions) or 0.0
        words = (
            f"BUY, because it always holds: over the last {sessions} sessions that returned {change:+.1%}, "
            f"and the price is {abs(fall):.1%} below its highest close."
        )
        return Signal(Action.BUY, {"return": change, "drawdown": fall}, words, Record())
