"""The only place that reads the wall clock, and the conversions between instants.

All instants in Varve are timezone-aware UTC datetimes; inside arrays they are int64 nanoseconds
since 1970-01-01 UTC.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

Clock = Callable[[], datetime]
"""Returns the present instant, timezone-aware UTC. Inject a fixed one in tests."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_clock() -> datetime:
    """The present instant, UTC, from the machine's clock."""
    return datetime.now(UTC)


def stopwatch() -> float:
    """Seconds of a monotonic clock; only differences mean something. For timings, never for results."""
    return time.perf_counter()


def to_utc(instant: datetime) -> datetime:
    """``instant`` in UTC.

    Raises:
        ValueError: if ``instant`` carries no time zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"instant {instant.isoformat()} has no time zone; give it one, for example +00:00")
    return instant.astimezone(UTC)


def to_ns(instant: datetime) -> int:
    """Nanoseconds since 1970-01-01 UTC of a timezone-aware instant (microsecond precision, exact)."""
    delta = to_utc(instant) - _EPOCH
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def from_ns(ns: int) -> datetime:
    """The UTC instant of ``ns`` nanoseconds since 1970-01-01 (cut to microseconds)."""
    return _EPOCH + timedelta(microseconds=int(ns) // 1_000)


def iso(instant: datetime | date) -> str:
    """ISO 8601 text; instants in UTC with a trailing ``Z``."""
    return _iso_instant(instant) if isinstance(instant, datetime) else instant.isoformat()


# A session's instant is written and read again with each of its events.
@lru_cache(maxsize=1024)
def _iso_instant(instant: datetime) -> str:
    return to_utc(instant).isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def parse_iso(text: str) -> datetime:
    """The inverse of :func:`iso` for instants."""
    return to_utc(datetime.fromisoformat(text))
