"""A small market with chosen documents, a model that says what it is told, and one agent over both."""

from datetime import date, timedelta

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from varve.agents.finmem import FinMem, FinMemConfig
from varve.market.calendars import get_calendar
from varve.market.data import BarSeries, InstrumentData, Provenance
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.strategies.base import Lesson, RunContext
from varve.types import Document, Instrument, Outcome, Portfolio, Trace

SESSIONS = get_calendar("XNYS").sessions(date(2021, 3, 1), date(2021, 6, 30))
CALENDAR = get_calendar("XNYS")
ACME = Instrument("ACME")


class ToldModel(BaseChatModel):
    """Gives the told replies in order, the last one for ever; keeps what it was asked.

    A reply is a message, an exception to raise, or a function of the messages.
    """

    replies: list
    _asked: list = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self):
        return "told"

    @property
    def asked(self):
        """(messages, tool names) of each call."""
        return self._asked

    def bind_tools(self, tools, **kwargs):
        return self.bind(tools=list(tools))

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        names = [tool["function"]["name"] for tool in kwargs.get("tools", [])]
        reply = self.replies[min(len(self._asked), len(self.replies) - 1)]
        self._asked.append((list(messages), names))
        if callable(reply):
            reply = reply(messages)
        if isinstance(reply, Exception):
            raise reply
        return ChatResult(generations=[ChatGeneration(message=reply.model_copy(deep=True))])


def call(tool, /, **arguments):
    return calls((tool, arguments))


def calls(*made):
    return AIMessage(
        "",
        tool_calls=[
            {"name": name, "args": arguments, "id": f"c{i}"} for i, (name, arguments) in enumerate(made)
        ],
        usage_metadata={"input_tokens": 100, "output_tokens": 10, "total_tokens": 110},
    )


def decide(action="BUY", confidence=70, rationale="Orders are strong.", cited_memories=()):
    return call(
        "decide",
        action=action,
        confidence=confidence,
        rationale=rationale,
        cited_memories=list(cited_memories),
    )


def explain(rationale="Demand grew.", cited_memories=()):
    return call("explain", rationale=rationale, cited_memories=list(cited_memories))


def document(index, text, kind="news", number=0):
    """Readable three hours after the close of session ``index``, so before the decision after it."""
    at = CALENDAR.close_at(SESSIONS[index]) + timedelta(hours=3)
    return Document(f"{kind}-{index}-{number}", "ACME", kind, text, at - timedelta(minutes=5), at)


def market(documents=(), closes=None, count=60):
    closes = [100.0 + i for i in range(count)] if closes is None else closes
    bars = BarSeries.from_sessions("XNYS", SESSIONS[: len(closes)], closes, open=closes)
    provenance = Provenance("test", "raw", "next_open")
    return MarketData({"ACME": InstrumentData(ACME, bars, provenance, tuple(documents))})


def observe(data, index, *, position=0.0, step=None):
    decision_at = CALENDAR.decision_at(SESSIONS[index])
    positions = {"ACME": position} if position else {}
    return Observation(
        step=index if step is None else step,
        instrument=ACME,
        session=SESSIONS[index],
        decision_at=decision_at,
        previous_decision_at=CALENDAR.decision_at(SESSIONS[index - 1]) if index else None,
        view=data.as_of(decision_at),
        portfolio=Portfolio("USD", 1000.0, 1000.0, positions),
    )


def begun(*replies, trace=None, **settings):
    """An agent whose model says ``replies``; with its model and trace."""
    model = ToldModel(replies=list(replies) or [decide()])
    trace = trace or Trace()
    agent = FinMem(FinMemConfig.build(**settings))
    agent.begin(RunContext("test", ACME, trace=trace, model=model))
    return agent, model, trace


def lesson(data, index, *, price_return=0.05, cost_rate=0.001, horizon=5):
    return Lesson(observe(data, index), observe(data, index + horizon), price_return, cost_rate)


def outcome(step, *, reward=0.02, position=1.0, cited=(), index=10):
    return Outcome(
        step=step,
        symbol="ACME",
        decided_at=CALENDAR.decision_at(SESSIONS[step]),
        available_at=CALENDAR.close_at(SESSIONS[index]),
        position=position,
        fill_session=SESSIONS[step + 1],
        fill_price=100.0,
        exit_session=SESSIONS[index],
        exit_price=102.0,
        reward=reward,
        horizon_sessions=5,
        cited_memories=tuple(cited),
    )


def texts(messages):
    return "\n".join(message.text for message in messages)


def added(trace, kind=None):
    """(id, data) of the memories added so far."""
    events = [event for event in trace.memory_events if event.kind == "added"]
    return [(e.memory_id, e.data) for e in events if kind is None or e.data["kind"] == kind]
