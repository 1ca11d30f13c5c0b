"""Input that a memory refuses, each with what was given and what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime

from varve.clock import to_ns
from varve.config import canonical_json
from varve.errors import UnknownNameError, UsageError
from varve.memory.state.config import TIERS
from varve.memory.state.records import EARLIEST_NS, LATEST_NS
from varve.types import Json, JsonObject


def check_instant(name: str, instant: object) -> int:
    """Nanoseconds since 1970-01-01 UTC of an aware datetime between 1970 and 2260.

    Raises:
        UsageError: for anything else.
    """
    if not isinstance(instant, datetime):
        raise UsageError(f"{name} is {instant!r}, expected a datetime with a zone", mend="give a datetime")
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise UsageError(
            f"{name} {instant.isoformat()} has no time zone", mend="give it one, for example tzinfo=UTC"
        )
    ns = to_ns(instant)
    if not EARLIEST_NS <= ns < LATEST_NS:
        raise UsageError(
            f"{name} {instant.isoformat()} lies outside 1970 to 2260",
            mend="look at the date's source",
        )
    return ns


def check_text(name: str, text: object, most: int) -> str:
    """``text``, if it is text with something in it and of at most ``most`` characters.

    Raises:
        UsageError: otherwise.
    """
    if not isinstance(text, str):
        raise UsageError(f"{name} is a {type(text).__name__}, expected text", mend="give a str")
    if not text.strip():
        raise UsageError(f"{name} is empty, expected text", mend="leave it out")
    if len(text) > most:
        raise UsageError(
            f"{name} has {len(text):,} characters, at most {most:,} are taken",
            mend="summarise it, or raise the memory setting max_text_chars",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{name} is no valid Unicode: {error.reason}", mend="decode it properly") from error
    return text


def check_tiers(tiers: str | Iterable[str] | None) -> tuple[str, ...]:
    """Known tiers in the order of :data:`TIERS`; all for None.

    Raises:
        UnknownNameError: for a name that is no tier.
    """
    if tiers is None:
        return TIERS
    given = (tiers,) if isinstance(tiers, str) else tuple(tiers)
    for tier in given:
        if tier not in TIERS:
            raise UnknownNameError("memory tier", str(tier), TIERS)
    return tuple(tier for tier in TIERS if tier in given)


def check_count(k: object) -> int:
    """``k``, if it is a whole number of at least 1.

    Raises:
        UsageError: otherwise.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UsageError(f"k is {k!r}, expected a whole number of at least 1", mend="ask for one or more")
    return k


def check_number(name: str, value: object) -> float:
    """``value`` as a finite float.

    Raises:
        UsageError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{name} is {value!r}, expected a finite number", mend=f"give {name} as a number")
    return float(value)


def check_share(share: object) -> float:
    """``share`` as a float above 0 and up to 1.

    Raises:
        UsageError: otherwise.
    """
    part = check_number("share", share)
    if not 0 < part <= 1:
        raise UsageError(f"share is {part:g}, expected above 0 and up to 1", mend="give each its part of 1")
    return part


def check_metadata(metadata: Mapping[str, Json]) -> JsonObject:
    """A copy of ``metadata``, if it can be written as JSON.

    Raises:
        UsageError: otherwise.
    """
    if metadata == {}:
        return {}
    try:
        copy = dict(metadata)
        canonical_json(copy)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"metadata cannot be written as JSON: {error}", mend="give text, numbers, lists and tables"
        ) from error
    return copy


Where = tuple[tuple[str, Json], ...]
"""A metadata filter, checked: keys and the plain values that they must have."""


def check_where(where: Mapping[str, Json] | None) -> Where:
    """A metadata filter as pairs in the order of their keys; empty for None.

    Raises:
        UsageError: for a key that is no text, or a value that is no text, finite number, bool or None.
    """
    if where is None:
        return ()
    if not isinstance(where, Mapping):
        raise UsageError(
            f"the metadata filter is a {type(where).__name__}, expected a table of keys and values",
            mend='give it as {"horizon": "short"}',
        )
    for key, value in where.items():
        plain = (
            value is None
            or isinstance(value, str | int)
            or (isinstance(value, float) and math.isfinite(value))
        )
        if not isinstance(key, str) or not plain:
            raise UsageError(
                f"the metadata filter wants {key!r} to be {value!r}, expected a key of text and a "
                "value that is text, a finite number, true, false or None",
                mend='give it as {"horizon": "short"}',
            )
    return tuple(sorted(where.items()))


def passes(metadata: Mapping[str, Json], where: Where) -> bool:
    """Whether ``metadata`` has every key of ``where`` with an equal value; true and 1 are not equal."""
    for key, value in where:
        if key not in metadata or metadata[key] != value:
            return False
        if isinstance(metadata[key], bool) != isinstance(value, bool):
            return False
    return True
