"""Prompts of agents: files of templates, what of the market is the same for all, and labelled lines.

A prompt has one part that is the same every day (the system message and the tools bound) and one that is
the day's. Templates of an agent lie in its own folder; ``market.j2``, ``house_rules.j2`` and
``trading_rules.j2`` here are for any agent to include.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

from jinja2 import BaseLoader, ChoiceLoader, DictLoader, Environment, PackageLoader, StrictUndefined

from varve.clock import iso
from varve.finllm.replies.untrusted import clean
from varve.market.observation import Observation
from varve.memory.state.records import MemoryRecord
from varve.strategies.base import RunContext
from varve.strategies.indicators import momentum
from varve.types import Document, FillRule

CHANGES_SESSIONS = (1, 3, 10)
"""The changes of the close that every prompt shows."""

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


class Prompts:
    """The templates of one agent.

    Args:
        where: the package that has them in its folder ``prompts`` as ``NAME.j2``, or the templates
            themselves by name.
    """

    def __init__(self, where: str | Mapping[str, str]) -> None:
        self._where = where

    @cached_property
    def _environment(self) -> Environment:
        own: BaseLoader
        if isinstance(self._where, str):
            own = PackageLoader(self._where, "prompts")
        else:
            own = DictLoader({f"{name}.j2": text for name, text in self._where.items()})
        return Environment(
            loader=ChoiceLoader([own, PackageLoader("varve.agents", "prompts")]),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, name: str, **values: object) -> str:
        """The template of that name with its values filled in."""
        return self._environment.get_template(f"{name}.j2").render(**values).strip()


def trading_values(context: RunContext) -> dict[str, str]:
    """What ``trading_rules.j2`` says of the run: ``fill`` and ``shorting``."""
    return {"fill": _FILLS[context.fill_rule], "shorting": _SHORTING[context.shorting]}


def market_values(observation: Observation, closes_shown: int) -> dict[str, object]:
    """What ``market.j2`` says of a day: dates, position, account, closes and their changes."""
    symbol = observation.instrument.symbol
    closes = observation.view.closes(symbol, max(closes_shown, CHANGES_SESSIONS[-1] + 1))
    changes = [(n, momentum(closes, n)) for n in CHANGES_SESSIONS]
    held, currency = observation.portfolio, observation.instrument.currency
    return {
        "ticker": symbol,
        "session": iso(observation.session),
        "weekday": _WEEKDAYS[observation.session.weekday()],
        "decision_at": iso(observation.decision_at),
        "position": position_text(observation.position),
        "account": f"Cash: {held.cash:.2f} {currency}; equity: {held.equity:.2f} {currency}",
        "currency": currency,
        "closes": ", ".join(f"{close:.6g}" for close in closes[-closes_shown:]),
        "changes": ", ".join(f"{n} sessions {percent(c)}" for n, c in changes if c is not None) or "unknown",
    }


@lru_cache(maxsize=20_000)
def cleaned(text: str, max_tokens: int) -> tuple[str, bool]:
    """:func:`varve.finllm.replies.untrusted.clean`, remembered: the same memories are shown day after day."""
    return clean(text, max_tokens)


def position_text(position: float) -> str:
    """``flat``, ``long 12`` or ``short 3``."""
    return "flat" if position == 0 else f"{'long' if position > 0 else 'short'} {abs(position):g}"


def percent(fraction: float) -> str:
    """A fraction as signed percent with two places."""
    return f"{100 * fraction + 0.0:+.2f} %"


def labels_of(count: int, letter: str = "M") -> list[str]:
    """``M1`` to ``M<count>``: the same every day, so that a schema can name them all."""
    return [f"{letter}{number}" for number in range(1, count + 1)]


class Page:
    """The lines of one day's prompts: each line that can be cited has a label, and what was cut is counted.

    A label stands for one memory all day long; ``ids`` says for which.

    Args:
        labels: how many lines can have one.
        memory_tokens, news_tokens: what a memory and a document are cut to, four characters each.
        document_memories: ids of the memories that documents have become, by document.
    """

    def __init__(
        self,
        labels: int,
        *,
        memory_tokens: int,
        news_tokens: int,
        document_memories: Mapping[str, str] | None = None,
    ) -> None:
        self._most, self._memory_tokens, self._news_tokens = labels, memory_tokens, news_tokens
        self._document_memories = {} if document_memories is None else document_memories
        self._labels: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.cut_items = 0

    def memory_line(
        self, record: MemoryRecord, memory_id: str | None = None, *, max_tokens: int | None = None
    ) -> str | None:
        """A memory as one line; None where no label is left for it.

        Args:
            memory_id: how a decision cites it, where that is not the record's own id.
            max_tokens: what it is cut to, where that is not the page's length of memories.
        """
        label = self._label(memory_id or record.id)
        if label is None:
            return None
        day = record.event_time.date().isoformat()
        return self.line(label, day, record.kind, record.text, max_tokens or self._memory_tokens)

    def memory_lines(self, records: Sequence[MemoryRecord]) -> list[str]:
        """Memories as lines, as many as there are labels for."""
        return [line for line in map(self.memory_line, records) if line is not None]

    def document_line(self, document: Document) -> str:
        """A document as one line, citable where it is a memory by now."""
        memory_id = self._document_memories.get(document.id)
        label = (self._label(memory_id) if memory_id else None) or "-"
        day = document.event_time.date().isoformat()
        return self.line(label, day, document.kind, document.text, self._news_tokens)

    def line(self, label: str, day: str, kind: str, text: str, max_tokens: int) -> str:
        """``label | date | kind | text``, cleaned and cut."""
        shown, cut = cleaned(text, max_tokens)
        self.cut_items += cut
        return f"{label} | {day} | {kind} | {shown}"

    def chosen(self, documents: Sequence[Document], most: int) -> list[Document]:
        """Of many documents ``most``: filings first, then the newest; the others are counted as cut."""
        filings = [d for d in documents if d.kind != "news"][-most:]
        room = most - len(filings)
        kept = {d.id for d in filings}
        kept.update(d.id for d in [d for d in documents if d.kind == "news"][-room:] if room)
        self.cut_items += len(documents) - len(kept)
        return [d for d in documents if d.id in kept]

    def plain(self, words: str) -> str:
        """Words of the model with the day's labels replaced by what they stand for, which stays true."""
        return _LABEL.sub(lambda match: self.ids.get(match.group(), match.group()), words)

    def cited(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The ids that labels stand for, each once."""
        return tuple(dict.fromkeys(self.ids[label] for label in labels))

    def _label(self, memory_id: str) -> str | None:
        known = self._labels.get(memory_id)
        if known is None and len(self._labels) < self._most:
            known = self._labels[memory_id] = f"M{len(self._labels) + 1}"
            self.ids[known] = memory_id
        return known
