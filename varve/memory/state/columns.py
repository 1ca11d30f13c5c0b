"""One tier as columns: vectors and what ranking and purging need, in numpy arrays that grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

DAY_NS = 86_400 * 10**9
_START = 64


class Ranked(NamedTuple):
    """A row of a tier with the parts of its score."""

    row: int
    score: float
    similarity: float
    recency: float
    importance: float


class Weights(NamedTuple):
    """Of the three parts of a score, and the step in which scores are compared."""

    similarity: float
    recency: float
    importance: float
    tie: float


class Columns:
    """Rows of one tier in no order that means anything; a removed row's place is taken by the last.

    ``vectors`` has shape (capacity, dimension), float32, L2-normalised; times are int64 nanoseconds
    since 1970-01-01 UTC: readable from ``available``, aged from ``since``, importance ``base`` as of
    ``base_at``, to be purged after ``expires``. ``number`` is the id's number, ``ticker`` a code (−1
    for none).
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.ids: list[str] = []
        self.vectors: Vector = np.zeros((_START, dimension), np.float32)
        self.available = np.zeros(_START, np.int64)
        self.since = np.zeros(_START, np.int64)
        self.base = np.zeros(_START, np.float64)
        self.base_at = np.zeros(_START, np.int64)
        self.expires = np.zeros(_START, np.int64)
        self.number = np.zeros(_START, np.int64)
        self.ticker = np.zeros(_START, np.int32)

    _NAMES = ("vectors", "available", "since", "base", "base_at", "expires", "number", "ticker")

    def append(self, memory_id: str, number: int, ticker: int, vector: Vector) -> int:
        """A new row with zero times; the caller sets them."""
        if self.count == len(self.available):
            for name in self._NAMES:
                old = getattr(self, name)
                grown = np.zeros((2 * len(old), *old.shape[1:]), old.dtype)
                grown[: len(old)] = old
                setattr(self, name, grown)
        row = self.count
        self.count += 1
        self.ids.append(memory_id)
        self.vectors[row] = vector
        self.number[row] = number
        self.ticker[row] = ticker
        return row

    def remove(self, row: int) -> str | None:
        """Drop a row; the id of the memory that now has its place, None if none moved."""
        last = self.count - 1
        self.count = last
        moved = self.ids.pop()
        if row == last:
            return None
        for name in self._NAMES:
            column = getattr(self, name)
            column[row] = column[last]
        self.ids[row] = moved
        return moved

    def expired(self, now_ns: int) -> list[str]:
        """Ids to be purged at ``now_ns``, in the order in which they were stored."""
        rows = np.flatnonzero(self.expires[: self.count] < now_ns)
        return [self.ids[row] for row in rows[np.argsort(self.number[rows])]]

    def top(
        self,
        query: Vector,
        now_ns: int,
        k: int,
        *,
        tau_days: float,
        log_factor: float,
        weights: Weights,
        ticker: int | None,
        keep: Callable[[str], bool] | None = None,
    ) -> list[Ranked]:
        """The true top ``k`` among rows readable at ``now_ns`` whose id ``keep`` lets through, best first.

        A float32 product finds every row that can be among the best; those alone are scored in
        float64, row by row, so that a result does not hang on where a row lies. Scores are compared
        in steps of ``weights.tie``; within a step the newest goes first, then the lower id.
        """
        n = self.count
        if not n:
            return []
        seen = self.available[:n] <= now_ns
        if ticker is not None:
            about = self.ticker[:n]
            seen &= (about == ticker) | (about == -1)
        if keep is not None:
            rows = seen.nonzero()[0]
            seen[rows] = np.fromiter((keep(self.ids[row]) for row in rows), np.bool_, len(rows))
        # every row that may be found: a slice where all may, which copies nothing
        chosen = slice(0, n) if seen.all() else seen.nonzero()[0]
        since, base, base_at = self.since[chosen], self.base[chosen], self.base_at[chosen]
        recency = np.exp(np.maximum(now_ns - since, 0) / (-tau_days * DAY_NS))
        importance = base * np.exp(np.maximum(now_ns - base_at, 0) * (log_factor / DAY_NS))
        rest = weights.recency * recency + weights.importance * (np.minimum(importance, 100.0) / 100.0)
        if len(rest) > k:
            product = (self.vectors[:n] @ query)[chosen]
            rough = weights.similarity * product + rest
            edge = float(np.partition(rough, len(rest) - k)[len(rest) - k])
            # a step of the tie rule either way, and far more than float32 can be wrong by
            near = (rough >= edge - 2.5 * weights.tie - 1e-5 * weights.similarity).nonzero()[0]
            rest, recency, importance = rest[near], recency[near], importance[near]
            rows = near if isinstance(chosen, slice) else chosen[near]
        else:
            rows = np.arange(n) if isinstance(chosen, slice) else chosen
        similarity = (self.vectors[rows].astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        score = weights.similarity * similarity + rest
        step = np.floor(score / weights.tie + 0.5)
        order = np.lexsort((self.number[rows], -self.available[rows], -step))[:k]
        parts = (rows, score, similarity, recency, importance)
        return [Ranked(*hit) for hit in zip(*(part[order].tolist() for part in parts), strict=True)]
