"""Dates as price files write them: one reading for a whole file, or a refusal that names the readings."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial

Reader = Callable[[str], datetime]

_SPLIT = re.compile(r"(\d{1,4})[./\-\s](\d{1,2})[./\-\s](\d{1,4})(?!\d)")
_TIME = re.compile(
    r"(?:[T\s,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?\s*(?P<half>[AaPp][Mm])?"
    r"|[T\s]+(?P<packed>\d{6}|\d{4}))?"
    r"\s*(?:(?P<utc>Z|UTC|GMT)?(?P<offset>[+-]\d{1,2}:?\d{2})?)\s*"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_NAMED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:[a-z]{{3,9}},?\s+)?{_MONTH}[\s\-/]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s,\-/]+(?P<year>\d{{4}}|\d{{2}})(?!\d)",
        rf"(?:[a-z]{{3,9}},?\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s\-/.]*{_MONTH}[\s,\-/]*(?P<year>\d{{4}}|\d{{2}})(?!\d)",
        rf"(?P<year>\d{{4}})[\s\-/]*{_MONTH}[\s\-/]*(?P<day>\d{{1,2}})(?!\d)",
    )
)
_EPOCHS = (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))
_FIRST_SECOND, _LAST_SECOND = 631_152_000, 2_114_380_800  # 1990 and 2037: units never overlap in between


@dataclass(frozen=True)
class Style:
    """One way to write dates: in words, as ``strptime`` has it where it can, and a reader that may raise."""

    words: str
    code: str
    read: Reader


def _whole(year: str) -> int:
    if len(year) == 4:
        return int(year)
    if len(year) != 2:
        raise ValueError(f"no year: {year!r}")
    return int(year) + (2000 if int(year) < 70 else 1900)


def _at(year: int, month: int, day: int, rest: str) -> datetime:
    found = _TIME.fullmatch(rest)
    if found is None:
        raise ValueError(f"no time of day: {rest!r}")
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if packed := found["packed"]:
        hour, minute, second = int(packed[:2]), int(packed[2:4]), int(packed[4:6] or 0)
    if half := found["half"]:
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    zone = UTC if found["utc"] else None
    if offset := found["offset"]:
        sign = -1 if offset[0] == "-" else 1
        digits = offset[1:].replace(":", "").zfill(4)
        zone = timezone(sign * timedelta(hours=int(digits[:-2]), minutes=int(digits[-2:])))
    return datetime(year, month, day, hour, minute, second, tzinfo=zone)


def _iso(text: str) -> datetime:
    if text.isdigit():
        raise ValueError(f"digits alone: {text!r}")
    return datetime.fromisoformat(text)


def _compact(text: str) -> datetime:
    found = re.fullmatch(r"(\d{4})(\d{2})(\d{2})(?:\.0+)?(.*)", text)
    if found is None:
        raise ValueError(f"not YYYYMMDD: {text!r}")
    return _at(int(found[1]), int(found[2]), int(found[3]), found[4])


def _epoch(text: str) -> datetime:
    if not re.fullmatch(r"\d{9,19}(?:\.0+)?|\d\.\d+[eE]\+?\d{1,2}", text):
        raise ValueError(f"no seconds since 1970: {text!r}")
    value = int(text.partition(".")[0]) if "e" not in text.lower() else int(float(text))
    for _, unit in _EPOCHS:
        if _FIRST_SECOND * unit <= value <= _LAST_SECOND * unit:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value * 10**6 // unit)
    raise ValueError(f"no instant from 1990 to 2036: {text!r}")


def _parts(order: str, text: str) -> datetime:
    found = _SPLIT.match(text)
    if found is None:
        raise ValueError(f"no three parts: {text!r}")
    parts = dict(zip(order, (found[1], found[2], found[3]), strict=True))
    if len(parts["D"]) > 2 or len(parts["M"]) > 2:
        raise ValueError(f"not in the order {order}: {text!r}")
    return _at(_whole(parts["Y"]), int(parts["M"]), int(parts["D"]), text[found.end() :])


def _named(text: str) -> datetime:
    for pattern in _NAMED:
        if found := pattern.match(text):
            month = _MONTHS.index(found["month"].lower()[:3]) + 1
            return _at(_whole(found["year"]), month, int(found["day"]), text[found.end() :])
    raise ValueError(f"no month's name: {text!r}")


_SURE = (
    Style("YYYY-MM-DD", "%Y-%m-%d", _iso),
    Style("YYYYMMDD", "%Y%m%d", _compact),
    Style("an instant since 1970", "", _epoch),
    Style("the month's name", "", _named),
)
_BY_ORDER = (
    Style("year, month, day", "%Y-%m-%d", partial(_parts, "YMD")),
    Style("day, month, year", "%d/%m/%Y", partial(_parts, "DMY")),
    Style("month, day, year", "%m/%d/%Y", partial(_parts, "MDY")),
)


def looks_like_date(text: str) -> bool:
    """Whether a cell is a date or an instant in some style."""
    text = text.strip()
    return len(text) < 60 and any(_can(style.read, text) for style in (*_SURE, *_BY_ORDER))


def _can(read: Reader, text: str) -> bool:
    try:
        read(text)
    except (ValueError, OverflowError):
        return False
    return True


def given_style(code: str) -> Style:
    """The style of a ``strptime`` format; a time of day behind the date need not be in it."""

    def read(text: str) -> datetime:
        try:
            return datetime.strptime(text, code)  # noqa: DTZ007 - the zone is checked by whoever reads
        except ValueError:
            head, _, tail = text.partition(" ")
            day = datetime.strptime(head, code)  # noqa: DTZ007 - a date alone
            return _at(day.year, day.month, day.day, f" {tail}")

    return Style(code, code, read)


def styles_of(texts: Sequence[str]) -> list[Style]:
    """The styles that read most of the texts: one on most files, two where day and month may be exchanged.

    A four-digit year in front is never followed by the day; it is read as year, month, day alone.
    """
    counts = [(sum(_can(style.read, text) for text in texts), style) for style in _SURE]
    best, sure = max(counts, key=lambda one: one[0])
    by_order = [(sum(_can(style.read, text) for text in texts), style) for style in _BY_ORDER]
    most = max(count for count, _ in by_order)
    if best >= most:
        return [sure]
    return [_spelled(style, texts) for count, style in by_order if count == most]


def _spelled(style: Style, texts: Sequence[str]) -> Style:
    """The style with its code spelled as the texts are, so that it can be given as ``--date-format``."""
    sample = next(text for text in texts if _can(style.read, text))
    found = _SPLIT.match(sample)
    assert found is not None
    marks = [sample[found.end(n)] for n in (1, 2)]
    order = {"year, month, day": "YMD", "day, month, year": "DMY", "month, day, year": "MDY"}[style.words]
    codes = [
        ("%Y" if len(found[n + 1]) == 4 else "%y") if part == "Y" else f"%{part.lower()}"
        for n, part in enumerate(order)
    ]
    return Style(style.words, f"{codes[0]}{marks[0]}{codes[1]}{marks[1]}{codes[2]}", style.read)


def plain_date(stamp: datetime, zone: object) -> date:
    """The date that an instant names at a venue; midnight in any zone is how tables write a plain date."""
    if stamp.utcoffset() is None or stamp.timetz().replace(tzinfo=None) == datetime.min.time():
        return stamp.date()
    return stamp.astimezone(zone).date()  # type: ignore[arg-type]
