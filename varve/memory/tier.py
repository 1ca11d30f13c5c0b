"""One tier in numpy columns: vectors and scalars, scored all at once, decayed in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from varve.memory.config import MemoryConfig, TierConfig
from varve.memory.embedders import Vectors

Floats = NDArray[np.float64]
DAY_NS = 86_400 * 10**9
TIE = 1e-4
"""Scores closer than this tie; the newest then wins, then the smallest id."""


class Row(NamedTuple):
    """The scalars of one memory in its tier. ``importance`` holds at ``anchor_ns`` and decays from there.

    ``base_ns`` is where recency starts: max(available, promoted). ``number`` is the id's number.
    """

    number: int
    ticker: int
    available_ns: int
    base_ns: int
    anchor_ns: int
    importance: float
    credits: int


_NUMBERS = ("number", "ticker", "available_ns", "base_ns", "anchor_ns", "credits")


class Scored(NamedTuple):
    """One hit: position in the tier and the parts of its score."""

    position: int
    score: float
    similarity: float
    recency: float
    importance: float


class Tier:
    """Memories of one tier. Removing leaves a hole that the next growth closes."""

    def __init__(self, name: str, config: TierConfig, dimension: int) -> None:
        self.name, self.config = name, config
        self._size = 0
        self._vectors: Vectors = np.zeros((64, dimension), dtype=np.float32)
        self._columns = {column: np.zeros(64, dtype=np.int64) for column in _NUMBERS}
        self._importance: Floats = np.zeros(64)
        self._alive = np.zeros(64, dtype=bool)
        self._position: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._position)

    def __contains__(self, number: int) -> bool:
        return number in self._position

    def put(self, row: Row, vector: Vectors) -> None:
        """Add a memory, or replace the scalars of one that is here."""
        position = self._position.get(row.number)
        if position is None:
            if self._size == len(self._alive):
                self._grow()
            position = self._size
            self._size += 1
            self._position[row.number] = position
            self._vectors[position] = vector
            self._alive[position] = True
        for column in _NUMBERS:
            self._columns[column][position] = getattr(row, column)
        self._importance[position] = row.importance

    def row(self, number: int) -> Row:
        """The scalars of a memory."""
        position = self._position[number]
        values = {column: int(self._columns[column][position]) for column in _NUMBERS}
        return Row(importance=float(self._importance[position]), **values)

    def vector(self, number: int) -> Vectors:
        """The vector of a memory."""
        found: Vectors = self._vectors[self._position[number]]
        return found

    def numbers(self) -> list[int]:
        """Id numbers of every memory here, ascending."""
        return sorted(self._position)

    def remove(self, number: int) -> None:
        """Take a memory out."""
        self._alive[self._position.pop(number)] = False

    def importance_at(self, row: Row, now_ns: int) -> float:
        """Importance of ``row`` at ``now_ns``, decayed per calendar day since its anchor."""
        days = max(0, now_ns - row.anchor_ns) / DAY_NS
        return float(row.importance * self.config.decay_per_day**days)

    def top(self, query: Vectors, now_ns: int, k: int, ticker: int, config: MemoryConfig) -> list[Scored]:
        """The ``k`` best memories available at ``now_ns``, of ``ticker`` or of none, best first.

        Exact: every available memory is scored.
        """
        n = self._size
        column = self._columns
        fits = self._alive[:n] & (column["available_ns"][:n] <= now_ns)
        if ticker >= 0:
            fits &= (column["ticker"][:n] == ticker) | (column["ticker"][:n] == -1)
        found = np.flatnonzero(fits)
        if not len(found):
            return []
        similarity = (self._vectors[found] @ query).astype(np.float64)
        age_days = np.maximum(0, now_ns - column["base_ns"][found]) / DAY_NS
        recency = np.exp(-age_days / self.config.recency_days)
        decayed_days = np.maximum(0, now_ns - column["anchor_ns"][found]) / DAY_NS
        importance = self._importance[found] * self.config.decay_per_day**decayed_days
        score = (
            config.similarity_weight * similarity
            + config.recency_weight * recency
            + config.importance_weight * np.minimum(importance, 100.0) / 100.0
        )
        rounded = np.round(score / TIE).astype(np.int64)
        keys = (column["number"][found], -column["available_ns"][found], -rounded)
        best = _best(keys, min(k, len(found)))
        return [
            Scored(
                int(found[i]), float(score[i]), float(similarity[i]), float(recency[i]), float(importance[i])
            )
            for i in best
        ]

    def number_at(self, position: int) -> int:
        """The id number of the memory at ``position``."""
        return int(self._columns["number"][position])

    def expired(self, now_ns: int, config: MemoryConfig) -> list[tuple[int, str]]:
        """Id numbers to purge at ``now_ns``, each with its reason, ascending."""
        n = self._size
        oldest = now_ns - int(config.purge_after_taus * self.config.recency_days * DAY_NS)
        old = self._alive[:n] & (self._columns["base_ns"][:n] < oldest)
        out = [(int(number), "recency") for number in self._columns["number"][:n][old]]
        floor = config.purge_importance_below
        if floor is not None:
            days = np.maximum(0, now_ns - self._columns["anchor_ns"][:n]) / DAY_NS
            faded = self._alive[:n] & ~old & (self._importance[:n] * self.config.decay_per_day**days < floor)
            out += [(int(number), "importance") for number in self._columns["number"][:n][faded]]
        return sorted(out)

    def _grow(self) -> None:
        """Close holes, then double if still more than half full."""
        kept = np.flatnonzero(self._alive)
        capacity = max(64, 2 * len(kept))
        vectors = np.zeros((capacity, self._vectors.shape[1]), dtype=np.float32)
        vectors[: len(kept)] = self._vectors[kept]
        self._vectors = vectors
        for name, values in self._columns.items():
            self._columns[name] = np.zeros(capacity, dtype=np.int64)
            self._columns[name][: len(kept)] = values[kept]
        importance = np.zeros(capacity)
        importance[: len(kept)] = self._importance[kept]
        self._importance = importance
        self._alive = np.zeros(capacity, dtype=bool)
        self._alive[: len(kept)] = True
        self._size = len(kept)
        numbers: Sequence[int] = self._columns["number"][: len(kept)].tolist()
        self._position = {number: position for position, number in enumerate(numbers)}


def _best(keys: tuple[NDArray[np.int64], ...], k: int) -> list[int]:
    """Positions of the first ``k`` in the order of ``keys`` (last key first), without sorting all."""
    primary = keys[-1]
    if k < len(primary):
        # Everything that ties with the k-th on the primary key stays in the race.
        limit = np.partition(primary, k - 1)[k - 1]
        candidates = np.flatnonzero(primary <= limit)
    else:
        candidates = np.arange(len(primary))
    order = np.lexsort(tuple(key[candidates] for key in keys))[:k]
    chosen: list[int] = candidates[order].tolist()
    return chosen
