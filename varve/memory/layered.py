"""Layered memory: four tiers, each with its own clock, recalled by similarity, recency and importance.

After FinMem (arXiv 2311.13743, section 3.2), with the released code's defects mended; see
``docs/memory.md``. Every change is an event in the run's trace, from which
:func:`varve.memory.rebuild.replay` builds an equal memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from varve.clock import from_ns, iso, to_ns
from varve.errors import UnknownNameError, UsageError
from varve.memory.config import TIERS, MemoryConfig
from varve.memory.embedders import Embedder, Vectors
from varve.memory.records import MemoryRecord, Recalled, record_json, text_key
from varve.memory.store import MemoryStore, StoredRow
from varve.memory.tier import Row, Tier
from varve.types import MemoryEvent, Trace

MAX_TEXT_CHARS = 100_000
_UP = {"short": "mid", "mid": "long"}
_DOWN = {"long": "mid", "mid": "short"}


class LayeredMemory:
    """Memories of one agent in one run.

    Args:
        config: constants; see :class:`~varve.memory.config.MemoryConfig`.
        embedder: makes vectors of texts and queries.
        seed: of drawn importances, which hang on seed and text alone, not on the order of storing.
        trace: takes an event for every change and every recall.
        folder: where chromadb keeps the memories; None keeps them in this process only.
        run_id, name: name the collections.
        scope: parts memories that must not meet; part of a text's identity.
    """

    def __init__(
        self,
        config: MemoryConfig,
        embedder: Embedder,
        *,
        seed: int = 0,
        trace: Trace | None = None,
        folder: Path | None = None,
        run_id: str = "memory",
        name: str = "finmem",
        scope: str = "",
    ) -> None:
        self.config, self.embedder, self.scope = config, embedder, scope
        self._seed = seed
        self._trace = trace if trace is not None else Trace()
        self._tiers: dict[str, Tier] = {
            name: Tier(name, tier, embedder.dimension) for name, tier in config.tiers.items()
        }
        self._records: dict[int, MemoryRecord] = {}
        self._by_text: dict[str, int] = {}
        self._tickers: dict[str, int] = {}
        self._touched: dict[int, None] = {}
        self._purged: set[int] = set()
        self._next = 1
        self._store = (
            None if folder is None else MemoryStore(folder, run_id=run_id, memory=name, embedder=embedder)
        )
        self._dirty: dict[int, None] = {}
        self._removed: dict[str, dict[str, None]] = {tier: {} for tier in TIERS}
        self._sessions_since_flush = 0

    def __len__(self) -> int:
        return sum(len(tier) for tier in self._tiers.values())

    def sizes(self) -> dict[str, int]:
        """Memories per tier."""
        return {name: len(tier) for name, tier in self._tiers.items()}

    def add(
        self,
        text: str,
        *,
        tier: str,
        ticker: str | None,
        event_time: datetime,
        available_at: datetime,
        now: datetime,
        kind: str,
        importance: float | None = None,
        links: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Store a memory; returns its id, that of the known one where the same text is stored already.

        A known text is renewed: its recency starts again at the new availability, and it stays
        recallable from its earliest availability on. ``importance`` is used where the setting is
        ``judged``.

        Raises:
            UsageError: if the text is empty, too long or no text, or an instant has no time zone.
            UnknownNameError: if there is no such tier.
        """
        _check_text(text)
        self._tier(tier)
        key = text_key(text, ticker, self.scope)
        available_ns, now_ns = _ns("available_at", available_at), _ns("now", now)
        _ns("event_time", event_time)
        known = self._by_text.get(key)
        if known is not None:
            self._merge(known, available_ns, now_ns, kind)
            return _id(known)
        number = self._next
        self._next += 1
        record = MemoryRecord(
            id=_id(number),
            text=text,
            kind=kind,
            tier=tier,
            ticker=ticker,
            scope=self.scope,
            event_time=event_time,
            available_at=available_at,
            created_at=now,
            importance=self._first_importance(tier, key, importance),
            links=tuple(links),
            metadata=dict(metadata or {}),
        )
        self._insert(number, record, key, self.embedder.embed([text])[0])
        self._note("added", number, now_ns, record_json(record))
        return record.id

    def recall(
        self,
        query: str,
        now: datetime,
        k: int,
        tiers: Iterable[str] | None = None,
        *,
        ticker: str | None = None,
    ) -> dict[str, list[Recalled]]:
        """The ``k`` best memories of each tier among those available at ``now``, best first.

        ``ticker`` leaves out memories of other tickers. Scores are not comparable across tiers.

        Raises:
            UsageError: if ``k`` is below 1, the query is empty, or ``now`` has no time zone.
            UnknownNameError: if there is no such tier.
        """
        _check_text(query)
        if k < 1:
            raise UsageError(
                f"k is {k}; a recall returns at least 1 memory a tier", mend="give k of 1 or more"
            )
        names = TIERS if tiers is None else tuple(tiers)
        now_ns = _ns("now", now)
        vector = self.embedder.embed([query])[0]
        _check_vector(vector, self.embedder.dimension)
        wanted = -1 if ticker is None else self._tickers.get(ticker, len(self._tickers))
        hits: dict[str, list[Recalled]] = {}
        for name in names:
            tier = self._tier(name)
            hits[name] = [
                Recalled(
                    self._records[tier.number_at(hit.position)],
                    hit.score,
                    hit.similarity,
                    hit.recency,
                    hit.importance,
                )
                for hit in tier.top(vector, now_ns, k, wanted, self.config)
            ]
        found = {name: [[hit.record.id, round(hit.score, 4)] for hit in hits[name]] for name in hits}
        self._trace.memory_events.append(
            MemoryEvent("recalled", "*", from_ns(now_ns), {"query": query, "k": k, "hits": found})
        )
        return hits

    def credit(self, ids: Sequence[str], reward: float, at: datetime) -> None:
        """Add (reward above 0) or take (below) credit points from each memory; 0 changes nothing.

        A memory that was purged meanwhile is noted as ``credit_missed``.

        Raises:
            UsageError: if an id was never given out.
        """
        at_ns = _ns("at", at)
        sign = (reward > 0) - (reward < 0)
        numbers = [self._number(identity) for identity in dict.fromkeys(ids)]
        for number in numbers if sign else ():
            if number in self._purged:
                self._note("credit_missed", number, at_ns, {"sign": sign})
                continue
            tier = self._home(number)
            row = tier.row(number)
            importance = tier.importance_at(row, at_ns) + sign * self.config.credit_points
            importance = min(100.0, max(0.0, importance))
            self._put(tier, row._replace(importance=importance, anchor_ns=at_ns, credits=row.credits + sign))
            self._touched[number] = None
            self._note("credited", number, at_ns, {"sign": sign, "importance": importance})

    def close_session(self, now: datetime) -> None:
        """End a session: move what its credits move, purge what is too old, write when it is time.

        Only credited and purged memories are touched; decay needs no visit.
        """
        now_ns = _ns("now", now)
        for number in sorted(self._touched):
            if number not in self._purged:
                self._move(number, now_ns)
        self._touched.clear()
        for tier in self._tiers.values():
            for number, reason in tier.expired(now_ns, self.config):
                self._purge(tier, number, now_ns, reason)
        self._sessions_since_flush += 1
        if self._sessions_since_flush >= self.config.flush_every_sessions:
            self.flush()

    def get(self, identity: str) -> MemoryRecord:
        """The record of an id, purged ones too.

        Raises:
            UsageError: if the id was never given out.
        """
        return self._records[self._number(identity)]

    def tier_of(self, identity: str) -> str | None:
        """The tier a memory is in now; None once purged."""
        number = self._number(identity)
        return None if number in self._purged else self._home(number).name

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every scalar of every live memory, by tier and id: equal states mean equal memories."""
        return {
            name: [tuple(tier.row(number)) for number in tier.numbers()] for name, tier in self._tiers.items()
        }

    def flush(self) -> None:
        """Write every change since the last flush to the store in one batch; nothing without a folder.

        Raises:
            StorageError: if it cannot be written; the changes are kept and written next time.
        """
        self._sessions_since_flush = 0
        if self._store is None or not (self._dirty or any(self._removed.values())):
            return
        rows = [self._stored(number) for number in sorted(self._dirty)]
        self._store.write(rows, {tier: list(ids) for tier, ids in self._removed.items()})
        self._dirty.clear()
        self._removed = {tier: {} for tier in TIERS}

    def _tier(self, name: str) -> Tier:
        if name not in self._tiers:
            raise UnknownNameError("memory tier", name, TIERS)
        return self._tiers[name]

    def _number(self, identity: str) -> int:
        number = int(identity[1:]) if identity[:1] == "m" and identity[1:].isdecimal() else 0
        if number not in self._records:
            raise UsageError(f"there is no memory {identity!r}", mend="use an id that add() or recall() gave")
        return number

    def _home(self, number: int) -> Tier:
        return next(tier for tier in self._tiers.values() if number in tier)

    def _first_importance(self, tier: str, key: str, judged: float | None) -> float:
        if self.config.importance == "constant":
            return self.config.constant_importance
        if self.config.importance == "judged" and judged is not None:
            return min(100.0, max(0.0, judged))
        # Drawn by a hash of seed and text, so that neither order nor batching changes a draw.
        digest = hashlib.sha256(f"{self._seed}\x00{tier}\x00{key}".encode()).digest()
        point = int.from_bytes(digest[:8], "big") / 2**64
        total = 0.0
        table = self._tiers[tier].config.drawn
        for value, probability in table:
            total += probability
            if point < total:
                return value
        return table[-1][0]

    def _insert(self, number: int, record: MemoryRecord, key: str, vector: Vectors) -> None:
        _check_vector(vector, self.embedder.dimension)
        self._records[number] = record
        self._by_text[key] = number
        available_ns = to_ns(record.available_at)
        ticker = -1 if record.ticker is None else self._tickers.setdefault(record.ticker, len(self._tickers))
        row = Row(number, ticker, available_ns, available_ns, available_ns, record.importance, 0)
        self._tiers[record.tier].put(row, vector)
        self._dirty[number] = None

    def _merge(self, number: int, available_ns: int, now_ns: int, kind: str) -> None:
        tier = self._home(number)
        row = tier.row(number)
        row = row._replace(
            available_ns=min(row.available_ns, available_ns), base_ns=max(row.base_ns, available_ns)
        )
        self._put(tier, row)
        data = {"kind": kind, "available_at": iso(from_ns(available_ns))}
        self._note("merged", number, now_ns, data)

    def _put(self, tier: Tier, row: Row) -> None:
        tier.put(row, tier.vector(row.number))
        self._dirty[row.number] = None

    def _move(self, number: int, now_ns: int) -> None:
        """Up with enough importance and credits, down with too few; either renews recency and credits."""
        tier, config = self._home(number), self.config
        row = tier.row(number)
        importance = tier.importance_at(row, now_ns)
        up, down = _UP.get(tier.name), _DOWN.get(tier.name)
        promote_at, demote_below = tier.config.promote_at, tier.config.demote_below
        if (
            up
            and promote_at is not None
            and importance >= promote_at
            and row.credits >= config.promote_credits
        ):
            self._rehome("promoted", tier, up, row, importance, now_ns)
        elif (
            down
            and row.credits <= config.demote_credits
            and (demote_below is None or importance < demote_below)
        ):
            self._rehome("demoted", tier, down, row, importance, now_ns)

    def _rehome(self, event: str, old: Tier, new: str, row: Row, importance: float, now_ns: int) -> None:
        vector = old.vector(row.number).copy()
        old.remove(row.number)
        moved = row._replace(base_ns=now_ns, anchor_ns=now_ns, importance=importance, credits=0)
        self._tiers[new].put(moved, vector)
        self._dirty[row.number] = None
        self._removed[old.name][_id(row.number)] = None
        self._removed[new].pop(_id(row.number), None)
        self._note(event, row.number, now_ns, {"from": old.name, "to": new, "importance": importance})

    def _purge(self, tier: Tier, number: int, now_ns: int, reason: str) -> None:
        record = self._records[number]
        tier.remove(number)
        self._purged.add(number)
        del self._by_text[text_key(record.text, record.ticker, record.scope)]
        self._dirty.pop(number, None)
        self._removed[tier.name][record.id] = None
        self._note("purged", number, now_ns, {"from": tier.name, "reason": reason})

    def _note(self, kind: str, number: int, at_ns: int, data: Mapping[str, Any]) -> None:
        self._trace.memory_events.append(MemoryEvent(kind, _id(number), from_ns(at_ns), data))

    def _stored(self, number: int) -> StoredRow:
        tier = self._home(number)
        state = {**record_json(self._records[number]), "row": list(tier.row(number))}
        return StoredRow(_id(number), tier.name, self._records[number].text, tier.vector(number), state)


def _id(number: int) -> str:
    return f"m{number:06d}"


def _ns(name: str, instant: datetime) -> int:
    try:
        return to_ns(instant)
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{name} is {instant!r}; expected an instant with a time zone") from error


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise UsageError(f"a memory is text; got {type(text).__name__}")
    if not text.strip() or len(text) > MAX_TEXT_CHARS:
        raise UsageError(f"a text of {len(text)} characters cannot be used; expected 1 to {MAX_TEXT_CHARS}")


def _check_vector(vector: Vectors, dimension: int) -> None:
    if vector.shape != (dimension,) or not bool(np.isfinite(vector).all()):
        broken = int((~np.isfinite(vector)).sum())
        raise UsageError(
            f"the embedder gave a vector of shape {vector.shape} with {broken} values that are no numbers; "
            f"expected {dimension} finite ones",
            mend="check the embedder",
        )
