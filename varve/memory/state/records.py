"""What a memory holds, hands out and takes in: plain immutable values."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from varve.clock import to_ns
from varve.errors import UsageError
from varve.types import Json


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """One memory, never changed after it was stored.

    Instants are UTC. ``tier`` is the tier it was filed into; where it lives now is
    :attr:`Recalled.tier`. ``available_at`` is when a trader could have read it, ``created_at`` when
    it was stored. ``links`` are ids of memories that this one follows from (an outcome is linked to
    the rationale of its decision). ``kind`` is free: ``news``, ``10-K``, ``rationale``, ``outcome`` ...
    """

    id: str
    ticker: str | None
    scope: str
    tier: str
    text: str
    kind: str
    event_time: datetime
    available_at: datetime
    created_at: datetime
    metadata: Mapping[str, Json] = field(default_factory=dict)
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A memory to be stored; see :meth:`varve.memory.layered.LayeredMemory.add` for its parts."""

    text: str
    tier: str
    ticker: str | None
    event_time: datetime
    available_at: datetime
    kind: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    importance: float | None = None
    links: tuple[str, ...] = ()
    scope: str | None = None


class Recalled(NamedTuple):
    """A memory with the parts of its score: score = Σ weight × (similarity | recency | importance ÷ 100).

    ``similarity`` is a cosine, ``recency`` exp(−Δ/τ), ``importance`` in points, decayed to the
    instant of recall; ``tier`` is where the memory lives now.
    """

    record: MemoryRecord
    score: float
    similarity: float
    recency: float
    importance: float
    tier: str

    @property
    def id(self) -> str:
        """The record's id."""
        return self.record.id

    @property
    def text(self) -> str:
        """The record's text."""
        return self.record.text


def citation(memory: str, memory_id: str) -> str:
    """How a decision cites a memory of a run that has several: ``<memory>/<id>``."""
    return f"{memory}/{memory_id}"


def of_citation(cited: str) -> tuple[str, str]:
    """Name of the memory and id, out of what :func:`citation` made.

    Raises:
        UsageError: if it is none.
    """
    memory, slash, memory_id = cited.rpartition("/")
    if not slash or not memory:
        raise UsageError(f"{cited!r} names no memory", mend="cite as <memory>/<id>")
    return memory, memory_id


class CreditReport(NamedTuple):
    """Which ids a credit reached, and which had been purged before it came."""

    credited: tuple[str, ...]
    missed: tuple[str, ...]


class SessionReport(NamedTuple):
    """Ids that the close of a session moved or removed."""

    promoted: tuple[str, ...]
    demoted: tuple[str, ...]
    purged: tuple[str, ...]


def normalised(text: str) -> str:
    """Text as compared for sameness: Unicode NFKC, case folded, runs of white space as one blank."""
    composed = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(composed.casefold().split())


@lru_cache(maxsize=256)  # a text's key is asked for again at once, when it is stored
def text_key(text: str, ticker: str | None) -> str:
    """What two memories share when they are the same text about the same ticker (hex)."""
    scope = "-" if ticker is None else f"={ticker}"
    return hashlib.blake2b(f"{scope}\n{normalised(text)}".encode(), digest_size=16).hexdigest()


EARLIEST_NS = 0
LATEST_NS = to_ns(datetime.fromisoformat("2261-01-01T00:00:00+00:00"))
"""Instants in a memory lie between these, in nanoseconds since 1970-01-01 UTC."""
