"""Splits and payments: from columns of a price file, and from a file of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from varve.errors import BadFileError
from varve.market.calendars import TradingCalendar
from varve.market.sources.prices.dates import plain_date, styles_of
from varve.market.sources.prices.names import field_of, plain
from varve.market.sources.prices.numbers import is_unknown, parse
from varve.market.sources.prices.opening import read_bytes, text_of
from varve.market.sources.prices.sheet import sheet_of_text
from varve.market.sources.source import Request

EXPECTED_EVENTS = "CSV with the columns date,kind,value, or date beside dividends or splits"
MOST_SPLIT = 10_000.0
_RATIO = re.compile(r"(\d+(?:\.\d+)?)\s*(?::|/|-?\s*for\s*-?)\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
_KINDS = {
    "split": "splits", "splits": "splits", "stock split": "splits", "stock splits": "splits",
    "dividend": "dividends", "dividends": "dividends", "cash": "dividends",
    "capital gain": "capital_gains", "capital gains": "capital_gains",
}  # fmt: skip


@dataclass
class Events:
    """Splits (new shares per old share) and payments (cash per share, with capital gains), by ex-date."""

    splits: dict[date, float] = field(default_factory=dict)
    payments: dict[date, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.splits or self.payments)


def events_of(
    request: Request, venue: TradingCalendar, cells: Iterable[tuple[str, date, int, str]], mark: str
) -> Events:
    """The events of a price file's cells and of the file of events, as they are written.

    Raises:
        BadFileError: naming the row of an event that cannot be, or that both give and differ in.
    """
    found = _collected(request.file, cells, mark)
    if request.events is None:
        return found
    beside = _collected(request.events, *_from_file(request, venue, request.events))
    for kind in ("splits", "payments"):
        mine: dict[date, float] = getattr(found, kind)
        theirs: Mapping[date, float] = getattr(beside, kind)
        for day, value in theirs.items():
            if abs(mine.get(day, value) - value) > 1e-6 * value:
                raise BadFileError(
                    f"{request.events} gives {value:g} for the {kind} of {day}, "
                    f"{request.file} gives {mine[day]:g}",
                    mend=f"correct one of them, or leave the file out: {request.command(events=None)}",
                )
            mine[day] = value
    return found


def _collected(path: Path, cells: Iterable[tuple[str, date, int, str]], mark: str) -> Events:
    found = Events()
    gains = 0
    for kind, day, row, text in cells:
        if is_unknown(text):
            continue
        try:
            value = _ratio(text, mark) if kind == "splits" else parse(text, mark)
        except ValueError:
            raise BadFileError(
                f"{path}, row {row}: {kind} is {text[:40]!r}, which is no number"
                + " or ratio" * (kind == "splits"),
                mend="write cash per share as 0.24, and a split as 4 or 4:1 (new shares per old one)",
            ) from None
        if value < 0 or (kind == "splits" and value and not 1 / MOST_SPLIT <= value <= MOST_SPLIT):
            raise BadFileError(
                f"{path}, row {row}: {kind} is {text[:40]!r}; expected "
                + (f"a ratio of at most {MOST_SPLIT:g}" if kind == "splits" else "a number of at least 0"),
                mend="correct the row",
            )
        if kind == "splits":
            if value not in (0.0, 1.0):
                found.splits[day] = found.splits.get(day, 1.0) * value
        elif value:
            found.payments[day] = found.payments.get(day, 0.0) + value
            gains += kind == "capital_gains"
    if gains:
        found.notes.append(f"capital gains paid like dividends: {gains}")
    return found


def _ratio(text: str, mark: str) -> float:
    if found := _RATIO.match(text.strip()):
        new, old = float(found[1]), float(found[2])
        if not old:
            raise ValueError(f"no ratio: {text!r}")
        return new / old
    return parse(text, mark)


def _from_file(
    request: Request, venue: TradingCalendar, path: Path
) -> tuple[list[tuple[str, date, int, str]], str]:
    """The cells of a file of events: kind, day, row, text; and its decimal mark."""
    text, _ = text_of(path, read_bytes(path, EXPECTED_EVENTS), EXPECTED_EVENTS)
    sheet = sheet_of_text(replace(request, path=path, header=()), text)
    names = [plain(name) for name in sheet.names]
    dated = next((n for n, name in enumerate(sheet.names) if field_of(name) == "date"), None)
    if dated is None or len(names) < 2:
        raise BadFileError(
            f"{path} has the columns {', '.join(sheet.names)[:100]!r}; expected {EXPECTED_EVENTS}",
            mend="write a header: date,kind,value",
        )
    style = styles_of(sheet.column(dated))
    if len(style) > 1:
        raise BadFileError(
            f"{path}: the date {sheet.column(dated)[0]!r} can be read in {len(style)} ways",
            mend="write dates as YYYY-MM-DD",
        )
    mark = request.decimal or "."
    found = []
    for row, cells in sheet.rows:
        try:
            day = plain_date(style[0].read(cells[dated]), venue.timezone)
        except (ValueError, OverflowError):
            raise BadFileError(
                f"{path}, row {row}: the date is {cells[dated][:40]!r}", mend="write dates as YYYY-MM-DD"
            ) from None
        if "kind" in names or "type" in names:
            found.append(_of_kind(path, row, day, cells, names))
        else:
            found += [
                (kind, day, row, cells[n])
                for n, name in enumerate(sheet.names)
                if (kind := field_of(name)) in ("dividends", "splits", "capital_gains") and kind
            ]
    if not found:
        raise BadFileError(f"{path} has no events; expected {EXPECTED_EVENTS}", mend="write date,kind,value")
    return found, mark


def _of_kind(
    path: Path, row: int, day: date, cells: list[str], names: list[str]
) -> tuple[str, date, int, str]:
    kind = cells[names.index("kind" if "kind" in names else "type")]
    value = next((cells[names.index(name)] for name in ("value", "amount", "ratio") if name in names), "")
    if plain(kind) not in _KINDS or is_unknown(value):
        raise BadFileError(
            f"{path}, row {row}: the event is {kind[:40]!r} with the value {value[:40]!r}; expected split, "
            "dividend or capital_gain, and a number",
            mend="write, for example: 2023-08-25,split,3 or 2023-05-12,dividend,0.24",
        )
    return _KINDS[plain(kind)], day, row, value
