"""From a column of dates to sessions of a calendar: one style, one time zone, one row each, in one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from varve.errors import BadFileError, SettingError
from varve.market.calendars import TradingCalendar, get_calendar
from varve.market.sources.prices.dates import Style, given_style, plain_date, styles_of
from varve.market.sources.source import Request

Cell = tuple[int, str]
"""A row's line in the file and its date's text."""


@dataclass
class Dates:
    """The session of each row, in the file's order, and what to say of how they were read.

    ``skipped`` counts the oldest rows, which lie before the days that the calendar knows.
    """

    sessions: list[date]
    reverse: bool = False
    skipped: int = 0
    notes: list[str] = field(default_factory=list)


def sessions_of(request: Request, venue: TradingCalendar, cells: Sequence[Cell]) -> Dates:
    """The sessions that the dates of a file name.

    Where day and month may be exchanged, the reading counts under which all dates are sessions in order;
    where two do, none is taken.

    Raises:
        BadFileError: naming the row whose date cannot be used.
        SettingError: if the format given is none.
    """
    style = _style(request, venue, [text for _, text in cells])
    stamps = [_stamp(request, style, row, text) for row, text in cells]
    _check_zones(request, venue, cells, stamps)
    found = Dates([plain_date(stamp, venue.timezone) for stamp in stamps])
    if style.code.startswith(("%d", "%m", "%y")) and request.date_format is None:
        found.notes.append(f"dates read as {style.words} ({style.code})")
    found.reverse = len(cells) > 1 and _falling(found.sessions)
    if found.reverse:
        found.notes.append("newest first in the file, sorted here")
    ages = found.sessions[::-1] if found.reverse else found.sessions
    found.skipped = next((n for n, day in enumerate(ages) if day >= venue.first_day), 0)
    if found.skipped:
        found.notes.append(f"rows before {venue.first_day}, left out: {found.skipped}")
    _on_sessions(request, venue, cells, found)
    _check_order(request, cells, found)
    return found


def _style(request: Request, venue: TradingCalendar, texts: list[str]) -> Style:
    if request.date_format is not None:
        if "%" not in request.date_format:
            raise SettingError(
                f"--date-format {request.date_format!r} names no part of a date",
                mend="write it as strptime has it: --date-format %d/%m/%Y",
            )
        return given_style(request.date_format)
    styles = styles_of(texts)
    if len(styles) == 1:
        return styles[0]
    if not any(date.min not in _days(style, texts) for style in styles):
        return styles[0]  # no style reads every row: the first that it does not read is refused by name
    styles = [style for style in styles if date.min not in _days(style, texts)]
    moves = request.frequency in ("weekly", "monthly")
    fitting = [style for style in styles if _all_sessions(venue, style, texts, moves=moves)]
    fitting += [style for style in styles if _is_rival(style, fitting, texts)]
    if len({tuple(_days(style, texts)) for style in fitting or styles}) == 1:
        return (fitting or styles)[0]
    ways = _ways(request, venue, fitting or styles, texts, moves=moves)
    if not ways:
        return styles[0]  # not in order under any: the row is refused by name
    sample = next(text for text in texts if len({style.read(text) for style in styles}) > 1)
    raise BadFileError(
        f"{request.file}: the date {sample!r} can be read in {len(fitting or styles)} ways, and nothing in "
        "the file says which",
        mend=f"say how dates are written; {'; '.join(ways)}",
    )


def _is_rival(style: Style, fitting: list[Style], texts: list[str]) -> bool:
    """Whether a reading on weekdays in order packs into a third of the time that the fitting one takes.

    Daily rows of another venue may be sessions, months apart, when day and month are exchanged.
    """
    if len(fitting) != 1 or style in fitting:
        return False
    days, other = _days(style, texts), _days(fitting[0], texts)
    weekdays = all(day.weekday() < 5 for day in days)
    return weekdays and _ordered(days) and 3 * abs(days[-1] - days[0]) < abs(other[-1] - other[0])


def _ordered(days: Sequence[date]) -> bool:
    return all(a < b for a, b in pairwise(days)) or _falling(days)


def _ways(
    request: Request, venue: TradingCalendar, styles: list[Style], texts: list[str], *, moves: bool
) -> list[str]:
    """The commands that read the file in one way each, on a calendar that has its dates."""
    found = []
    for style in styles:
        for name in (venue.name, "24/5", "24/7"):
            if _all_sessions(get_calendar(name), style, texts, moves=moves):
                calendar = request.calendar if name == venue.name else name
                found.append(f"{style.words}: {request.command(date_format=style.code, calendar=calendar)}")
                break
    return found


def _days(style: Style, texts: list[str]) -> list[date]:
    found = []
    for text in texts:
        try:
            found.append(style.read(text).date())
        except (ValueError, OverflowError):
            found.append(date.min)
    return found


def _all_sessions(venue: TradingCalendar, style: Style, texts: list[str], *, moves: bool) -> bool:
    days = _days(style, texts)
    return _ordered(days) and (moves or all(day < venue.first_day or venue.is_session(day) for day in days))


def _falling(days: Sequence[date]) -> bool:
    """Whether the dates run backwards, but for single rows that are wrong in any order."""
    falls = sum(a > b for a, b in pairwise(days))
    return len(days) > 1 and falls > 0.9 * (len(days) - 1)


def _stamp(request: Request, style: Style, row: int, text: str) -> datetime:
    try:
        return style.read(text)
    except (ValueError, OverflowError):
        given = "is empty" if not text else f"is {text[:40]!r}"
        expected = "YYYY-MM-DD" if style.words == "YYYY-MM-DD" else f"{style.words}, as in the other rows"
        raise BadFileError(
            f"{request.file}, row {row}: the date {given}; expected {expected}",
            mend="write all dates alike, best as YYYY-MM-DD, for example 2023-01-31",
        ) from None


def _check_zones(
    request: Request, venue: TradingCalendar, cells: Sequence[Cell], stamps: Sequence[datetime]
) -> None:
    """One offset throughout, or the venue's own, which moves with summer time."""
    first = stamps[0].utcoffset()
    there = {datetime(2024, month, 1, tzinfo=venue.timezone).utcoffset() for month in (1, 7)}
    for (row, text), stamp in zip(cells, stamps, strict=True):
        offset = stamp.utcoffset()
        if offset == first:
            continue
        own = stamp.astimezone(UTC).astimezone(venue.timezone).utcoffset() if offset is not None else None
        if offset is not None and first in there and own == offset:
            continue
        raise BadFileError(
            f"{request.file}, row {row}: {text!r} is {_zone(offset)}, row {cells[0][0]} is {_zone(first)}; "
            "expected one time zone throughout",
            mend="write plain dates, YYYY-MM-DD",
        )


def _zone(offset: timedelta | None) -> str:
    if offset is None:
        return "without a time zone"
    minutes = int(offset.total_seconds()) // 60
    name = f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    return f"in {name if minutes else 'UTC'}"


def _on_sessions(request: Request, venue: TradingCalendar, cells: Sequence[Cell], found: Dates) -> None:
    """Check that every date is a session; of weekly and monthly bars, move it on to the next one."""
    moved = 0
    for n, day in enumerate(found.sessions):
        age = len(cells) - 1 - n if found.reverse else n
        if venue.is_session(day) or age < found.skipped:
            continue
        moves = request.frequency in ("weekly", "monthly") and day < venue.last_day
        later = venue.sessions(day, min(day + timedelta(days=10), venue.last_day)) if moves else []
        if not later or day < venue.first_day:
            raise _no_session(request, venue, cells[n][0], day, found.sessions)
        # Never the one before: the bar may hold what came after it.
        found.sessions[n], moved = later[0], moved + 1
    if moved:
        found.notes.append(f"dates without a session, counted as the next one: {moved}")


def _no_session(
    request: Request, venue: TradingCalendar, row: int, day: date, days: Sequence[date]
) -> BadFileError:
    if not venue.first_day <= day <= venue.last_day:
        reason = f"outside {venue.first_day} to {venue.last_day}, the days Varve knows of {venue.name}"
        return BadFileError(f"{request.file}, row {row}: {day} is {reason}", mend="correct the date")
    names = ["24/7"] if any(one.weekday() >= 5 for one in days) else ["24/5", "24/7"]
    fits = [name for name in names if all(get_calendar(name).is_session(one) for one in days)][:1]
    kind = {"24/7": "an instrument that trades every day", "24/5": "currencies"}
    mends = [f"for {kind[name]}: {request.command(calendar=name)}" for name in fits]
    mends += [
        "for another exchange name its calendar: --calendar XLON",
        "for weekly or monthly bars add --frequency",
        "else remove the row",
    ]
    return BadFileError(
        f"{request.file}, row {row}: {day} is a {day:%A} and no session of the calendar {venue.name}",
        mend="; ".join(mends),
    )


def _check_order(request: Request, cells: Sequence[Cell], found: Dates) -> None:
    rows = [(row, day) for (row, _), day in zip(cells, found.sessions, strict=True)]
    seen: dict[date, int] = {}
    for row, day in rows:
        if day in seen:
            raise BadFileError(
                f"{request.file}, row {row}: {day} is there twice, in row {seen[day]} too",
                mend="keep one row per session; bars shorter than a day are not read",
            )
        seen[day] = row
    ordered = rows[::-1] if found.reverse else rows
    for (earlier_row, earlier), (row, day) in pairwise(ordered):
        if day <= earlier:
            if found.reverse:
                earlier_row, earlier, row, day = row, day, earlier_row, earlier
            raise BadFileError(
                f"{request.file}, row {row}: {day} comes after {earlier} in row {earlier_row}; "
                "expected dates in one order",
                mend="sort the file by date",
            )
