"""The exchange: ledger, costs, sizing, and the Gymnasium environment over them (loaded when used)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from varve.envs.costs import COSTS, CostModel, get_costs
    from varve.envs.exchange import Exchange, StepResult
    from varve.envs.ledger import Ledger
    from varve.envs.sizing import AllIn, FinMemUnit, Fraction, Sizer, get_sizer
    from varve.envs.trading_env import TradingEnv, make_env

_HOMES = {
    "COSTS": "costs",
    "AllIn": "sizing",
    "CostModel": "costs",
    "Exchange": "exchange",
    "FinMemUnit": "sizing",
    "Fraction": "sizing",
    "Ledger": "ledger",
    "Sizer": "sizing",
    "StepResult": "exchange",
    "TradingEnv": "trading_env",
    "get_costs": "costs",
    "get_sizer": "sizing",
    "make_env": "trading_env",
}

__all__ = [
    "COSTS",
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"varve.envs has no {name!r}")
    from importlib import import_module

    return getattr(import_module(f"varve.envs.{_HOMES[name]}"), name)
