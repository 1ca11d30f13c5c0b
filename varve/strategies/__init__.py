"""Competitors without a language model, on the contract that agents share (loaded when used)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.strategies.base import Lesson, RunContext, Trader
    from varve.strategies.buy_and_hold import BuyAndHold
    from varve.strategies.check import check_strategy
    from varve.strategies.kdj_rsi import KdjRsi
    from varve.strategies.macd import Macd
    from varve.strategies.random import RandomTrader
    from varve.strategies.signals import Record, Signal, SignalTrader
    from varve.strategies.sma_cross import SmaCross
    from varve.strategies.stochastic_bollinger import StochasticBollinger
    from varve.strategies.tuning import Trial, Tuned, tune
    from varve.strategies.zscore import ZScore

_HOMES = {
    "BuyAndHold": "buy_and_hold",
    "KdjRsi": "kdj_rsi",
    "Lesson": "base",
    "Macd": "macd",
    "RandomTrader": "random",
    "Record": "signals",
    "RunContext": "base",
    "Signal": "signals",
    "SignalTrader": "signals",
    "SmaCross": "sma_cross",
    "StochasticBollinger": "stochastic_bollinger",
    "Trader": "base",
    "Trial": "tuning",
    "Tuned": "tuning",
    "ZScore": "zscore",
    "check_strategy": "check",
    "tune": "tuning",
}

__all__ = [
    "BuyAndHold",
    "KdjRsi",
    "Lesson",
    "Macd",
    "RandomTrader",
    "Record",
    "RunContext",
    "Signal",
    "SignalTrader",
    "SmaCross",
    "StochasticBollinger",
    "Trader",
    "Trial",
    "Tuned",
    "ZScore",
    "check_strategy",
    "tune",
]


__getattr__ = lazy(__name__, _HOMES)
