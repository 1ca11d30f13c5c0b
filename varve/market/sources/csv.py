"""Daily prices from a CSV file, with column mapping; every refusal names the row and its value."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from varve.clock import Clock, iso, wall_clock
from varve.errors import BadFileError, SettingError, UnknownNameError, near_names
from varve.market.calendars import FIRST_DAY, LAST_DAY, TradingCalendar, get_calendar
from varve.market.data import Adjustment, BarSeries, InstrumentData, Provenance
from varve.market.sources.files import number, read_text
from varve.market.sources.guidance import is_guidance
from varve.market.sources.source import Kind, Request
from varve.market.store import check_ticker
from varve.types import Instrument

if TYPE_CHECKING:
    from _csv import Reader

FIELDS = ("date", "open", "high", "low", "close", "volume")
"""What a column can be mapped to; ``date`` and ``close`` are required."""

_ALIASES = {
    "date": ("date", "session", "day", "datetime", "timestamp", "time"),
    "open": ("open", "open price"),
    "high": ("high", "high price"),
    "low": ("low", "low price"),
    "close": ("close", "close price", "close/last", "last"),
    "volume": ("volume", "vol", "vol."),
}
_ORDERED = (("high", "low"), ("high", "open"), ("high", "close"), ("open", "low"), ("close", "low"))
_EXPECTED = "CSV text (a header row, then one row per session)"


class CsvSource:
    """Prices from a CSV file: date and close at least."""

    kind: ClassVar[Kind] = "file"
    endings: ClassVar[tuple[str, ...]] = (".csv",)
    holds: ClassVar[str] = "prices"
    options: ClassVar[frozenset[str]] = frozenset({"calendar", "columns"})

    def accepts(self, path: Path) -> bool:
        """Whether the file is no guidance."""
        return not is_guidance(path)

    def read(self, request: Request) -> InstrumentData:
        """Read the file; see :func:`read_csv`."""
        columns, calendar = dict(request.columns) or None, request.calendar or "XNYS"
        return read_csv(
            request.file, request.ticker, columns=columns, calendar=calendar, frequency=request.frequency
        )


def read_csv(
    path: Path,
    ticker: str,
    *,
    columns: Mapping[str, str] | None = None,
    calendar: str = "XNYS",
    currency: str = "USD",
    adjustment: Adjustment | None = None,
    lot_size: float | None = None,
    frequency: str | None = None,
    clock: Clock = wall_clock,
) -> InstrumentData:
    """OHLCV from a CSV file, oldest row first; only ``date`` and ``close`` are required.

    Args:
        path: a UTF-8 file; comma, semicolon or tab between fields, a decimal point in numbers.
        ticker: the symbol to store it under.
        columns: field (one of ``FIELDS``) to header, where the header is not the field's usual name.
        calendar: ``XNYS`` or ``24/7``; every date must be one of its sessions.
        currency: of the prices.
        adjustment: how the prices are adjusted; None means ``split_adjusted``, or ``back_adjusted``
            where the close comes from an "adjusted close" column. Such a close has no open, high and
            low on its own basis, so these are left out unless mapped.
        lot_size: smallest tradable quantity; None means 1, or 1e-4 on ``24/7``.
        frequency: of ``weekly`` and ``monthly`` rows, a date that is no session counts as the next one.
        clock: gives ``pulled_at``.

    Returns:
        Bars with ``fill_rule`` ``next_open`` where the file has opens, else ``next_close`` (and always
        on ``24/7``, where the next open is the decision instant); no documents and no events.

    Raises:
        BadFileError: naming the row and value that cannot be used; nothing is half read.
        UnknownNameError: for a field or calendar that does not exist.
        SettingError: for a ticker or lot size that cannot be used.
    """
    path, venue = Path(path), get_calendar(calendar)
    if lot_size is not None and not lot_size > 0:
        raise SettingError(f"lot_size is {lot_size}; expected a number above 0, in shares or coins")
    table = _open_table(path, check_ticker(ticker), dict(columns or {}))
    checks = _DateChecks(path, ticker, venue, moves=frequency in ("weekly", "monthly"))
    bars = _read_rows(path, checks, table)
    return InstrumentData(
        Instrument(ticker, calendar, currency, lot_size or (1e-4 if venue.always_open else 1.0)),
        BarSeries.from_sessions(
            calendar,
            bars.sessions,
            bars.values["close"],
            open=bars.values.get("open"),
            high=bars.values.get("high"),
            low=bars.values.get("low"),
            volume=bars.values.get("volume"),
        ),
        Provenance(
            source=f"csv:{path.name}",
            adjustment=adjustment or ("back_adjusted" if table.adjusted_close else "split_adjusted"),
            fill_rule="next_open" if "open" in bars.values and not venue.always_open else "next_close",
            pulled_at=iso(clock()),
            note=_note(table, checks.moved),
        ),
    )


def _read_rows(path: Path, checks: _DateChecks, table: _Table) -> _Columns:
    bars = _Columns()
    for row, cells in table.rows():
        bars.sessions.append(checks.session(row, cells["date"]))
        prices = {
            name: _value(path, row, table.header[name], cells[name], zero_is_fine=name == "volume")
            for name in cells
            if name != "date"
        }
        _check_range(path, row, bars.sessions[-1], prices)
        for name, value in prices.items():
            bars.values.setdefault(name, []).append(value)
    if not bars.sessions:
        raise BadFileError(f"{path} has a header but no rows", mend="give a file with one row per session")
    return bars


@dataclass
class _Columns:
    sessions: list[date] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class _Table:
    """A CSV file with its header resolved: field to header text and position."""

    path: Path
    reader: Reader
    header: dict[str, str]
    position: dict[str, int]
    width: int
    adjusted_close: bool
    left_out: tuple[str, ...]

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Row number in the file (the header is row 1) and the text of each field."""
        for cells in _guarded(self.path, self.reader):
            row = self.reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != self.width:
                raise BadFileError(
                    f"{self.path}, row {row}: {len(cells)} fields, the header has {self.width}: "
                    f"{','.join(cells)[:80]!r}",
                    mend="the row may be cut short, or a value may hold an unquoted separator",
                )
            yield row, {name: cells[at].strip() for name, at in self.position.items()}


def _guarded(path: Path, reader: Reader) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        row = reader.line_num
        raise BadFileError(f"{path}, row {row}: {error}", mend=f"give {_EXPECTED}") from error


def _open_table(path: Path, ticker: str, columns: dict[str, str]) -> _Table:
    text = read_text(path, _EXPECTED)
    start = text.lstrip()[:1]
    if start in "{[<":
        what = "HTML or XML" if start == "<" else "JSON"
        mend = (
            "download the data itself, not the page about it"
            if start == "<"
            else f"if it is INVESTOR-BENCH's: backtest data import {path.stem}.json --ticker {ticker}"
        )
        raise BadFileError(f"{path} looks like {what}, not {_EXPECTED}", mend=mend)
    first_line = text.lstrip().splitlines()[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    for cells in _guarded(path, reader):
        if any(cell.strip() for cell in cells):
            header = [cell.strip() for cell in cells]
            break
    found = _resolve(path, ticker, header, columns)
    adjusted = found["close"].lower().replace("_", " ").startswith("adj")
    left_out: tuple[str, ...] = ()
    if adjusted:
        left_out = tuple(name for name in ("open", "high", "low") if name in found and name not in columns)
    for name in left_out:
        del found[name]
    position = {name: header.index(text) for name, text in found.items()}
    return _Table(path, reader, found, position, len(header), adjusted, left_out)


def _resolve(path: Path, ticker: str, header: list[str], columns: dict[str, str]) -> dict[str, str]:
    """Field to header text, by mapping first and usual names second, ignoring case."""
    by_lower: dict[str, list[str]] = {}
    for text in header:
        by_lower.setdefault(text.lower(), []).append(text)
    found: dict[str, str] = {}
    for name in columns:
        if name not in FIELDS:
            raise UnknownNameError("CSV field", name, FIELDS)
    for name in FIELDS:
        wanted = [columns[name]] if name in columns else list(_ALIASES[name])
        for text in wanted:
            same = by_lower.get(text.strip().lower(), [])
            if len(same) > 1:
                raise BadFileError(
                    f"{path}, row 1: the header has {len(same)} columns named {text!r}; expected one",
                    mend="rename or remove all but one",
                )
            if same:
                found[name] = same[0]
                break
        if name not in found and (name in columns or name in ("date", "close")):
            raise _missing_column(path, ticker, name, wanted[0], header)
    return found


def _missing_column(path: Path, ticker: str, name: str, wanted: str, header: list[str]) -> BadFileError:
    # A header may hold the word inside a longer name ("Adj Close"), which edit distance rates low.
    inside = [text for text in header if wanted.lower() in text.lower()]
    close = inside or near_names(wanted, header)
    example = close[0] if close else "HEADER"
    return BadFileError(
        f"{path}, row 1: no column {wanted!r} for {name}; the header is {', '.join(header)[:200]!r}",
        mend=f"map it: backtest data import {path.name} --ticker {ticker} --column {name}={example!r}",
    )


def _value(path: Path, row: int, header: str, text: str, *, zero_is_fine: bool) -> float:
    try:
        value = number(text)
    except ValueError:
        given = "is empty" if not text else f"is {text!r}, which is no plain number"
        raise BadFileError(
            f"{path}, row {row}: {header} {given}",
            mend="write numbers like 1234.5, without thousands separators or signs; remove rows without data",
        ) from None
    if value < 0 or (value == 0 and not zero_is_fine):
        kind = "negative" if value < 0 else "zero"
        raise BadFileError(
            f"{path}, row {row}: {header} is {text!r}; expected a number "
            f"{'of at least' if zero_is_fine else 'above'} 0, not a {kind} one",
            mend="correct the row, or remove it where there was no trade",
        )
    return value


def rounding_tolerance(price: float) -> float:
    """How far highs and lows may be off by rounding, in currency: a cent, or 0.1 % of a smaller price."""
    return min(0.01, 1e-3 * price) + 1e-6 * price


def _check_range(path: Path, row: int, session: date, prices: Mapping[str, float]) -> None:
    tolerance = rounding_tolerance(prices["close"])
    for upper, lower in _ORDERED:
        if upper not in prices or lower not in prices:
            continue
        if prices[upper] < prices[lower] - tolerance:
            named, other, word = (upper, lower, "below") if upper == "high" else (lower, upper, "above")
            raise BadFileError(
                f"{path}, row {row} ({session}): {named} {prices[named]} is {word} {other} {prices[other]}",
                mend="correct the row; a mapping that mixes adjusted and unadjusted columns does this too",
            )


class _DateChecks:
    """Dates as sessions, in order, once each, and in one time zone."""

    def __init__(self, path: Path, ticker: str, venue: TradingCalendar, *, moves: bool) -> None:
        self.path, self.ticker, self.venue = path, ticker, venue
        self.moves, self.moved = moves, 0
        self.last: tuple[int, date] | None = None
        self.zone: tuple[int, timedelta | None] | None = None

    def session(self, row: int, text: str) -> date:
        """The session that a row's date names."""
        day = self._day(row, text)
        if not self.venue.is_session(day):
            later = self.venue.sessions(day, day + timedelta(days=10)) if self.moves else []
            if not later:
                raise self._no_session(row, day)
            # Never the one before: the bar may hold what came after it.
            day, self.moved = later[0], self.moved + 1
        if self.last is not None and day <= self.last[1]:
            earlier_row, earlier = self.last
            if day == earlier:
                raise BadFileError(
                    f"{self.path}, row {row}: {day} is there twice, in row {earlier_row} too",
                    mend="keep one row per session; bars shorter than a day are not read",
                )
            raise BadFileError(
                f"{self.path}, row {row}: {day} comes after {earlier} in row {earlier_row}; "
                "expected dates in rising order",
                mend="sort the file by date, oldest first",
            )
        self.last = (row, day)
        return day

    def _day(self, row: int, text: str) -> date:
        try:
            stamp = datetime.fromisoformat(text)
        except ValueError:
            given = "is empty" if not text else f"is {text!r}"
            raise BadFileError(
                f"{self.path}, row {row}: the date {given}; expected YYYY-MM-DD",
                mend="write dates as YYYY-MM-DD, for example 2023-01-31",
            ) from None
        offset = stamp.utcoffset()
        self._check_zone(row, text, stamp, offset)
        if offset is None or stamp.timetz().replace(tzinfo=None) == datetime.min.time():
            return stamp.date()  # midnight in any zone is how tables write a plain date
        return stamp.astimezone(self.venue.timezone).date()

    def _check_zone(self, row: int, text: str, stamp: datetime, offset: timedelta | None) -> None:
        """One offset throughout, or the venue's own, which moves with summer time."""
        if self.zone is None:
            self.zone = (row, offset)
            return
        first_row, first = self.zone
        if offset == first:
            return
        if offset is not None and first is not None and self._is_venues(stamp) and self.first_was_venues:
            return
        raise BadFileError(
            f"{self.path}, row {row}: {text!r} is {_zone(offset)}, row {first_row} is {_zone(first)}; "
            "expected one time zone throughout",
            mend="write plain dates, YYYY-MM-DD",
        )

    @property
    def first_was_venues(self) -> bool:
        """Whether the first row's offset is one that the venue's clock ever has."""
        first = self.zone[1] if self.zone else None
        return any(
            datetime(2024, month, 1, tzinfo=self.venue.timezone).utcoffset() == first for month in (1, 7)
        )

    def _is_venues(self, stamp: datetime) -> bool:
        there = stamp.astimezone(UTC).astimezone(self.venue.timezone)
        return there.utcoffset() == stamp.utcoffset()

    def _no_session(self, row: int, day: date) -> BadFileError:
        if not FIRST_DAY <= day <= LAST_DAY:
            reason, mend = f"outside {FIRST_DAY} to {LAST_DAY}, the days Varve knows", "correct the date"
        else:
            weekday = f"{day:%A}"
            reason = f"a {weekday} and no session of the calendar {self.venue.name}"
            mend = (
                f"for an instrument that trades every day: backtest data import {self.path.name} "
                f"--ticker {self.ticker} --calendar 24/7; for weekly or monthly bars add --frequency; "
                "else remove the row"
            )
        return BadFileError(f"{self.path}, row {row}: {day} is {reason}", mend=mend)


def _zone(offset: timedelta | None) -> str:
    return "without a time zone" if offset is None else f"in {UTC if not offset else _offset_name(offset)}"


def _offset_name(offset: timedelta) -> str:
    minutes = int(offset.total_seconds()) // 60
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _note(table: _Table, moved: int) -> str:
    parts = []
    if table.left_out:
        parts.append(
            f"close from {table.header['close']!r}; {', '.join(table.left_out)} left out, "
            "being on another basis of adjustment"
        )
    if moved:
        parts.append(f"dates without a session, counted as the next one: {moved}")
    return "; ".join(parts)


__all__ = ["FIELDS", "read_csv", "rounding_tolerance"]
