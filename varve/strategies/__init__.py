"""Competitors without a language model, on the contract that agents share (loaded when used)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.strategies.base import Lesson, RunContext, Trader
    from varve.strategies.buy_and_hold import BuyAndHold
    from varve.strategies.check import check_strategy
    from varve.strategies.random import RandomTrader
    from varve.strategies.sma_cross import SmaCross

_HOMES = {
    "BuyAndHold": "buy_and_hold",
    "Lesson": "base",
    "RandomTrader": "random",
    "RunContext": "base",
    "SmaCross": "sma_cross",
    "Trader": "base",
    "check_strategy": "check",
}

__all__ = [
    "BuyAndHold",
    "Lesson",
    "RandomTrader",
    "RunContext",
    "SmaCross",
    "Trader",
    "check_strategy",
]


__getattr__ = lazy(__name__, _HOMES)
