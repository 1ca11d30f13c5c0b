"""The one stable surface that plug-ins and notebooks import; everything else may move.

``API_VERSION`` rises by one when something here changes in a way that breaks its users.
"""

from __future__ import annotations

from varve.agents.agent import Agent, AgentConfig
from varve.agents.check import check_agent
from varve.agents.prompting import Page, Prompts, labels_of, market_values, trading_values
from varve.agents.stage import Budget, Stage
from varve.agents.tools import DayTools
from varve.backtests.config import RunConfig
from varve.backtests.report.panel import Panel, PanelInput
from varve.backtests.results.metric import Measured, Metric
from varve.backtests.runner import run_backtest
from varve.config import FrozenConfig
from varve.envs.costs import CostModel
from varve.envs.sizing import Sizer
from varve.errors import DataError, IntegrityError, ModelError, UsageError, VarveError
from varve.finllm.replies.forms import Choice, DecideForm, Each, Form, Label, Text
from varve.finllm.replies.untrusted import section
from varve.market import BarSeries, InstrumentData, MarketData, MarketView, Observation, Provenance
from varve.market.sources.source import Request as SourceRequest
from varve.market.sources.source import Source
from varve.memory.conformance import check_memory
from varve.memory.flat import FlatWindow
from varve.memory.labels import Labelled, LabelledQuery
from varve.memory.protocol import Memory
from varve.memory.protocol import Opening as MemoryOpening
from varve.memory.state.config import MemorySettings
from varve.memory.state.records import (
    CreditReport,
    MemoryRecord,
    NewMemory,
    Recalled,
    SessionReport,
    citation,
    of_citation,
)
from varve.strategies.base import Lesson, RunContext, Trader
from varve.strategies.check import check_strategy
from varve.strategies.signals import Reading, Signal, SignalTrader
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
    StageNote,
    ToolCall,
    Usage,
)

API_VERSION = 1

__all__ = [
    "API_VERSION",
    "Action",
    "Agent",
    "AgentConfig",
    "Bar",
    "BarSeries",
    "Budget",
    "Choice",
    "CorporateEvent",
    "CostModel",
    "CreditReport",
    "DataError",
    "DayTools",
    "DecideForm",
    "Decision",
    "Document",
    "Each",
    "Failure",
    "FailureReason",
    "Fill",
    "FlatWindow",
    "Form",
    "FrozenConfig",
    "Instrument",
    "InstrumentData",
    "IntegrityError",
    "Intent",
    "Label",
    "Labelled",
    "LabelledQuery",
    "Lesson",
    "MarketData",
    "MarketView",
    "Measured",
    "Memory",
    "MemoryOpening",
    "MemoryRecord",
    "MemorySettings",
    "Metric",
    "ModelError",
    "NewMemory",
    "Observation",
    "Order",
    "Outcome",
    "Page",
    "Panel",
    "PanelInput",
    "Portfolio",
    "Prompts",
    "Provenance",
    "Reading",
    "Recalled",
    "RunConfig",
    "RunContext",
    "SessionReport",
    "Signal",
    "SignalTrader",
    "Sizer",
    "Source",
    "SourceRequest",
    "Stage",
    "StageNote",
    "Text",
    "ToolCall",
    "Trader",
    "Usage",
    "UsageError",
    "VarveError",
    "check_agent",
    "check_memory",
    "check_strategy",
    "citation",
    "labels_of",
    "market_values",
    "of_citation",
    "run_backtest",
    "section",
    "trading_values",
]
