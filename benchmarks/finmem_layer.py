"""A model of the memory layer that FinMem's released code has, to measure against.

Written for this benchmark after what that code does (Yu et al. 2023, arXiv 2311.13743; its ``puppy``
package, 2024): for each tier a flat inner-product index and a list sorted by recency + importance; a
recall that unites the nearest by cosine with the lowest of that list and looks each up by going through
the list; a session that decays every item in a Python loop, each field reached by the item's place in the
sorted list, purges, and twice moves between tiers by sorting each tier anew; a credit that goes through
the tiers' lists; a log line for each memory that is stored, credited, moved or, at the end of a session,
there. The embedding is left out: vectors are given. Without a ``log`` no lines are written, so that
the rest can be seen alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sortedcontainers import SortedKeyList

Vectors = NDArray[np.float32]
Item = dict[str, Any]
Moved = list[tuple[Item, Vectors]]

_TIERS = {  # τ in sessions, importance factor, rises from, sinks below
    "short": (3.0, 0.92, 60.0, -np.inf),
    "mid": (90.0, 0.967, 80.0, 60.0),
    "long": (365.0, 0.988, np.inf, 80.0),
    "reflection": (365.0, 0.988, np.inf, -np.inf),
}
_DRAWN = {  # importance of a new memory, and with which chance
    "short": ((50.0, 70.0, 90.0), (0.5, 0.45, 0.05)),
    "mid": ((40.0, 60.0, 80.0), (0.05, 0.8, 0.15)),
    "long": ((40.0, 60.0, 80.0), (0.05, 0.15, 0.8)),
    "reflection": ((40.0, 60.0, 80.0), (0.05, 0.15, 0.8)),
}
_LEAST_RECENCY, _LEAST_IMPORTANCE, _CREDIT_POINTS = 0.05, 5.0, 5.0


class FlatIndex:
    """Vectors by id, searched one by one: what faiss's ``IndexIDMap2(IndexFlatIP)`` does."""

    def __init__(self, dimension: int) -> None:
        self.rows: Vectors = np.empty((64, dimension), np.float32)
        self.ids = np.empty(64, np.int64)
        self.place: dict[int, int] = {}
        self.count = 0

    def add(self, vectors: Vectors, ids: Sequence[int]) -> None:
        """Behind what is there."""
        until = self.count + len(ids)
        if until > len(self.rows):
            size = max(until, 2 * len(self.rows))
            self.rows = np.resize(self.rows, (size, self.rows.shape[1]))
            self.ids = np.resize(self.ids, size)
        self.rows[self.count : until], self.ids[self.count : until] = vectors, ids
        self.place.update(zip(ids, range(self.count, until), strict=True))
        self.count = until

    def vector(self, memory_id: int) -> Vectors:
        """Of one id."""
        row: Vectors = self.rows[self.place[memory_id]]
        return row

    def search(self, query: Vectors, k: int) -> tuple[list[float], list[int]]:
        """The ``k`` greatest inner products, best first, and their ids."""
        products = self.rows[: self.count] @ query
        best = np.argpartition(products, -k)[-k:] if k < self.count else np.arange(self.count)
        best = best[np.argsort(-products[best])]
        return products[best].tolist(), self.ids[best].tolist()

    def remove(self, ids: Sequence[int]) -> None:
        """Those ids; the rest moves up."""
        if not ids:
            return
        kept = np.isin(self.ids[: self.count], ids, invert=True)
        left = int(kept.sum())
        self.rows[:left], self.ids[:left] = self.rows[: self.count][kept], self.ids[: self.count][kept]
        self.count = left
        self.place = dict(zip(self.ids[:left].tolist(), range(left), strict=True))


class FinMemTier:
    """One tier."""

    def __init__(self, name: str, dimension: int, log: logging.Logger | None) -> None:
        self.log = log
        self.tau, self.factor, self.rises, self.sinks = _TIERS[name]
        self.drawn, self.draw = _DRAWN[name], np.random.RandomState(0)
        self.items = _sorted(())
        self.index = FlatIndex(dimension)

    def add(self, texts: Sequence[str], vectors: Vectors, ids: Sequence[int]) -> None:
        """New memories, importance drawn."""
        self.index.add(vectors, ids)
        for memory_id, text in zip(ids, texts, strict=True):
            importance = self.draw.choice(self.drawn[0], p=self.drawn[1])
            item = {"id": memory_id, "text": text, "importance": importance, "recency": 1.0}
            item |= {"delta": 0, "counter": 0, "partial": _partial(1.0, importance)}
            self.items.add(item)
            if self.log is not None:
                self.log.info(dict(item))

    def recall(self, query: Vectors, k: int) -> list[int]:
        """Up to ``k`` ids, best first."""
        k = min(k, len(self.items))
        if not k:
            return []
        first = [self.items[i]["id"] for i in range(k)]
        few = FlatIndex(len(query))
        few.add(np.vstack([self.index.vector(memory_id) for memory_id in first]), first)
        scored = []
        for index in (self.index, few):
            for product, memory_id in zip(*index.search(query, k), strict=True):
                found = next(item for item in self.items if item["id"] == memory_id)
                scored.append((product + found["partial"], found["id"]))
        scored.sort(reverse=True)
        return list(dict.fromkeys(memory_id for _, memory_id in scored[:k]))

    def credit(self, ids: Sequence[int], amount: int) -> list[int]:
        """Points by the running count of credits; the ids that were found here."""
        reached = []
        for memory_id in ids:
            for item in self.items:
                if item["id"] == memory_id:
                    item["counter"] += amount
                    item["importance"] += item["counter"] * _CREDIT_POINTS
                    item["partial"] = _partial(item["recency"], item["importance"])
                    reached.append(memory_id)
                    if self.log is not None:
                        self.log.info("feedback")
                        self.log.info(item)
                    break
        return reached

    def decay_and_purge(self) -> list[int]:
        """One session older; the ids of what is gone."""
        items, places = self.items, range(len(self.items))
        for i in places:
            recency, importance, delta = self._decayed(items[i]["importance"], items[i]["delta"])
            items[i]["recency"], items[i]["importance"], items[i]["delta"] = recency, importance, delta
            items[i]["partial"] = _partial(items[i]["recency"], items[i]["importance"])
        gone = [
            items[i]["id"]
            for i in places
            if items[i]["recency"] < _LEAST_RECENCY or items[i]["importance"] < _LEAST_IMPORTANCE
        ]
        if gone:
            self._drop(gone)
        return gone

    def _decayed(self, importance: float, delta: int) -> tuple[float, float, int]:
        delta += 1
        return np.exp(-(delta / self.tau)), importance * self.factor, delta

    def leavers(self) -> tuple[Moved, Moved, list[int]]:
        """What rises, what sinks, and the ids of both; they are taken out."""
        up, down = Moved(), Moved()
        items = self.items
        for i in range(len(items)):
            if items[i]["importance"] >= self.rises:
                up.append((items[i], self.index.vector(items[i]["id"]).copy()))
            if items[i]["importance"] < self.sinks:
                down.append((items[i], self.index.vector(items[i]["id"]).copy()))
        ids = [item["id"] for item, _ in up + down]
        self._drop(ids)
        return up, down, ids

    def take(self, moved: Moved, *, rising: bool) -> None:
        """What comes from another tier."""
        if not moved:
            return
        for item, _ in moved:
            if rising:
                item["recency"], item["delta"] = 1.0, 0
        self.items.update([item for item, _ in moved])
        self.index.add(np.vstack([vector for _, vector in moved]), [item["id"] for item, _ in moved])

    def _drop(self, ids: list[int]) -> None:
        self.index.remove(ids)
        self.items = _sorted(item for item in self.items if item["id"] not in ids)


class FinMemLayer:
    """Four tiers and what goes on between them."""

    def __init__(self, dimension: int, log: logging.Logger | None = None) -> None:
        self.tiers = {name: FinMemTier(name, dimension, log) for name in _TIERS}
        self.log = log
        self.next_id = 0
        self.removed: list[int] = []

    def add(self, tier: str, texts: Sequence[str], vectors: Vectors) -> None:
        """New memories in one batch."""
        ids = list(range(self.next_id, self.next_id + len(texts)))
        self.next_id += len(texts)
        self.tiers[tier].add(texts, vectors, ids)

    def recall(self, query: Vectors, k: int) -> list[int]:
        """Up to ``k`` ids of each tier."""
        return [memory_id for tier in self.tiers.values() for memory_id in tier.recall(query, k)]

    def credit(self, ids: Sequence[int], amount: int) -> None:
        """To each, in the first tier that has it."""
        left = [memory_id for memory_id in ids if memory_id not in self.removed]
        for tier in self.tiers.values():
            reached = tier.credit(left, amount)
            left = [memory_id for memory_id in left if memory_id not in reached]

    def close_session(self) -> None:
        """Decay and purge, then move between tiers, twice."""
        for tier in self.tiers.values():
            self.removed.extend(tier.decay_and_purge())
            if self.log is not None and tier is not self.tiers["reflection"]:
                for i in range(len(tier.items)):
                    self.log.info(f"memory: {tier.items[i]}")
        short, mid, long = (self.tiers[name] for name in ("short", "mid", "long"))
        for _ in range(2):
            for tier, above, below in ((short, mid, None), (mid, long, short), (long, None, mid)):
                up, down, ids = tier.leavers()
                self.removed.extend(ids)
                if self.log is not None:
                    for way, moved in (("up", up), ("down", down)):
                        self.log.info(f"{way}: {[item for item, _ in moved]}")
                if above is not None:
                    above.take(up, rising=True)
                if below is not None:
                    below.take(down, rising=False)


def _partial(recency: float, importance: float) -> float:
    return recency + min(importance, 100.0) / 100.0


def _sorted(items: Any) -> Any:
    ordered = SortedKeyList(key=lambda item: item["partial"])
    for item in items:  # one by one, as there
        ordered.add(item)
    return ordered
