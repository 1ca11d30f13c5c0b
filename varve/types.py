"""The words every room speaks: instruments, bars, documents, decisions, orders, fills, outcomes.

Plain immutable values without behaviour. Prices and cash are floats in the instrument's currency,
quantities are floats in shares (or coins), instants are timezone-aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
else:
    # pydantic would walk through all of it; what was read from JSON text holds nothing else.
    Json = Any

JsonObject = dict[str, Json]
"""A JSON object as it is read; functions that only look take a ``Mapping[str, Json]``."""
ToolSchema = dict[str, Any]
"""A tool as a model's API is told of it: name, description, parameters as JSON schema. It is read deep."""
Message = Mapping[str, Json]
"""A chat message as JSON."""
Reply = Mapping[str, Any]
"""A model's reply as JSON, as the journal keeps it: content, tool calls and more. It is read deep."""
Arguments = Mapping[str, Json]
"""What a model gave a tool call, by the names of the tool's parameters; not yet checked."""
EventData = Mapping[str, Any]
"""What a memory's event tells, JSON; its keys hang on the event's kind."""

FillRule = Literal["next_open", "next_close", "same_close"]
DocumentKind = Literal["news", "10-Q", "10-K", "guidance"]
"""``guidance`` is an expert's word to the trader: shown only to agents that ask for it by its kind."""


RULES = 2
"""The rules by which runs that begin now trade and remember; a run keeps those that it began with.

1: what a participation cap leaves of an order is forgotten; a demotion renews a memory's age; a debit at
the instant of a close that takes a memory below its purge limit removes it at the next close; a lesson's
cost rate knows whether there is volume up to the first session of the test.
2: such an order is worked off (``sizer.work_off``); a demotion keeps the age; the memory goes at that close;
a lesson's cost rate knows what was known at the lesson.
"""


class Action(StrEnum):
    """What a decision asks for. ``HOLD`` keeps the position, ``FLAT`` closes it."""

    BUY = "BUY"
    HOLD = "HOLD"
    SELL = "SELL"
    FLAT = "FLAT"


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is traded. ``lot_size`` is the smallest tradable quantity (1 share; 1e-4 ETH)."""

    symbol: str
    calendar: str = "XNYS"
    currency: str = "USD"
    lot_size: float = 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of prices; ``open``, ``high``, ``low`` and ``volume`` are None where the source has none.

    ``session`` is the calendar's session date; ``start`` and ``end`` are instants. A bar can be
    known from ``end`` on.
    """

    session: date
    start: datetime
    end: datetime
    close: float
    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float | None = None

    @property
    def available_at(self) -> datetime:
        """When a trader could have read it: its end."""
        return self.end


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of text about one instrument: a headline with its summary, or a filing's summary.

    ``id`` is unique per symbol and stable across loads of the same data.
    """

    id: str
    symbol: str
    kind: DocumentKind
    text: str
    event_time: datetime
    available_at: datetime


@dataclass(frozen=True, slots=True)
class CorporateEvent:
    """A split or a cash dividend, taking effect at the start of the bar of ``session`` (the ex-date).

    ``value`` is new shares per old share for a split (4.0 for 4:1), cash per share in the
    instrument's currency for a dividend.
    """

    symbol: str
    kind: Literal["split", "dividend"]
    session: date
    value: float


class Intent(NamedTuple):
    """What a decision wants for one instrument."""

    instrument: Instrument
    action: Action


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and calls of the language model."""

    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.calls + other.calls,
        )


class FailureReason(StrEnum):
    """Why a reply was no decision."""

    EMPTY_REPLY = "empty_reply"
    UNPARSABLE = "unparsable"
    UNKNOWN_ACTION = "unknown_action"
    UNKNOWN_MEMORY = "unknown_memory"
    BAD_ARGUMENTS = "bad_arguments"
    TOKEN_LIMIT = "token_limit"
    TOO_MANY_ROUNDS = "too_many_rounds"


@dataclass(frozen=True, slots=True)
class Failure:
    """A decision that never came: the position is kept, and the failure counted and shown."""

    reason: FailureReason
    detail: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A read-only question the model asked of the day's view, and what it was told."""

    name: str
    arguments: Arguments
    result: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StageNote:
    """What became of one stage of an agent's day.

    ``state`` is ``done``, ``failed`` (the day went on without it) or ``skipped`` (it had nothing to ask);
    ``detail`` says why, or what was left out. ``shown`` tells how the stage's chart was given to the
    model, ``image`` or ``table``; empty where the stage has none.
    """

    stage: str
    state: Literal["done", "failed", "skipped"]
    detail: str = ""
    shown: Literal["", "image", "table"] = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a trader wants, and why.

    ``confidence`` is an integer percent in steps of 5 (None for traders without one).
    A decision with a ``failure`` carries no orders; the position is kept. ``stages`` are those of an
    agent whose day has several, in their order.
    """

    orders: tuple[Intent, ...] = ()
    confidence: int | None = None
    rationale: str = ""
    cited_memories: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    failure: Failure | None = None
    stages: tuple[StageNote, ...] = ()


class Order(NamedTuple):
    """A signed quantity to trade at the next fill; fixed at the decision."""

    symbol: str
    quantity: float


class Fill(NamedTuple):
    """What an order became.

    ``reference_price`` is the traded open or close, ``price`` what was paid or received per share
    after half-spread and impact, ``commission`` the cash charged beside it. ``clipped`` says why
    less than ordered was filled: ``cash_clipped``, ``participation_capped`` or None.
    """

    symbol: str
    session: date
    filled_at: datetime
    quantity: float
    reference_price: float
    price: float
    commission: float
    clipped: str | None = None


@dataclass(frozen=True, slots=True)
class Portfolio:
    """The ledger's state as a trader may see it, marked at the last known close."""

    currency: str
    cash: float
    equity: float
    positions: Mapping[str, float] = field(default_factory=dict)

    def position(self, symbol: str) -> float:
        """Signed quantity held, 0.0 when flat."""
        return self.positions.get(symbol, 0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision led to, known once its horizon is over.

    ``reward`` = sign(position after the fill) × (exit_price ÷ fill_price − 1) − entry cost rate, a
    fraction; prices are on one split basis. ``available_at`` is the end of the exit bar.
    """

    step: int
    symbol: str
    decided_at: datetime
    available_at: datetime
    position: float
    fill_session: date
    fill_price: float
    exit_session: date
    exit_price: float
    reward: float
    horizon_sessions: int
    cited_memories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One exchange with the language model, exactly as it went, for the journal.

    ``cached`` tells that the reply came from the reply cache or a journal; ``usage`` is then what it
    cost when it was made. In ``messages`` images stand by the SHA-256 of their bytes; ``images`` are
    the bytes, each once.
    """

    stage: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Json], ...]
    reply: Reply
    usage: Usage
    attempt: int
    seconds: float
    cut_items: int = 0
    cached: bool = False
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryEvent:
    """One change or use of a memory, for the journal: enough to rebuild the memory from events alone.

    ``kind`` is one of ``added``, ``merged``, ``credited``, ``credit_missed``, ``promoted``,
    ``demoted``, ``purged``, ``recalled``, ``closed``; the last two name no single memory (empty id).
    A memory that begins with a snapshot writes ``snapshot`` (empty id) and an ``imported`` for each of
    its memories first.
    """

    kind: str
    memory_id: str
    at: datetime
    data: EventData = field(default_factory=dict)


@dataclass(slots=True)
class Trace:
    """What happened inside one step; the runner empties it into the journal."""

    model_calls: list[ModelCall] = field(default_factory=list)
    memory_events: list[MemoryEvent] = field(default_factory=list)

    def drain(self) -> tuple[tuple[ModelCall, ...], tuple[MemoryEvent, ...]]:
        """Everything noted since the last call, and forget it."""
        calls, events = tuple(self.model_calls), tuple(self.memory_events)
        self.model_calls.clear()
        self.memory_events.clear()
        return calls, events
