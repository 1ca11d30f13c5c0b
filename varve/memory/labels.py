"""Several questions at once, each under a label, and what they find as one list (FinAgent's recall).

FinAgent (Zhang et al. 2024, arXiv 2402.18485, section 4.2) asks its memory once per retrieval type
(short-, medium- and long-term) and uses the top k of each together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from varve.errors import UsageError
from varve.memory.state.records import MemoryRecord, Recalled
from varve.memory.state.validation import check_text
from varve.types import Json

MAX_LABEL_CHARS = 100


class LabelledQuery(NamedTuple):
    """A question under a label (``short``, ``medium``, ``long`` ...); ``where`` narrows what it is asked of.

    ``where`` as in :meth:`varve.memory.layered.LayeredMemory.recall`.
    """

    label: str
    query: str
    where: Mapping[str, Json] | None = None


class Labelled(NamedTuple):
    """A memory, as the label found it in whose list it stands highest, and all labels that found it.

    ``labels`` are in the order in which they were asked.
    """

    hit: Recalled
    labels: tuple[str, ...]

    @property
    def record(self) -> MemoryRecord:
        """The memory."""
        return self.hit.record

    @property
    def id(self) -> str:
        """The record's id."""
        return self.hit.id

    @property
    def text(self) -> str:
        """The record's text."""
        return self.hit.text


def check_queries(queries: Sequence[LabelledQuery]) -> tuple[LabelledQuery, ...]:
    """``queries``, if there is one at least and no label stands twice; what is asked is not looked at.

    Raises:
        UsageError: otherwise.
    """
    given = tuple(queries)
    if not given:
        raise UsageError("no labelled query was given, expected one at least", mend="give one per label")
    seen: set[str] = set()
    for each in given:
        label = check_text("the label of a query", each.label, MAX_LABEL_CHARS)
        if label in seen:
            raise UsageError(f"label {label!r} was given twice", mend="give each label one query")
        seen.add(label)
    return given


def merged(found: Mapping[str, Mapping[str, Sequence[Recalled]]]) -> dict[str, list[Labelled]]:
    """One list per tier out of what each label found, every memory once.

    First come the labels' first places, in the order of ``found``, then their second places, and so on:
    a list cut anywhere holds every label's best, and scores under different questions, which say nothing
    of one another, are not compared. One label alone keeps its order.
    """
    tiers = dict.fromkeys(tier for of_label in found.values() for tier in of_label)
    return {tier: _merged({label: of_label.get(tier, ()) for label, of_label in found.items()})
            for tier in tiers}  # fmt: skip


def _merged(found: Mapping[str, Sequence[Recalled]]) -> list[Labelled]:
    labels: dict[str, list[str]] = {}
    for label, hits in found.items():
        for hit in hits:
            labels.setdefault(hit.id, []).append(label)
    best: dict[str, Recalled] = {}
    for place in range(max((len(hits) for hits in found.values()), default=0)):
        for hits in found.values():
            if place < len(hits):
                best.setdefault(hits[place].id, hits[place])
    return [Labelled(hit, tuple(labels[memory_id])) for memory_id, hit in best.items()]
