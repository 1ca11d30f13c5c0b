"""An expert's guidance on one instrument from a CSV file: when it could be read, and what it says.

::

    available_at,text
    2023-01-05,Deliveries will miss; stay light into the report.
    2023-02-14T14:30:00+00:00,The margin story is intact.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import ClassVar

from varve.errors import BadFileError
from varve.market.calendars import FIRST_DAY, LAST_DAY, TradingCalendar, get_calendar
from varve.market.data import InstrumentData
from varve.market.sources.files import read_text
from varve.market.sources.source import Kind, Request
from varve.market.store import Store
from varve.market.view import GUIDANCE
from varve.types import Document, Instrument

COLUMNS = ("available_at", "text")
MAX_CHARS = 4_000

_EXPECTED = "a CSV of guidance with the columns available_at and text"
_INSTANT = "2023-01-05 for a day, or 2023-01-05T14:30:00+00:00 for an instant"


class GuidanceSource:
    """An expert's guidance from a CSV file, beside prices that are stored already."""

    kind: ClassVar[Kind] = "file"
    endings: ClassVar[tuple[str, ...]] = (".csv",)
    holds: ClassVar[str] = "guidance"
    options: ClassVar[frozenset[str]] = frozenset()

    def accepts(self, path: Path) -> bool:
        """Whether the file has the columns of guidance."""
        return is_guidance(path)

    def read(self, request: Request) -> InstrumentData:
        """Return the stored instrument with the file's guidance in place of any that was there.

        Raises:
            NoDataError: if the ticker is not stored.
        """
        stored = Store().read(request.ticker)
        kept = tuple(d for d in stored.documents if d.kind != GUIDANCE)
        return replace(stored, documents=(*kept, *read_guidance(request.file, stored.instrument)))


def is_guidance(path: Path) -> bool:
    """Whether a CSV has the columns of guidance; False where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return _header(file.readline(10_000)) == list(COLUMNS)
    except (OSError, UnicodeDecodeError):
        return False


def read_guidance(path: Path, instrument: Instrument) -> tuple[Document, ...]:
    """The guidance of a file, oldest first. What has a plain date is readable when that day is over.

    Raises:
        BadFileError: naming the row that cannot be used: a date that is none or has no time zone, an
            empty or too long text, a row that is there twice.
    """
    text = read_text(path, _EXPECTED)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    venue = get_calendar(instrument.calendar)
    found: dict[str, Document] = {}
    rows: dict[str, int] = {}
    try:
        if _header(",".join(next(reader, []))) != list(COLUMNS):
            raise BadFileError(
                f"{path}, row 1 is not the header of {_EXPECTED}", mend="write: available_at,text"
            )
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            one = _document(path, reader.line_num, cells, instrument, venue)
            if one.id in found:
                raise BadFileError(
                    f"{path}, row {reader.line_num} is the same as row {rows[one.id]}",
                    mend="keep one of them",
                )
            found[one.id], rows[one.id] = one, reader.line_num
    except csv.Error as error:
        raise BadFileError(f"{path}, row {reader.line_num}: {error}", mend=f"give {_EXPECTED}") from error
    if not found:
        raise BadFileError(f"{path} has a header but no rows", mend="give a file with guidance in it")
    return tuple(sorted(found.values(), key=lambda d: (d.available_at, d.id)))


def _header(line: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in line.strip().split(",")]


def _document(
    path: Path, row: int, cells: list[str], instrument: Instrument, venue: TradingCalendar
) -> Document:
    if len(cells) != len(COLUMNS):
        raise BadFileError(
            f"{path}, row {row}: {len(cells)} fields, 2 expected", mend='put a text with commas in "quotes"'
        )
    when, words = cells[0].strip(), cells[1].strip()
    if not words or len(words) > MAX_CHARS:
        given = f"has {len(words):,} characters" if words else "is empty"
        raise BadFileError(f"{path}, row {row}: the text {given}", mend=f"give 1 to {MAX_CHARS:,} characters")
    at = _available_at(path, row, when, venue)
    name = hashlib.sha256(f"{at.isoformat()} {words}".encode()).hexdigest()[:12]
    return Document(f"guidance-{name}", instrument.symbol, "guidance", words, at, at)


def _available_at(path: Path, row: int, given: str, venue: TradingCalendar) -> datetime:
    def refused(why: str) -> BadFileError:
        return BadFileError(f"{path}, row {row}: available_at {given!r} {why}", mend=f"write {_INSTANT}")

    try:
        if len(given) == len("2023-01-05"):
            at = venue.date_only_available_at(date.fromisoformat(given))
        else:
            at = datetime.fromisoformat(given)
    except (ValueError, OverflowError):
        raise refused("is no date") from None
    if at.tzinfo is None:
        raise refused("has no time zone: when it could be read is not known")
    if not FIRST_DAY <= at.date() <= LAST_DAY:
        raise refused(f"is outside {FIRST_DAY} to {LAST_DAY}, the days Varve knows")
    return at.astimezone(UTC)
