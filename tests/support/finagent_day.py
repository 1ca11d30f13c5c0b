"""A FinAgent over the small market of ``finmem_day``, and replies for each of its stages."""

from collections import Counter

from langchain_core.messages import AIMessage
from pydantic import PrivateAttr

from tests.support.finmem_day import ACME, ToldModel, call, decide
from varve.agents.finagent import FinAgent, FinAgentConfig
from varve.strategies.base import RunContext
from varve.types import Trace


def news_reply(*items, summary="Good on balance.", **queries):
    """Each item is (label, horizon, sentiment, words)."""
    told = [dict(zip(("item", "horizon", "sentiment", "summary"), item, strict=True)) for item in items]
    asked = {
        f"{term}_query": queries.get(term, f"{term} things of Acme") for term in ("short", "medium", "long")
    }
    return call("summarise_news", items=told, summary=summary, **asked)


def first_line(horizon="short", sentiment="positive", words="Acme wins an order"):
    return news_reply(("N1", horizon, sentiment, words))


PAST = call("summarise_past", summary="Orders had been strong.")
MOVES = call("explain_moves", short="An order.", medium="Orders.", long="Demand.", query="Acme up on orders")
REVIEW = call("review_decisions", right="The buy.", missed="Nothing.", correct="Go on.", query="Acme review")
FORMS = {
    "summarise_news": first_line(),
    "summarise_past": PAST,
    "explain_moves": MOVES,
    "review_decisions": REVIEW,
    "decide": decide(),
}


class StagedModel(ToldModel):
    """Gives each form its own replies in order, the last one for ever; ``replies`` holds them by form."""

    replies: dict
    vision: bool = False
    _given: Counter = PrivateAttr(default_factory=Counter)

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        tools = kwargs.get("tools", [])
        form = tools[-1]["function"]["name"]
        own = self.replies.get(form, FORMS[form])
        before, self._given[form] = self._given[form], self._given[form] + 1
        reply = own[min(before, len(own) - 1)] if isinstance(own, list) else own
        held = ToldModel(replies=[reply])
        result = held._generate(messages, **kwargs)
        self._asked.append((list(messages), [tool["function"]["name"] for tool in tools]))
        return result


def begun(replies=None, *, trace=None, vision=False, **settings):
    """An agent whose model answers by form; with its model and trace."""
    model = StagedModel(replies=replies or {}, vision=vision)
    trace = trace or Trace()
    agent = FinAgent(FinAgentConfig.build(**settings))
    agent.begin(RunContext("test", ACME, trace=trace, model=model))
    return agent, model, trace


def asked(model, form):
    """The messages of each call of a form."""
    return [messages for messages, names in model.asked if names[-1] == form]


def notes(decision):
    return {note.stage: note for note in decision.stages}


def nothing():
    return AIMessage("")
