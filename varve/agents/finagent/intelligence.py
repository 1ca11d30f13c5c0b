"""Market intelligence: today's news item by item, and what past intelligence says to it.

FinAgent (arXiv 2402.18485), section 4.1 and diversified retrieval of section 4.3.
"""

from __future__ import annotations

from typing import ClassVar

from varve.agents.finagent.config import Part
from varve.agents.finagent.day import Day, DayPart
from varve.agents.finagent.kit import Kit
from varve.agents.prompting import labels_of, percent
from varve.finllm.replies.forms import Choice, Each, Field, Filled, Form, Label, Text
from varve.finllm.replies.untrusted import section
from varve.memory.labels import LabelledQuery
from varve.memory.state.records import NewMemory, citation
from varve.strategies.indicators import momentum
from varve.types import Document, Failure

TIER_OF_HORIZON = {"short": "short", "medium": "mid", "long": "long"}
SENTIMENTS = ("positive", "neutral", "negative")
MAX_SUMMARY_TOKENS = 200
MAX_QUERY_TOKENS = 60


class Intelligence(DayPart[Filled]):
    """Each new piece of news in a few words with its horizon and sentiment, all of it together, and what
    to look up."""

    name: ClassVar[str] = "intelligence"
    part: ClassVar[Part] = "intelligence"

    def __init__(self, kit: Kit) -> None:
        config = kit.config
        item: dict[str, Field] = {
            "item": Label("The label of the line that this is about."),
            "horizon": Choice("How long it will move the price.", tuple(TIER_OF_HORIZON)),
            "sentiment": Choice("Which way, for the price.", SENTIMENTS),
            "summary": Text("The fact and its effect on the price, at most 30 words.", config.item_tokens),
        }
        form = Form(
            "summarise_news",
            "Give the day's market intelligence.",
            {
                "items": Each("One entry for each line of news that matters.", item, config.max_news),
                "summary": Text("What all of it together means for the price.", MAX_SUMMARY_TOKENS),
                **{
                    f"{horizon}_query": Text(
                        f"What to look up in earlier intelligence of {horizon}-term effect.", MAX_QUERY_TOKENS
                    )
                    for horizon in TIER_OF_HORIZON
                },
            },
        )
        super().__init__(kit, form, labels_of(config.max_news, "N"))

    def work(self, day: Day) -> None:
        """Ask; what is told of each item is for memory once the past has been asked."""
        documents = self.kit.unread(day.observation)
        shown = day.page.chosen(documents, self.config.max_news)
        if not shown:
            day.skip(self.name, "no news")
            return
        labelled = dict(zip(self._stage.labels, shown, strict=False))
        lines = [self._line(day, label, document) for label, document in labelled.items()]
        left_out = len(documents) - len(shown)
        reply = self.ask(day, news=section("NEWS", lines), left_out=left_out, known=list(labelled))
        if isinstance(reply, Failure):
            return
        day.summary = reply["summary"]
        day.queries = {horizon: reply[f"{horizon}_query"] for horizon in TIER_OF_HORIZON}
        # The first entry for a line counts; a model that repeats itself has said no more.
        entries = {entry["item"]: entry for entry in reversed(reply["items"])}
        day.items = [(labelled[label], entries[label]) for label in labelled if label in entries]

    def _line(self, day: Day, label: str, document: Document) -> str:
        when = document.event_time.date().isoformat()
        return day.page.line(label, when, document.kind, document.text, self.config.news_tokens)

    def keep(self, day: Day) -> None:
        """Store the day's items, each by its horizon; they are recallable from this decision on."""
        now, name = day.observation.decision_at, self.kit.intelligence.name
        items = [
            NewMemory(
                text=entry["summary"],
                tier=TIER_OF_HORIZON[entry["horizon"]],
                ticker=document.symbol,
                event_time=document.event_time,
                available_at=now,
                kind=document.kind,
                metadata={
                    "document": document.id,
                    "horizon": entry["horizon"],
                    "sentiment": entry["sentiment"],
                },
            )
            for document, entry in day.items
        ]
        ids = self.kit.intelligence.add_many(items, now=now)
        for memory_id, (_, entry) in zip(ids, day.items, strict=True):
            record = self.kit.intelligence.get(memory_id)
            line = day.page.memory_line(record, citation(name, memory_id))
            if line is not None:
                day.today.append(f"{line} ({entry['horizon']}-term, {entry['sentiment']})")


class PastIntelligence(DayPart[Filled]):
    """What earlier intelligence says to today's, found by one query per horizon."""

    name: ClassVar[str] = "past_intelligence"
    part: ClassVar[Part] = "intelligence"

    def __init__(self, kit: Kit) -> None:
        text = Text("What of it still matters for the price, and which way.", MAX_SUMMARY_TOKENS)
        super().__init__(
            kit, Form("summarise_past", "Sum up earlier market intelligence.", {"summary": text})
        )

    def work(self, day: Day) -> None:
        """Recall, and have it summed up where there is anything."""
        lines = self._recalled(day)
        if not lines:
            day.skip(self.name, "nothing recalled")
            return
        reply = self.ask(day, past=section("PAST", lines), today=day.summary or "no news")
        if not isinstance(reply, Failure):
            day.past = reply["summary"]

    def _recalled(self, day: Day) -> list[str]:
        """Top k per horizon, each text once, with its horizon's own query."""
        memory, observation = self.kit.intelligence, day.observation
        if not len(memory):
            return []
        queries = day.queries or dict.fromkeys(TIER_OF_HORIZON, _query_of(day))
        found = memory.recall_labelled(
            [LabelledQuery(horizon, query, {"horizon": horizon}) for horizon, query in queries.items()],
            observation.decision_at,
            self.config.top_k,
            tuple(TIER_OF_HORIZON.values()),
            observation.instrument.symbol,
        )
        records = {hit.id: hit.record for hits in found.values() for hit in hits}
        return [
            day.page.line(
                "-", one.event_time.date().isoformat(), one.kind, one.text, self.config.memory_tokens
            )
            + f" ({one.metadata['horizon']}-term, {one.metadata['sentiment']})"
            for one in records.values()
        ]


def _query_of(day: Day) -> str:
    """What to look up on a day without news: what the price has done."""
    observation = day.observation
    change = momentum(observation.view.closes(observation.instrument.symbol, 8), 7)
    moved = "moved" if change is None else f"moved {percent(change)}"
    return f"{observation.instrument.symbol} shares {moved} in 7 sessions"
