"""Rows of the journal as they are read back: steps, model calls, memory events; each is checked once.

Instants are ISO text, UTC, and dates ISO dates, as they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from varve.backtests.record.entry import Day, Entry, Instant, Many, Number
from varve.backtests.record.step import Phase
from varve.envs.desk import Became
from varve.envs.step import BarFacts
from varve.types import Json, JsonObject, Usage

StepKey = tuple[str, int, str, str]
"""What a step, its model calls and its memory events have in common."""

OrderPair = Annotated[tuple[str, Number], Field(strict=False)]
"""Ticker and signed quantity."""


class KeyedRow(Entry):
    """What every row has: the key of its step."""

    run_id: str
    """The run that it is of."""
    phase: Phase
    """``warmup`` for a lesson, ``trade`` for a decision."""
    step: int
    """The number of the step in its phase, from 0."""
    decision_at: Instant
    """The instant at which was decided."""
    instrument: str
    """The ticker."""

    @property
    def key(self) -> StepKey:
        """Phase, step, instant and instrument."""
        return self.phase, self.step, self.decision_at, self.instrument


class UsageEntry(Entry):
    """Tokens and calls of the language model."""

    input_tokens: int
    """Tokens of the prompts."""
    output_tokens: int
    """Tokens of the replies."""
    calls: int
    """How often it was asked."""

    @property
    def plain(self) -> Usage:
        """The same as the agents have it."""
        return Usage(self.input_tokens, self.output_tokens, self.calls)


class ToolCallEntry(Entry):
    """A question that the model asked of the day's view, and what it was told."""

    name: str
    """The tool."""
    arguments: JsonObject
    """What it was asked with."""
    result: str
    """What it answered."""
    error: str | None = None
    """Why it could not answer."""


class FailureEntry(Entry):
    """Why no decision came."""

    reason: str
    """Its kind."""
    detail: str
    """What was wrong, in words."""
    attempts: int = 1
    """How often the model was asked."""


class StageEntry(Entry):
    """What became of one stage of an agent's day."""

    stage: str
    """Its name."""
    state: str
    """``done``, ``failed`` or ``skipped``."""
    detail: str = ""
    """Why, or what was left out."""
    shown: str = ""
    """How its chart was given, ``image`` or ``table``; empty without one."""


class DecisionEntry(Entry):
    """What the trader wanted, and why."""

    orders: Many[Many[str]]
    """Ticker and action of each order."""
    confidence: Number | None
    """Integer percent; None without one."""
    rationale: str
    """The reasons in words."""
    cited_memories: Many[str]
    """Ids of the memories that it names."""
    tool_calls: Many[ToolCallEntry]
    """The questions that were asked on the way."""
    usage: UsageEntry
    """What it cost."""
    failure: FailureEntry | None
    """Why there is none; None for a decision."""
    stages: Many[StageEntry] = ()
    """The stages of the day; none in records of agents without them."""

    @property
    def action(self) -> str | None:
        """The action of the first order; None without orders."""
        return self.orders[0][1] if self.orders else None


class FillEntry(Entry):
    """What an order became; prices in currency per share."""

    symbol: str
    """The ticker."""
    session: Day
    """The session in which it filled."""
    filled_at: Instant
    """The instant at which it filled."""
    quantity: Number
    """Signed, in shares."""
    reference_price: Number
    """The open or close that was traded."""
    price: Number
    """What was paid or received, after half-spread and impact."""
    commission: Number
    """Cash charged beside it."""
    clipped: str | None
    """Why less than ordered was filled; None where all was."""


class BecameEntry(Entry):
    """What became of a decision's wish on its bar; quantities are signed, in shares."""

    symbol: str
    """The ticker."""
    action: str
    """The decision's; HOLD where an earlier wish was worked off."""
    ordered: Number
    """What was ordered; 0 where nothing could be."""
    filled: Number
    """What was filled of it."""
    left: Number
    """What is ordered again at the next decision that keeps it."""
    reason: str
    """Why less was filled than was wished; empty where all was."""

    @property
    def plain(self) -> Became:
        """The same as the order desk has it."""
        return Became(self.symbol, self.action, self.ordered, self.filled, self.left, self.reason)


class BarEntry(Entry):
    """What the exchange did to the instrument on the bar of the fill, beside its fills."""

    mark: Number
    """The price at which the position was marked, currency per share."""
    dividends: Number = 0.0
    """Cash received less paid, in currency."""
    split: Number = 1.0
    """New shares per share of the bar before."""

    @property
    def plain(self) -> BarFacts:
        """The same as the exchange has it."""
        return BarFacts(self.mark, self.dividends, self.split)


class OutcomeEntry(Entry):
    """What an earlier decision came to, known at this one."""

    step: int
    """The step of that decision."""
    symbol: str
    """The ticker."""
    decided_at: Instant
    """When was decided."""
    available_at: Instant
    """From when on the outcome is known."""
    position: Number
    """Signed quantity after the fill."""
    fill_session: Day
    """The session of the fill."""
    fill_price: Number
    """The price at which it is reckoned from."""
    exit_session: Day
    """The last session of the horizon."""
    exit_price: Number
    """The close of that session, on the split basis of the fill."""
    reward: Number
    """Fraction gained or lost, after the entry cost."""
    horizon_sessions: int
    """How many sessions were waited."""
    cited_memories: Many[str]
    """The memories that the decision named."""


class PortfolioEntry(Entry):
    """The account after the step."""

    currency: str
    """What cash and equity are in."""
    cash: Number
    """Uninvested money."""
    equity: Number
    """Cash and positions at the last close."""
    positions: dict[str, Number]
    """Signed quantities by ticker; flat ones are left out."""


class StepRow(KeyedRow):
    """A row of ``steps``."""

    session: Day
    """The last session that had ended."""
    fill_session: Day | None
    """The session in which orders fill; None for a lesson."""
    observation_hash: str
    """SHA-256 (hex) over what the trader could see."""
    decision: DecisionEntry
    """What was decided."""
    failure: str | None
    """The kind of failure; None for a decision."""
    orders: Many[OrderPair]
    """Ticker and signed quantity of each order."""
    fills: Many[FillEntry]
    """What was filled."""
    outcomes: Many[OutcomeEntry]
    """What became known."""
    portfolio: PortfolioEntry
    """The account after the fill."""
    seconds: Number
    """How long the step took."""
    became: Many[BecameEntry] | None = None
    """What became of the decision's wish; empty without one, None in steps of journals before schema 3."""
    bar: BarEntry | None = None
    """What the exchange did on the bar of the fill; None for a lesson, and before schema 3."""


class CalledTool(Entry):
    """A tool call as the model wrote it."""

    id: str | None = None
    """The model's name for this call."""
    name: str
    """The tool, or the form of the reply."""
    args: JsonObject
    """What it was called with."""


class ReplyEntry(Entry):
    """A reply of the language model."""

    content: Json = ""
    """Text, or blocks of it."""
    tool_calls: Many[CalledTool] = ()
    """Calls that could be read."""
    invalid_tool_calls: Many[JsonObject] = ()
    """Calls that could not, as they were written."""
    finish_reason: str | None = None
    """Why the model stopped."""
    refusal: Json = None
    """Why it refused."""
    cut_items: int = 0
    """How many lines of the prompt the model had to leave out."""


def tool_name(tool: Mapping[str, Json]) -> str:
    """Return the name of a tool's schema."""
    function = tool["function"]
    return str(function["name"]) if isinstance(function, Mapping) else ""


class CallRow(KeyedRow):
    """A row of ``model_calls``."""

    ordinal: int
    """Its place in the step, from 0."""
    stage: str
    """What it was asked for."""
    messages: Many[JsonObject]
    """The prompt, word for word; images stand by their SHA-256."""
    tools: Many[JsonObject]
    """Schemas of the tools that were offered; the last is the form of the reply."""
    reply: ReplyEntry
    """What the model answered."""
    usage: UsageEntry
    """What it cost when it was made."""
    cut_items: int
    """How many items the agent had to leave out of the prompt."""
    attempt: int
    """0 for the first ask, 1 for the re-ask."""
    cached: int
    """1 where the reply came from the reply cache."""
    seconds: Number
    """How long it took."""


class EventRow(KeyedRow):
    """A row of ``memory_events``."""

    ordinal: int
    """Its place in the step, from 0."""
    kind: str
    """What happened."""
    memory_id: str
    """The memory; empty where it is about none or many."""
    at: Instant
    """When."""
    data: JsonObject
    """Everything that is needed to make the memory again."""
