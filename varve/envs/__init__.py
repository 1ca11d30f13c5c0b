"""The exchange: ledger, costs, sizing, and the Gymnasium environment over them (loaded when used)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.envs.costs import CostModel, get_costs
    from varve.envs.exchange import Exchange
    from varve.envs.ledger import Ledger
    from varve.envs.sizing import AllIn, FinMemUnit, Fraction, Sizer, get_sizer
    from varve.envs.step import StepResult
    from varve.envs.trading_env import TradingEnv, make_env

_HOMES = {
    "AllIn": "sizing",
    "CostModel": "costs",
    "Exchange": "exchange",
    "FinMemUnit": "sizing",
    "Fraction": "sizing",
    "Ledger": "ledger",
    "Sizer": "sizing",
    "StepResult": "step",
    "TradingEnv": "trading_env",
    "get_costs": "costs",
    "get_sizer": "sizing",
    "make_env": "trading_env",
}

__all__ = [
    "AllIn",
    "CostModel",
    "Exchange",
    "FinMemUnit",
    "Fraction",
    "Ledger",
    "Sizer",
    "StepResult",
    "TradingEnv",
    "get_costs",
    "get_sizer",
    "make_env",
]


__getattr__ = lazy(__name__, _HOMES)
