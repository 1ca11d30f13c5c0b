"""Asking a memory: exact recall, and what has become of each memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import numpy as np

from varve.clock import to_utc
from varve.errors import UsageError
from varve.memory.embed.base import Embedder, Vectors, checked_vectors
from varve.memory.labels import Labelled, LabelledQuery, check_queries, merged
from varve.memory.state.columns import Vector, Weights
from varve.memory.state.config import MemoryConfig
from varve.memory.state.records import MemoryRecord, Recalled
from varve.memory.state.tiers import State, number_of
from varve.memory.state.validation import (
    Where,
    check_count,
    check_instant,
    check_text,
    check_tiers,
    check_where,
    passes,
)
from varve.types import Json, MemoryEvent, Trace

_QUERY_CHARS_KEPT = 500

_Asked = tuple[str, str | Vector, Mapping[str, Json] | None]
"""Label (empty for none), query and metadata filter."""


class MemoryReader:
    """The side of a memory that changes nothing; see :class:`varve.memory.layered.LayeredMemory`."""

    seed: int = 0

    def __init__(self, config: MemoryConfig, embedder: Embedder, trace: Trace, name: str) -> None:
        self.config, self.embedder, self.trace, self.name = config, embedder, trace, name
        self._state = State(config, embedder.dimension)
        self._weights = Weights(
            config.similarity_weight, config.recency_weight, config.importance_weight, config.score_tie
        )

    def __len__(self) -> int:
        return len(self._state.entries)

    def recall(
        self,
        query: str | Vector,
        now: datetime,
        k: int,
        tiers: str | Iterable[str] | None = None,
        ticker: str | None = None,
        where: Mapping[str, Json] | None = None,
    ) -> dict[str, list[Recalled]]:
        """The true top ``k`` of each tier among what was readable at ``now``, best first.

        Scores of different tiers are not to be compared. Fewer than ``k`` come back only where fewer
        exist. Scores equal within ``config.score_tie`` are ties: the newest first, then the lower id.

        Args:
            query: a text, or its vector.
            now: UTC; a memory is found iff it was readable then.
            k: how many per tier, at least 1.
            tiers: which; all when None.
            ticker: memories about it and about no ticker in particular; about anything when None.
            where: metadata that a memory's record must have, key by key, compared before the cut; true is
                not 1, and a key that a record lacks is no match, not even for None.

        Raises:
            UsageError: for an empty query, a ``k`` below 1, an unknown tier, a ``now`` without zone, or
                a filter by anything but plain values.
        """
        return self._recalled([("", query, where)], now, k, tiers, ticker)[""]

    def recall_labelled(
        self,
        queries: Sequence[LabelledQuery],
        now: datetime,
        k: int,
        tiers: str | Iterable[str] | None = None,
        ticker: str | None = None,
    ) -> dict[str, list[Labelled]]:
        """:meth:`recall` once per label, merged: each memory once, with every label that found it.

        ``k`` is per label and tier; the order is that of :func:`varve.memory.labels.merged`. Texts are
        embedded in one batch. The journal gets a ``recalled`` event per label.

        Raises:
            UsageError: as :meth:`recall`, and for no query or a label given twice.
        """
        return merged(self._recalled(check_queries(queries), now, k, tiers, ticker))

    def _recalled(
        self,
        queries: Sequence[_Asked],
        now: datetime,
        k: int,
        tiers: str | Iterable[str] | None,
        ticker: str | None,
    ) -> dict[str, dict[str, list[Recalled]]]:
        now_ns, count, wanted = check_instant("now", now), check_count(k), check_tiers(tiers)
        filters = [check_where(where) for _, _, where in queries]
        vectors = self._query_vectors([query for _, query, _ in queries])
        found = {}
        for asked, where, vector in zip(queries, filters, vectors, strict=True):
            hits = {tier: self._found(vector, now_ns, count, tier, ticker, where) for tier in wanted}
            found[asked[0]] = hits
            self._note_recall(asked, now, count, ticker, hits)
        return found

    def overview(self, now: datetime, tiers: str | Iterable[str] | None = None) -> dict[str, list[Recalled]]:
        """All that was readable at ``now``, by recency and importance alone; similarity is 0.

        For people who look at a memory: it is no recall and leaves no event.

        Raises:
            UsageError: for an unknown tier, or a ``now`` without zone.
        """
        now_ns, none = check_instant("now", now), np.zeros(self.embedder.dimension, np.float32)
        return {tier: self._ranked(none, now_ns, len(self) + 1, tier) for tier in check_tiers(tiers)}

    def _found(
        self, vector: Vector, now_ns: int, count: int, tier: str, ticker: str | None, where: Where
    ) -> list[Recalled]:
        """What recall finds in a tier; the ablations of ``recalled_tiers`` and ``recall`` are here."""
        if tier not in self.config.recalled_tiers:
            return []
        if self.config.recall == "scored":
            return self._ranked(vector, now_ns, count, tier, ticker, where)
        everything = self._ranked(vector, now_ns, len(self) + 1, tier, ticker, where)
        return sorted(everything, key=lambda hit: self._lot(hit.record.id, now_ns))[:count]

    def _lot(self, memory_id: str, now_ns: int) -> bytes:
        # By hash: what is drawn at an instant hangs on no earlier draw, nor on how many there were.
        return hashlib.blake2b(f"{self.seed}\n{now_ns}\n{memory_id}".encode(), digest_size=8).digest()

    def _ranked(
        self,
        vector: Vector,
        now_ns: int,
        count: int,
        tier: str,
        ticker: str | None = None,
        where: Where = (),
    ) -> list[Recalled]:
        settings, columns, entries = self.config.tier(tier), self._state.tiers[tier], self._state.entries
        ranked = columns.top(
            vector,
            now_ns,
            count,
            tau_days=settings.tau_days,
            log_factor=settings.log_factor_per_day,
            weights=self._weights,
            ticker=None if ticker is None else self._state.known_ticker(ticker),
            keep=(lambda memory_id: passes(entries[memory_id].record.metadata, where)) if where else None,
        )
        # score and its parts stand in a Recalled in the order of a Ranked
        return [Recalled(entries[columns.ids[hit.row]].record, *hit[1:], tier) for hit in ranked]

    def _query_vectors(self, queries: Sequence[str | Vector]) -> Vectors:
        """Shape (len(queries), dimension); the texts among them are embedded together."""
        dimension = self.embedder.dimension
        texts = [query for query in queries if not isinstance(query, np.ndarray)]
        for text in texts:
            check_text("the query", text, self.config.max_text_chars)
        embedded = self.embedder.embed(texts) if texts else np.zeros((0, dimension), np.float32)
        made = iter(checked_vectors(embedded, len(texts), dimension, "the embedder"))
        return np.array([
            checked_vectors(query[None], 1, dimension, "the query")[0]
            if isinstance(query, np.ndarray)
            else next(made)
            for query in queries
        ])  # fmt: skip

    def _note_recall(
        self,
        asked: _Asked,
        now: datetime,
        k: int,
        ticker: str | None,
        found: Mapping[str, list[Recalled]],
    ) -> None:
        label, query, where = asked
        shown = query[:_QUERY_CHARS_KEPT] if isinstance(query, str) else None
        hits = {
            tier: [[hit.record.id, *(round(part, 6) for part in hit[1:5])] for hit in hits]
            for tier, hits in found.items()
        }
        data: dict[str, object] = {
            "memory": self.name,
            "query": shown,
            "k": k,
            "ticker": ticker,
            "found": hits,
        }
        if label:
            data["label"] = label
        if where:
            data["where"] = dict(where)
        self.trace.memory_events.append(MemoryEvent("recalled", "", to_utc(now), data))

    def get(self, memory_id: str) -> MemoryRecord:
        """The record of a live memory.

        Raises:
            UsageError: if the id was never given out, or its memory was purged.
        """
        if not self._live_or_purged(memory_id):
            raise UsageError(
                f"memory {memory_id} was purged", mend="look for its 'purged' event, which tells when and why"
            )
        return self._state.entries[memory_id].record

    def tier_of(self, memory_id: str) -> str:
        """Where a live memory lives now.

        Raises:
            UsageError: as :meth:`get`.
        """
        self.get(memory_id)
        return self._state.entries[memory_id].tier

    def importance_of(self, memory_id: str, now: datetime) -> float:
        """Importance of a live memory at ``now``, in points.

        Raises:
            UsageError: as :meth:`get`.
        """
        self.get(memory_id)
        return self._state.importance(self._state.entries[memory_id], check_instant("now", now))

    def links_of(self, memory_id: str) -> tuple[str, ...]:
        """What a live memory follows from, links of merged copies among them.

        Raises:
            UsageError: as :meth:`get`.
        """
        self.get(memory_id)
        return self._state.entries[memory_id].links

    def ids(self, tier: str | None = None) -> list[str]:
        """Ids of live memories, in the order in which they were stored."""
        wanted = check_tiers(tier)
        entries = self._state.entries
        return sorted((i for i in entries if entries[i].tier in wanted), key=lambda i: number_of(i) or 0)

    def sizes(self) -> dict[str, int]:
        """Live memories per tier."""
        return {tier: columns.count for tier, columns in self._state.tiers.items()}

    @property
    def sessions(self) -> int:
        """Sessions closed."""
        return self._state.sessions

    @property
    def missed_credits(self) -> int:
        """Credits that came after their memory had been purged."""
        return self._state.missed_credits

    def digest(self) -> str:
        """SHA-256 (hex) of the whole state; equal for memories that answer alike from here on."""
        return self._state.digest()

    def _live_or_purged(self, memory_id: str) -> bool:
        """Whether a memory that was once given out is live.

        Raises:
            UsageError: if the id was never given out.
        """
        if memory_id in self._state.entries:
            return True
        number = number_of(memory_id) if isinstance(memory_id, str) else None
        if number is None or not 1 <= number < self._state.next_number:
            raise UsageError(
                f"unknown memory id {memory_id!r}; {self._state.next_number - 1} ids were given out so far",
                mend="use an id that add or recall gave",
            )
        return False
