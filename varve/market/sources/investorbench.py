"""The INVESTOR-BENCH JSON format: one object per day with an adjusted close, news and filings.

::

    {"2020-03-12": {"prices": 111.58, "news": ["..."], "10k": [], "10q": []}, ...}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import ClassVar

from varve.bounded import BeyondBounds, check_depth
from varve.clock import Clock, iso, wall_clock
from varve.errors import BadFileError, near_names
from varve.harmless import shortened
from varve.market.calendars import FIRST_DAY, LAST_DAY, TradingCalendar, get_calendar
from varve.market.data import BarSeries, InstrumentData, Provenance
from varve.market.sources.files import read_text
from varve.market.sources.source import Kind, Request
from varve.market.store import check_ticker
from varve.types import Document, DocumentKind, Instrument, Json, JsonObject

WEEKEND_SHARE = 0.1
"""From this share of Saturdays and Sundays on, a file is taken for one of a venue that never closes.

A full one has 2/7; a weekday venue's file may hold a few for the sake of weekend news.
"""

_EXPECTED = "INVESTOR-BENCH JSON"
_FORMAT = '{"2020-03-12": {"prices": 111.58, "news": ["..."], "10k": [], "10q": []}, ...}'
_KINDS: Mapping[str, DocumentKind] = {"news": "news", "10k": "10-K", "10q": "10-Q"}


class InvestorBenchSource:
    """Closes, news and filings from an INVESTOR-BENCH JSON file."""

    kind: ClassVar[Kind] = "file"
    endings: ClassVar[tuple[str, ...]] = (".json",)
    holds: ClassVar[str] = "INVESTOR-BENCH"
    options: ClassVar[frozenset[str]] = frozenset({"calendar"})

    def accepts(self, path: Path) -> bool:
        """Whatever has the ending; what is wrong in it is said when it is read."""
        return True

    def read(self, request: Request) -> InstrumentData:
        """Read the file; see :func:`read_investorbench`."""
        return read_investorbench(request.file, request.ticker, calendar=request.calendar)


def read_investorbench(
    path: Path,
    ticker: str,
    *,
    calendar: str | None = None,
    currency: str = "USD",
    clock: Clock = wall_clock,
) -> InstrumentData:
    """Closes and documents of one instrument from an INVESTOR-BENCH file.

    The format knows days, not times: each document is available from
    ``calendar.date_only_available_at(day)`` on, and its ``event_time`` is the start of that day at the
    venue. Prices are adjusted for splits and dividends, so they are flagged ``back_adjusted`` and come
    without events; there is no open, so ``fill_rule`` is ``next_close``. A day that is no session of
    the calendar keeps its documents and gives no bar.

    Args:
        path: a UTF-8 JSON file.
        ticker: the symbol to store it under.
        calendar: ``XNYS`` or ``24/7``; None guesses by the share of weekend days.
        currency: of the prices.
        clock: gives ``pulled_at``.

    Raises:
        BadFileError: if the file is cut short or not of the format, naming the date and field.
        UnknownNameError: if there is no such calendar.
        SettingError: if the ticker cannot be used.
    """
    path = Path(path)
    check_ticker(ticker)
    days = {_day(path, key): (key, value) for key, value in _load(path).items()}
    venue = get_calendar(calendar or _guess(list(days)))
    read = _Read()
    for day in sorted(days):
        _read_day(path, ticker, venue, day, *days[day], read)
    if not read.sessions:
        raise BadFileError(
            f"{path} has {len(days)} days but no session of the calendar {venue.name} among them",
            mend="give --calendar 24/7 for an instrument that trades every day",
        )
    return InstrumentData(
        Instrument(ticker, venue.name, currency, 1e-4 if venue.always_open else 1.0),
        BarSeries.from_sessions(venue.name, read.sessions, read.closes),
        Provenance(
            source=f"investorbench:{path.name}",
            adjustment="back_adjusted",
            fill_rule="next_close",
            pulled_at=iso(clock()),
            note=_note(venue, read),
        ),
        tuple(read.documents),
    )


@dataclass
class _Read:
    sessions: list[date] = field(default_factory=list)
    closes: list[float] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    prices_left_out: int = 0
    other_fields: dict[str, int] = field(default_factory=dict)


def _load(path: Path) -> JsonObject:
    text = read_text(path, _EXPECTED)
    if text.lstrip()[:1] not in ("{", "["):
        raise _not_of_format(path, f"it starts with {text.lstrip()[:20]!r}")
    try:
        raw = json.loads(text, object_pairs_hook=_no_key_twice)
        check_depth(raw)
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string")
        what = "is cut short" if at_end else "is no valid JSON"
        said = error.msg.removesuffix(" starting at")
        raise BadFileError(
            f"{path} {what}: {said} at line {error.lineno}, column {error.colno}",
            mend="get the file again; nothing of it was stored",
        ) from error
    except (RecursionError, BeyondBounds):
        raise _not_of_format(path, "its values are nested far too deep") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise _not_of_format(path, str(error)) from None
    except _TwiceError as error:
        raise BadFileError(f"{path}: {error} is there twice", mend="keep one entry per date") from None
    if not isinstance(raw, dict):
        raise _not_of_format(path, f"its top level is a {type(raw).__name__}")
    if not raw:
        raise BadFileError(f"{path} holds no days; expected {_FORMAT}", mend="give a file with data in it")
    return raw


class _TwiceError(Exception):
    """A JSON object names one key twice; Python would keep the last silently."""


def _no_key_twice(pairs: list[tuple[str, Json]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(repr(next(key for key in keys if keys.count(key) > 1)))
    return found


def _day(path: Path, key: str) -> date:
    try:
        day = date.fromisoformat(key)
    except ValueError:
        raise _not_of_format(path, f"its key {key[:40]!r} is no date of the form YYYY-MM-DD") from None
    if day.isoformat() != key:
        raise _not_of_format(path, f"its key {key!r} is not written YYYY-MM-DD")
    if not FIRST_DAY <= day < LAST_DAY:
        raise BadFileError(f"{path}: {key} is outside {FIRST_DAY} to {LAST_DAY}, the days Varve knows")
    return day


def _guess(days: list[date]) -> str:
    weekend = sum(day.weekday() >= 5 for day in days)
    return "24/7" if weekend >= WEEKEND_SHARE * len(days) else "XNYS"


def _read_day(
    path: Path, ticker: str, venue: TradingCalendar, day: date, key: str, entry: Json, read: _Read
) -> None:
    if not isinstance(entry, dict):
        raise _not_of_format(path, f"{key} is a {type(entry).__name__}, not an object with prices and news")
    if venue.is_session(day):
        read.sessions.append(day)
        read.closes.append(_price(path, key, entry))
    elif entry.get("prices") is not None:
        read.prices_left_out += 1
    for name in entry:
        if name != "prices" and name not in _KINDS:
            read.other_fields[name] = read.other_fields.get(name, 0) + 1
    begins = venue.date_only_available_at(day - timedelta(days=1))
    available_at = venue.date_only_available_at(day)
    for name, kind in _KINDS.items():
        for n, text in enumerate(_texts(path, key, name, entry)):
            if text.strip():
                read.documents.append(
                    Document(f"{ticker}-{key}-{kind}-{n}", ticker, kind, text, begins, available_at)
                )


def _price(path: Path, key: str, entry: Mapping[str, Json]) -> float:
    if "prices" not in entry:
        close = near_names("prices", entry)
        hint = f"; did {close[0]!r} mean it?" if close else ""
        raise _not_of_format(path, f"{key} has no field 'prices'{hint}")
    value = entry["prices"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _not_of_format(path, f"{key}, field 'prices' is {str(value)[:40]!r}, not a number")
    try:
        price = float(value)
    except OverflowError:  # a whole number may have hundreds of digits
        price = math.inf
    if not math.isfinite(price) or price <= 0:
        raise BadFileError(
            f"{path}: {key}, field 'prices' is {shortened(str(value), 40)}; expected a price above 0",
            mend="correct the price, or remove the day",
        )
    return price


def _texts(path: Path, key: str, name: str, entry: Mapping[str, Json]) -> list[str]:
    texts = entry.get(name)
    if texts is None:
        return []
    if not isinstance(texts, list):
        raise _not_of_format(path, f"{key}, field {name!r} is a {type(texts).__name__}, not a list of texts")
    found = []
    for n, text in enumerate(texts):
        if not isinstance(text, str):
            raise _not_of_format(path, f"{key}, field {name!r}, item {n} is {str(text)[:40]!r}, not a text")
        # A half of a surrogate pair, as cut emojis leave it, is valid JSON but no valid text.
        found.append(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return found


def _not_of_format(path: Path, what: str) -> BadFileError:
    return BadFileError(f"{path} is not of the INVESTOR-BENCH format: {what}", mend=f"expected {_FORMAT}")


def _note(venue: TradingCalendar, read: _Read) -> str:
    known = set(read.sessions)
    missing = sum(day not in known for day in venue.sessions(read.sessions[0], read.sessions[-1]))
    parts = []
    if missing:
        parts.append(f"{missing} sessions missing")
    if read.prices_left_out:
        parts.append(f"{read.prices_left_out} prices left out on days that are no session of {venue.name}")
    for name, count in sorted(read.other_fields.items()):
        parts.append(f"field {name!r} ignored on {count} days")
    return "; ".join(parts)
