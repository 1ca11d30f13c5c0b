"""The trivial memory that a layered one has to beat: the last items, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from varve.clock import from_ns, iso, to_utc
from varve.errors import UsageError
from varve.memory.labels import Labelled, LabelledQuery, check_queries, merged
from varve.memory.protocol import Opening
from varve.memory.state.columns import DAY_NS
from varve.memory.state.config import MemorySettings
from varve.memory.state.records import (
    CreditReport,
    MemoryRecord,
    NewMemory,
    Recalled,
    SessionReport,
    text_key,
)
from varve.memory.state.validation import (
    check_count,
    check_instant,
    check_metadata,
    check_number,
    check_share,
    check_text,
    check_tiers,
    check_where,
    passes,
)
from varve.types import EventData, Json, MemoryEvent, Trace

_MAX_TEXT_CHARS = 100_000


class FlatSettings(MemorySettings):
    """Settings of the flat memory."""

    importance: Literal["constant"] = "constant"
    """A window weighs nothing."""
    items: int = Field(default=20, ge=1)
    """How many memories the window holds."""


class FlatWindow:
    """The last ``items`` memories that could be read, whatever is asked for.

    Nothing is weighed, credited, moved or purged, and nothing is written to disk. A memory stays in the
    tier it was filed into; the window goes over all tiers and tickers together. The score is
    1 ÷ (1 + calendar days since it could first be read).

    Args:
        items: how many memories the window holds, at least 1.
        name: names the memory within the run.
        trace: takes an event for every new memory and every recall.
    """

    Config: ClassVar[type[FlatSettings]] = FlatSettings

    def __init__(self, items: int = 20, *, name: str = "flat", trace: Trace | None = None) -> None:
        self.items, self.name = check_count(items), name
        self.trace = trace if trace is not None else Trace()
        self._records: dict[str, MemoryRecord] = {}
        self._by_key: dict[str, str] = {}
        self._readable_ns: dict[str, int] = {}

    @classmethod
    def open(cls, opening: Opening) -> FlatWindow:
        """Open an empty window for a run.

        Raises:
            UsageError: if it should begin with a snapshot, which holds layers that a window has not.
        """
        assert isinstance(opening.settings, FlatSettings)
        if opening.snapshot is not None:
            raise UsageError(
                "a flat memory cannot begin with a snapshot", mend="leave out --memory, or --memory-kind flat"
            )
        return cls(opening.settings.items, name=opening.name, trace=opening.trace)

    def __len__(self) -> int:
        return len(self._records)

    def get(self, memory_id: str) -> MemoryRecord:
        """Return a memory's record, in the window or not.

        Raises:
            UsageError: if no memory has that id.
        """
        if memory_id not in self._records:
            raise UsageError(
                f"unknown memory id {memory_id!r}", mend="use an id that add_many or recall gave"
            )
        return self._records[memory_id]

    def add_many(self, items: Sequence[NewMemory], *, now: datetime) -> list[str]:
        """Store texts, all or none; their ids in order. A text that is there already keeps its id.

        Raises:
            UsageError: for text, times or a tier that cannot be used.
        """
        check_instant("now", now)
        made = [_record(item, now) for item in items]
        ids = []
        for record in made:
            key, readable = text_key(record.text, record.ticker), check_instant("", record.available_at)
            known = self._by_key.setdefault(key, f"f{len(self._records) + 1:06d}")
            if known not in self._records:
                self._records[known] = replace(record, id=known)
                self._note("added", known, now, _told(record))
            self._readable_ns[known] = min(self._readable_ns.get(known, readable), readable)
            ids.append(known)
        return ids

    def recall(
        self,
        query: str,
        now: datetime,
        k: int,
        tiers: str | Iterable[str] | None = None,
        ticker: str | None = None,
        where: Mapping[str, Json] | None = None,
    ) -> dict[str, list[Recalled]]:
        """The newest ``k`` of each tier among the last ``items`` that were readable at ``now``.

        Raises:
            UsageError: for an empty query, a ``k`` below 1, an unknown tier, a ``now`` without zone, or
                a filter by anything but plain values.
        """
        check_text("the query", query, _MAX_TEXT_CHARS)
        now_ns, count, filters = check_instant("now", now), check_count(k), check_where(where)
        found: dict[str, list[Recalled]] = {tier: [] for tier in check_tiers(tiers)}
        readable = [one for one, since in self._readable_ns.items() if since <= now_ns]
        readable.sort(key=lambda one: (self._readable_ns[one], one), reverse=True)
        for one in readable[: self.items]:
            record = self._records[one]
            if record.tier not in found or len(found[record.tier]) == count:
                continue
            if (ticker is None or record.ticker in (ticker, None)) and passes(record.metadata, filters):
                score = 1.0 / (1.0 + (now_ns - self._readable_ns[one]) / DAY_NS)
                found[record.tier].append(Recalled(record, score, 0.0, score, 0.0, record.tier))
        hits = {tier: [[hit.record.id, round(hit.score, 6)] for hit in found[tier]] for tier in found}
        self._note("recalled", "", now, {"query": query[:200], "k": count, "ticker": ticker, "found": hits})
        return found

    def _note(self, kind: str, memory_id: str, at: datetime, data: EventData) -> None:
        event = MemoryEvent(kind, memory_id, to_utc(at), {"memory": self.name, **data})
        self.trace.memory_events.append(event)

    def recall_labelled(
        self,
        queries: Sequence[LabelledQuery],
        now: datetime,
        k: int,
        tiers: str | Iterable[str] | None = None,
        ticker: str | None = None,
    ) -> dict[str, list[Labelled]]:
        """:meth:`recall` once per label, merged.

        Raises:
            UsageError: as :meth:`recall`, and for no query or a label given twice.
        """
        return merged({
            label: self.recall(query, now, k, tiers, ticker, where)
            for label, query, where in check_queries(queries)
        })  # fmt: skip

    def credit(self, ids: Iterable[str], reward: float, at: datetime, *, share: float = 1.0) -> CreditReport:
        """Changes nothing; a window has no use for credit.

        Raises:
            UsageError: for an id that was never given out, a reward that is no finite number, or a share
                that is no share.
        """
        check_instant("at", at)
        check_number("reward", reward)
        check_share(share)
        for one in ids:
            self.get(one)
        return CreditReport((), ())

    def close_session(self, now: datetime) -> SessionReport:
        """Moves and removes nothing."""
        check_instant("now", now)
        return SessionReport((), (), ())

    def close(self) -> None:
        """Let go of nothing: a window lives in this process alone."""


def _told(record: MemoryRecord) -> EventData:
    """What the journal keeps of a new memory."""
    return {
        "tier": record.tier,
        "ticker": record.ticker,
        "kind": record.kind,
        "text": record.text,
        "event_time": iso(record.event_time),
        "available_at": iso(record.available_at),
        "metadata": dict(record.metadata),
        "links": list(record.links),
    }


def _record(item: NewMemory, now: datetime) -> MemoryRecord:
    """The record of an item, without an id yet."""
    return MemoryRecord(
        id="",
        ticker=item.ticker,
        scope=item.scope or ("market" if item.ticker is None else "instrument"),
        tier=check_tiers(item.tier)[0],
        text=check_text("the text of a memory", item.text, _MAX_TEXT_CHARS),
        kind=item.kind,
        event_time=from_ns(check_instant("event_time", item.event_time)),
        available_at=from_ns(check_instant("available_at", item.available_at)),
        created_at=to_utc(now),
        metadata=check_metadata(item.metadata),
        links=item.links,
    )
