"""The one stable surface that plug-ins and notebooks import; everything else may move.

``API_VERSION`` rises by one when something here changes in a way that breaks its users.
"""

from __future__ import annotations

from varve.backtests.run import run_backtest
from varve.backtests.settings import RunConfig
from varve.config import FrozenConfig
from varve.errors import DataError, IntegrityError, ModelError, UsageError, VarveError
from varve.market import BarSeries, InstrumentData, MarketData, MarketView, Observation, Provenance
from varve.memory.check import Memory, check_memory
from varve.memory.flat import FlatWindow
from varve.memory.labels import Labelled, LabelledQuery
from varve.memory.records import citation, of_citation
from varve.strategies.base import Lesson, RunContext, Trader
from varve.types import (
    Action,
    Bar,
    CorporateEvent,
    Decision,
    Document,
    Failure,
    FailureReason,
    Fill,
    Instrument,
    Intent,
    Order,
    Outcome,
    Portfolio,
    ToolCall,
    Usage,
)

API_VERSION = 1

__all__ = [
    "API_VERSION",
    "Action",
    "Bar",
    "BarSeries",
    "CorporateEvent",
    "DataError",
    "Decision",
    "Document",
    "Failure",
    "FailureReason",
    "Fill",
    "FlatWindow",
    "FrozenConfig",
    "Instrument",
    "InstrumentData",
    "IntegrityError",
    "Intent",
    "Labelled",
    "LabelledQuery",
    "Lesson",
    "MarketData",
    "MarketView",
    "Memory",
    "ModelError",
    "Observation",
    "Order",
    "Outcome",
    "Portfolio",
    "Provenance",
    "RunConfig",
    "RunContext",
    "ToolCall",
    "Trader",
    "Usage",
    "UsageError",
    "VarveError",
    "check_memory",
    "citation",
    "of_citation",
    "run_backtest",
]
