"""What a memory holds: immutable records, and what a recall returns."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from varve.clock import iso, parse_iso

_SPACES = re.compile(r"\W+")


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """One memory as it was stored; its tier and importance may change around it, the record never does.

    ``kind`` says what it is (``news``, ``10-Q``, ``10-K``, ``rationale``, ``outcome``, ``lesson``);
    ``links`` are ids of the memories it belongs to. ``ticker`` None means every ticker.
    """

    id: str
    text: str
    kind: str
    tier: str
    ticker: str | None
    scope: str
    event_time: datetime
    available_at: datetime
    created_at: datetime
    importance: float
    links: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Recalled(NamedTuple):
    """One hit of a recall with the parts of its score at that instant."""

    record: MemoryRecord
    score: float
    similarity: float
    recency: float
    importance: float


def text_key(text: str, ticker: str | None, scope: str) -> str:
    """The identity of a text for de-duplication: its words in lower case, per ticker and scope."""
    words = _SPACES.sub(" ", text.lower()).strip()
    return hashlib.sha256(f"{ticker}\x00{scope}\x00{words}".encode()).hexdigest()


def record_json(record: MemoryRecord) -> dict[str, Any]:
    """A record but for its id as JSON values."""
    return {
        "text": record.text,
        "kind": record.kind,
        "tier": record.tier,
        "ticker": record.ticker,
        "scope": record.scope,
        "event_time": iso(record.event_time),
        "available_at": iso(record.available_at),
        "created_at": iso(record.created_at),
        "importance": record.importance,
        "links": list(record.links),
        "metadata": dict(record.metadata),
    }


def record_of(identity: str, data: Mapping[str, Any]) -> MemoryRecord:
    """The inverse of :func:`record_json`; further keys are ignored."""
    return MemoryRecord(
        id=identity,
        text=data["text"],
        kind=data["kind"],
        tier=data["tier"],
        ticker=data["ticker"],
        scope=data["scope"],
        event_time=parse_iso(data["event_time"]),
        available_at=parse_iso(data["available_at"]),
        created_at=parse_iso(data["created_at"]),
        importance=data["importance"],
        links=tuple(data["links"]),
        metadata=data["metadata"],
    )
