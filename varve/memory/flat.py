"""The trivial memory that a layered one has to beat: the last items, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from varve.clock import from_ns, to_utc
from varve.errors import UsageError
from varve.memory.labels import Labelled, LabelledQuery, check_queries, merged
from varve.memory.state.columns import DAY_NS
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
    check_text,
    check_tiers,
    check_where,
    passes,
)

_MAX_TEXT_CHARS = 100_000


class FlatWindow:
    """The last ``items`` memories that could be read, whatever is asked for.

    Nothing is weighed, credited, moved or purged, and nothing is written to disk. A memory stays in the
    tier it was filed into; the window goes over all tiers and tickers together. The score is
    1 ÷ (1 + calendar days since it could first be read).

    Args:
        items: how many memories the window holds, at least 1.
    """

    def __init__(self, items: int = 20) -> None:
        self.items = check_count(items)
        self._records: dict[str, MemoryRecord] = {}
        self._by_key: dict[str, str] = {}
        self._readable_ns: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._records)

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
            self._records.setdefault(known, replace(record, id=known))
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
        where: Mapping[str, Any] | None = None,
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
        return found

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

    def credit(self, ids: Iterable[str], reward: float, at: datetime) -> CreditReport:
        """Changes nothing; a window has no use for credit.

        Raises:
            UsageError: for an id that was never given out, or a reward that is no finite number.
        """
        check_instant("at", at)
        check_number("reward", reward)
        for one in ids:
            if one not in self._records:
                raise UsageError(f"unknown memory id {one!r}", mend="use an id that add_many or recall gave")
        return CreditReport((), ())

    def close_session(self, now: datetime) -> SessionReport:
        """Moves and removes nothing."""
        check_instant("now", now)
        return SessionReport((), (), ())


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
