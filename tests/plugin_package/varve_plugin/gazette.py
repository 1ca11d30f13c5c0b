"""An agent on the kit: it reads the news into memory, recalls what is like it, and decides."""

from langchain_core.messages import SystemMessage

from varve.api import (
    Agent,
    DecideForm,
    Decision,
    Observation,
    Outcome,
    Prompts,
    RunContext,
    Stage,
    labels_of,
    market_values,
    section,
    trading_values,
)

SYSTEM = """You trade one instrument by its news, once per session.

Rules
{% include "house_rules.j2" %}

{% include "trading_rules.j2" %}


Answer with exactly one call of decide; cite the labels of the lines that your reasons rest on."""
DECIDE = """{% include "market.j2" %}


News since the decision before. Each line reads: label | date | kind | text.
{{ news }}

Earlier news like it.
{{ memories }}

Decide for {{ ticker }}."""

PROMPTS = Prompts({"system": SYSTEM, "decide": DECIDE})
TOP_K = 4


class Gazette(Agent):
    """Reads the news into memory, recalls what is like it, and decides."""

    name = "gazette"

    def begin(self, context: RunContext) -> None:
        super().begin(context)
        self.memory = self.open_memory("gazette")
        self.system = SystemMessage(PROMPTS.render("system", **trading_values(context)))
        self.labels = labels_of(self.config.max_news + 3 * TOP_K)
        self.stage = Stage("decide", DecideForm(), self.labels)

    def decide(self, observation: Observation) -> Decision:
        symbol, now, first_call = observation.instrument.symbol, observation.decision_at, self.calls_so_far
        documents = self.unread(observation)
        shown = self.page(0).chosen(documents, self.config.max_news)
        query = " ".join([symbol, *(document.text for document in shown)])[:500]
        found = self.memory.recall(query, now, TOP_K, ("short", "mid", "long"), ticker=symbol)
        ids = self.memory.add_many(list(map(self.memory_of, documents)), now=now)
        memories = dict(zip((document.id for document in documents), ids, strict=True))
        page = self.page(len(self.labels), memories)
        news = [page.document_line(document) for document in shown]
        like = page.memory_lines([hit.record for hits in found.values() for hit in hits])
        text = PROMPTS.render(
            "decide",
            news=section("NEWS", news or ["none"]),
            memories=section("MEMORY", like or ["none"]),
            **market_values(observation, self.config.closes_shown),
        )
        reply = self.stage.ask(self.session, self.system, text, page).reply
        self.close_day(now)
        return self.decided(observation, reply, page, first_call)

    def learn(self, outcome: Outcome) -> None:
        if outcome.position:
            self.memory.credit(outcome.cited_memories, outcome.reward, outcome.available_at)
