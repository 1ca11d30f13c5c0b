"""The numbers of a price file: one value or unknown per bar and field, checked against one another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np

from varve.errors import BadFileError
from varve.market.calendars import TradingCalendar
from varve.market.data import Floats
from varve.market.sources.files import rounding_tolerance
from varve.market.sources.prices.columns import Columns
from varve.market.sources.prices.numbers import SIGNS, currency_sign, decimal_mark, is_unknown, parse
from varve.market.sources.prices.sessions import sessions_of
from varve.market.sources.source import Request

PRICES = ("open", "high", "low", "close", "adj_close")
_EVENTS = ("dividends", "splits", "capital_gains")
_NUMBERS = (*PRICES, "volume", *_EVENTS)
_ORDERED = (("high", "low"), ("high", "open"), ("high", "close"), ("open", "low"), ("close", "low"))


@dataclass
class Table:
    """Bars as the file gives them, oldest first: NaN where it has no value.

    ``values`` are in the file's currency per share and in shares; a field that the file lacks is not in
    it. ``digits`` counts the digits behind the point of a field. ``events`` are the cells of splits and
    payments: kind, day, row, text.
    """

    sessions: list[date]
    values: dict[str, Floats]
    digits: dict[str, int] = field(default_factory=dict)
    events: list[tuple[str, date, int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    currency: str | None = None
    mark: str = "."


def table_of(request: Request, venue: TradingCalendar, columns: Columns) -> Table:
    """Read every cell that is used.

    Raises:
        BadFileError: naming the row and value that cannot be used.
    """
    notes: list[str] = []
    columns = _with_bars(request, columns, notes)
    there = [name for name in _NUMBERS if name in columns.at]
    mark = _mark(request, columns, there)
    dates = sessions_of(
        request, venue, list(zip((row for row, _ in columns.sheet.rows), columns.cells("date"), strict=True))
    )
    rows = [row for row, _ in columns.sheet.rows]
    read: dict[str, list[float]] = {}
    for name in there:
        if name not in _EVENTS:
            read[name] = [
                _value(request, row, columns.name(name), name, text, mark)
                for row, text in zip(rows, columns.cells(name), strict=True)
            ]
    order = slice(len(rows) - 1 - dates.skipped, None, -1) if dates.reverse else slice(dates.skipped, None)
    table = Table(
        dates.sessions[order],
        {name: np.array(column, dtype=np.float64)[order] for name, column in read.items()},
        {name: _digits(columns.cells(name), mark) for name in ("close", "adj_close") if name in there},
        _event_cells(columns, dates.sessions, rows),
        [*notes, *dates.notes],
        _currency(request, columns),
        mark,
    )
    _check_ranges(request, table, rows[order])
    _say_unknown(table)
    return table


def _with_bars(request: Request, columns: Columns, notes: list[str]) -> Columns:
    """Leave out rows of which no price is known: an empty tail, or a listed day without trading."""
    priced = [columns.cells(name) for name in ("open", "high", "low", "close") if name in columns.at]
    empty = [all(is_unknown(cells[n]) for cells in priced) for n in range(len(columns.sheet.rows))]
    if not any(empty):
        return columns
    events = [columns.cells(name) for name in _EVENTS if name in columns.at]
    kept = [row for row, one in zip(columns.sheet.rows, empty, strict=True) if not one]
    paid = sum(one and any(not _nothing(cells[n]) for cells in events) for n, one in enumerate(empty))
    if not kept:
        row = columns.sheet.rows[0][0]
        raise BadFileError(
            f"{request.file}, row {row}: {columns.name('close')} is empty, and so it is in every row",
            mend="give a file with prices in it",
        )
    notes.append(f"rows without any price, left out: {sum(empty)}")
    if paid:
        raise BadFileError(
            f"{request.file} has {paid} rows with a split or a payment and without a price",
            mend="put these events into a file of their own and give it with --events",
        )
    return replace(columns, sheet=replace(columns.sheet, rows=kept))


def _nothing(text: str) -> bool:
    return is_unknown(text) or text.strip(" $0.,") in ("", "1", "1:1", "1/1")


def _mark(request: Request, columns: Columns, there: Iterable[str]) -> str:
    if columns.sheet.typed:
        return "."
    if request.decimal is not None:
        return request.decimal
    try:
        mark = decimal_mark(cell for name in there for cell in columns.cells(name))
    except ValueError as error:
        raise BadFileError(
            f"{request.file}: {error}; expected one decimal mark throughout",
            mend="write all numbers alike, with a decimal point and no thousands separators",
        ) from None
    if mark is None:
        sample = next(cell for name in there for cell in columns.cells(name) if "," in cell)
        raise BadFileError(
            f"{request.file}: {sample!r} can be read with a decimal comma or with a comma between thousands",
            mend=f"say which; decimal comma: {request.command(decimal=',')}; thousands: "
            f"{request.command(decimal='.')}",
        )
    return mark


def _value(request: Request, row: int, header: str, name: str, text: str, mark: str) -> float:
    if is_unknown(text) and name != "close":
        return np.nan
    try:
        value = parse(text, mark, suffix=name == "volume")
    except ValueError:
        given = "is empty" if not text else f"is {text[:40]!r}, which is no plain number"
        mend = "correct the row, or remove it where there was no trade"
        if "," in text and request.decimal is None and _reads(text, "," if mark == "." else "."):
            mend = f"say what its comma is: {request.command(decimal=',' if mark == '.' else '.')}"
        raise BadFileError(f"{request.file}, row {row}: {header} {given}", mend=mend) from None
    if value == 0 and name in ("open", "high", "low", "adj_close"):
        return np.nan  # a price that was not recorded, as many programs write it
    if value < 0 or (value == 0 and name != "volume"):
        kind = "negative" if value < 0 else "zero"
        raise BadFileError(
            f"{request.file}, row {row}: {header} is {text!r}; expected a number "
            f"{'of at least' if name == 'volume' else 'above'} 0, not a {kind} one",
            mend="correct the row, or remove it where there was no trade",
        )
    return value


def _reads(text: str, mark: str) -> bool:
    try:
        parse(text, mark)
    except ValueError:
        return False
    return True


def _digits(cells: Iterable[str], mark: str) -> int:
    return max((len(cell.rpartition(mark)[2].rstrip("0")) for cell in cells if mark in cell), default=0)


def _event_cells(columns: Columns, sessions: list[date], rows: list[int]) -> list[tuple[str, date, int, str]]:
    found = []
    for name in _EVENTS:
        if name in columns.at:
            cells = zip(sessions, rows, columns.cells(name), strict=True)
            found += [(name, day, row, text) for day, row, text in cells if not is_unknown(text)]
    return found


def _currency(request: Request, columns: Columns) -> str | None:
    """The currency that the prices' signs say; None without one."""
    signs = {currency_sign(cell) for cell in columns.cells("close")} - {""}
    if not signs or request.currency is not None:
        return None
    found = {SIGNS.get(sign, "") for sign in signs}
    if len(found) > 1 or "" in found:
        raise BadFileError(
            f"{request.file}: prices are written with {' and '.join(sorted(signs))}, which may be more than "
            "one currency",
            mend=f"say which it is, for example: {request.command(currency='JPY')}",
        )
    return found.pop()


def _check_ranges(request: Request, table: Table, rows: list[int]) -> None:
    values, close = table.values, table.values["close"]
    tolerance = np.array([rounding_tolerance(float(price)) for price in close])
    for upper, lower in _ORDERED:
        if upper not in values or lower not in values:
            continue
        with np.errstate(invalid="ignore"):
            wrong = values[upper] < values[lower] - tolerance
        if not wrong.any():
            continue
        n = int(wrong.argmax())
        named, other, word = (upper, lower, "below") if upper == "high" else (lower, upper, "above")
        raise BadFileError(
            f"{request.file}, row {rows[n]} ({table.sessions[n]}): {named} {values[named][n]} is {word} "
            f"{other} {values[other][n]}",
            mend="correct the row; a mapping that mixes adjusted and unadjusted columns does this too",
        )


def _say_unknown(table: Table) -> None:
    for name in ("open", "high", "low", "volume", "adj_close"):
        if name not in table.values:
            continue
        unknown = int(np.isnan(table.values[name]).sum())
        if unknown == len(table.sessions):
            table.notes.append(f"{name} is empty or 0 in every row: unknown")
            del table.values[name]
        elif unknown:
            table.notes.append(f"{name} is empty or 0 in {unknown} rows: unknown there")
