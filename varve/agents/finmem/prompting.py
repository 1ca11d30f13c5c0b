"""Prompts of the FinMem agent: what is the same every day, what changes, and how a line is shown.

Order: rules, (the tools' schemas, bound), profile, reply contract; then the day. Nothing before the day
changes from one day to the next, but for the two variants of a self-adaptive profile.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from langchain_core.messages import SystemMessage

from varve.agents.finmem.config import ADAPTIVE_SESSIONS, FinMemConfig, Variant
from varve.clock import iso
from varve.finllm.untrusted import clean, section
from varve.market.observation import Observation
from varve.memory.config import TIERS
from varve.memory.records import MemoryRecord, Recalled
from varve.strategies.base import Lesson, RunContext
from varve.strategies.indicators import momentum
from varve.types import Document, FillRule

QUERY_HEADLINES, QUERY_TOKENS = 5, 40
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LABEL = re.compile(r"\bM\d+\b")
_FILLS: dict[FillRule, str] = {
    "next_open": "Orders fill at the open of the next session.",
    "next_close": "Orders fill at the close of the next session.",
    "same_close": "Orders fill at the close that you have just seen.",
}
_SHORTING = {
    True: "SELL when flat opens a short position, BUY closes it.",
    False: "There are no short positions: SELL when flat does nothing.",
}


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("varve.agents.finmem", "prompts"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _template(name: str) -> Template:
    return _templates().get_template(f"{name}.j2")


def render(name: str, **values: object) -> str:
    """A prompt file with its values filled in."""
    return _template(name).render(**values).strip()


def system_message(
    config: FinMemConfig, context: RunContext, variant: Variant, *, explain: bool
) -> SystemMessage:
    """Rules, profile and reply contract; equal for every day with an equal profile variant."""
    return SystemMessage(
        render(
            "system",
            profile_file=f"profile_{variant}.j2",
            contract_file="contract_explain.j2" if explain else "contract_decide.j2",
            rounds=config.max_tool_rounds,
            fill=_FILLS[context.fill_rule],
            shorting=_SHORTING[context.shorting],
        )
    )


def profile_variant(config: FinMemConfig, observation: Observation) -> Variant:
    """The profile of the day: a self-adaptive one is averse after three sessions that lost, else seeking."""
    if config.profile != "self_adaptive":
        return config.profile
    closes = observation.view.closes(observation.instrument.symbol, ADAPTIVE_SESSIONS + 1)
    change = momentum(closes, ADAPTIVE_SESSIONS)
    return "risk_averse" if change is not None and change < 0 else "risk_seeking"


@lru_cache(maxsize=20_000)
def cleaned(text: str, max_tokens: int) -> tuple[str, bool]:
    """:func:`varve.finllm.untrusted.clean`, remembered: the same memories are shown day after day."""
    return clean(text, max_tokens)


class DayPage:
    """The lines of one day's prompt: each citable line has a label, and what was cut is counted.

    Labels are the same every day (M1, M2, ...), so that the reply's schema can enumerate them before
    the part of the prompt that changes; ``ids`` says which memories they stand for today.
    """

    def __init__(self, config: FinMemConfig, document_memories: dict[str, str]) -> None:
        self._config = config
        self._document_memories = document_memories
        self._labels: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.cut_items = 0

    def memory_line(self, record: MemoryRecord) -> str | None:
        """A memory as one line; None where no label is left for it."""
        label = self._label(record.id)
        if label is None:
            return None
        return self._line(label, record.event_time.date().isoformat(), record.kind, record.text, memory=True)

    def document_line(self, document: Document) -> str:
        """A document as one line, citable where it is a memory by now."""
        memory_id = self._document_memories.get(document.id)
        label = (self._label(memory_id) if memory_id else None) or "-"
        day = document.event_time.date().isoformat()
        return self._line(label, day, document.kind, document.text, memory=False)

    def news(self, observation: Observation) -> tuple[str, set[str]]:
        """The section of new documents, and the ids of their memories."""
        documents = observation.new_documents()
        filings = [d for d in documents if d.kind != "news"][-self._config.max_news :]
        room = self._config.max_news - len(filings)
        chosen = {d.id for d in filings}
        chosen.update(d.id for d in [d for d in documents if d.kind == "news"][-room:] if room)
        self.cut_items += len(documents) - len(chosen)
        shown = [d for d in documents if d.id in chosen]
        lines = [self.document_line(d) for d in shown if d.text.strip()]
        memories = {self._document_memories[d.id] for d in shown if d.id in self._document_memories}
        return section("NEWS", lines or ["none"]), memories

    def memories(self, hits: dict[str, list[Recalled]]) -> str:
        """A section per tier."""
        parts = []
        for tier in TIERS:
            lines = [self.memory_line(hit.record) for hit in hits.get(tier, [])]
            shown = [line for line in lines if line is not None]
            parts.append(section(f"MEMORY_{tier.upper()}", shown or ["none"]))
        return "\n".join(parts)

    def plain(self, rationale: str) -> str:
        """A rationale with the day's labels replaced by the memories' own ids, which stay true."""
        return _LABEL.sub(lambda match: self.ids.get(match.group(), match.group()), rationale)

    def _label(self, memory_id: str) -> str | None:
        known = self._labels.get(memory_id)
        if known is None and len(self._labels) < self._config.labels:
            known = self._labels[memory_id] = f"M{len(self._labels) + 1}"
            self.ids[known] = memory_id
        return known

    def _line(self, label: str, day: str, kind: str, text: str, *, memory: bool) -> str:
        limit = self._config.memory_tokens if memory else self._config.news_tokens
        shown, cut = cleaned(text, limit)
        self.cut_items += cut
        return f"{label} | {day} | {kind} | {shown}"


def query_text(observation: Observation) -> str:
    """What to recall memories by: today's headlines, trend and position."""
    closes = observation.view.closes(observation.instrument.symbol, ADAPTIVE_SESSIONS + 1)
    change = momentum(closes, ADAPTIVE_SESSIONS)
    trend = "unchanged" if not change else f"{'up' if change > 0 else 'down'} {abs(100 * change):.1f} percent"
    documents = observation.new_documents()[-QUERY_HEADLINES:]
    return render(
        "query",
        ticker=observation.instrument.symbol,
        trend=trend,
        sessions=ADAPTIVE_SESSIONS,
        position=position_text(observation.position),
        headlines=" ".join(cleaned(document.text, QUERY_TOKENS)[0] for document in documents),
    )


def day_message(
    name: str, config: FinMemConfig, observation: Observation, *, memories: str, news: str, **more: object
) -> str:
    """The day's part of the prompt, from the file ``decide`` or ``explain``."""
    symbol = observation.instrument.symbol
    closes = observation.view.closes(symbol, max(config.closes_shown, 11))
    changes = [(n, momentum(closes, n)) for n in (1, ADAPTIVE_SESSIONS, 10)]
    held, currency = observation.portfolio, observation.instrument.currency
    return render(
        name,
        ticker=symbol,
        session=iso(observation.session),
        weekday=_WEEKDAYS[observation.session.weekday()],
        decision_at=iso(observation.decision_at),
        position=position_text(observation.position),
        account=f"Cash: {held.cash:.2f} {currency}; equity: {held.equity:.2f} {currency}",
        currency=currency,
        closes=", ".join(f"{close:.6g}" for close in closes[-config.closes_shown :]),
        changes=", ".join(f"{n} sessions {percent(c)}" for n, c in changes if c is not None) or "unknown",
        memories=memories,
        news=news,
        **more,
    )


def explain_message(config: FinMemConfig, lesson: Lesson, horizon: int, *, memories: str, news: str) -> str:
    """The prompt of a warm-up lesson: the past day as it was seen, and its outcome."""
    return day_message(
        "explain",
        config,
        lesson.past,
        memories=memories,
        news=news,
        horizon=horizon,
        price_return=percent(lesson.price_return),
        cost=percent(lesson.cost_rate),
    )


def position_text(position: float) -> str:
    """``flat``, ``long 12`` or ``short 3``."""
    return "flat" if position == 0 else f"{'long' if position > 0 else 'short'} {abs(position):g}"


def percent(fraction: float) -> str:
    """A fraction as signed percent with two places."""
    return f"{100 * fraction + 0.0:+.2f} %"
