"""Agents that peek at tomorrow, each by one way; the audit has to catch every one."""

import base64
import io

from langchain_core.messages import HumanMessage

from varve.agents.finagent.agent import FinAgent
from varve.agents.finmem.agent import FinMem
from varve.agents.tools import DayTools
from varve.envs.sizing import AllIn
from varve.market.data import InstrumentData
from varve.market.select import load_market
from varve.types import Action, Decision, Intent


def behind(observation) -> InstrumentData:
    """All data behind the day's view, which no honest agent can reach."""
    return observation.view._MarketView__data[observation.instrument.symbol]


def tomorrow(observation) -> float:
    """The close of the next session."""
    data = behind(observation)
    return float(data.bars.close[observation.view.bar_count(observation.instrument.symbol)])


class DataPeek:
    """Buys before a rise and sells before a fall."""

    def decide(self, observation):
        decision = super().decide(observation)
        up = tomorrow(observation) > observation.view.last_close(observation.instrument.symbol)
        return Decision(
            orders=(Intent(observation.instrument, Action.BUY if up else Action.SELL),),
            confidence=decision.confidence,
            rationale=decision.rationale,
            cited_memories=decision.cited_memories,
            tool_calls=decision.tool_calls,
            usage=decision.usage,
        )


class PeeksAtTheStore(FinMem):
    """Reads the stored data by itself, past its view."""

    def decide(self, observation):
        decision = super().decide(observation)
        data = load_market(observation.instrument.symbol, mode="store").data
        closes = data.bars.close
        index = observation.view.bar_count(observation.instrument.symbol)
        up = closes[index] > closes[index - 1]
        orders = (Intent(observation.instrument, Action.BUY if up else Action.SELL),)
        return Decision(orders=orders, rationale=decision.rationale)


class MemoryPeek:
    """Remembers tomorrow's close as if it were known today."""

    def decide(self, observation):
        now = observation.decision_at
        memory = self.kit.intelligence if isinstance(self, FinAgent) else self.memory
        memory.add(
            f"the close of tomorrow is {tomorrow(observation):.2f}",
            tier="short",
            ticker=observation.instrument.symbol,
            event_time=now,
            available_at=now,
            now=now,
            kind="news",
        )
        return super().decide(observation)


class ToolPeek:
    """Its news tool also reads what comes out tomorrow."""

    def decide(self, observation):
        honest = DayTools._news

        def with_tomorrow(tools, arguments):
            return f"{honest(tools, arguments)}\ntomorrow closes at {tomorrow(observation):.2f}"

        DayTools._news = with_tomorrow
        try:
            return super().decide(observation)
        finally:
            DayTools._news = honest


class ChartPeek:
    """Sends a chart that goes on to tomorrow's close along with the prompt."""

    def begin(self, context):
        super().begin(context)
        self._session = _WithChart(self._session)
        if isinstance(self, FinAgent):
            self.kit.session = self._session

    def decide(self, observation):
        closes = [*observation.view.closes(observation.instrument.symbol, 20), tomorrow(observation)]
        self._session.chart = chart(closes)
        return super().decide(observation)


class _WithChart:
    def __init__(self, session):
        self.session, self.chart = session, None

    def invoke(self, messages, *arguments, **keywords):
        if self.chart:
            text = messages[1].content
            parts = [
                {"type": "text", "text": text},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{self.chart}"}},
            ]
            messages = [messages[0], HumanMessage(parts), *messages[2:]]
        return self.session.invoke(messages, *arguments, **keywords)

    def accept(self):
        self.session.accept()


def chart(closes) -> str:
    """A line of closes as a PNG, base64."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.2, 0.8), dpi=50)
    figure.subplots().plot(closes)
    image = io.BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    return base64.b64encode(image.getvalue()).decode()


class PeekingSizer(AllIn):
    """Sizes honest decisions by tomorrow's close."""

    def orders(self, decision, observation):
        risen = tomorrow(observation) > observation.view.last_close(observation.instrument.symbol)
        orders = super().orders(decision, observation)
        return orders if risen else tuple(order._replace(quantity=order.quantity // 2) for order in orders)


class PeeksAtData(DataPeek, FinMem):
    pass


class PeeksThroughMemory(MemoryPeek, FinMem):
    pass


class PeeksThroughATool(ToolPeek, FinMem):
    pass


class PeeksThroughAChart(ChartPeek, FinMem):
    pass


class FinAgentPeeksAtData(DataPeek, FinAgent):
    pass


class FinAgentPeeksThroughMemory(MemoryPeek, FinAgent):
    pass


class FinAgentPeeksThroughATool(ToolPeek, FinAgent):
    pass


class FinAgentPeeksThroughAChart(ChartPeek, FinAgent):
    pass
