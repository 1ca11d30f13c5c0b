"""Daily, weekly and monthly prices from a file as programs and vendors write it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, get_args

from varve.clock import Clock, iso, wall_clock
from varve.errors import SettingError, UnknownNameError
from varve.market.calendars import TradingCalendar, get_calendar
from varve.market.data import Adjustment, BarSeries, InstrumentData, Provenance
from varve.market.sources.guidance import is_guidance
from varve.market.sources.prices.basis import Settled, settled
from varve.market.sources.prices.columns import Columns, columns_of
from varve.market.sources.prices.events import events_of
from varve.market.sources.prices.names import field_of, plain
from varve.market.sources.prices.opening import read_bytes, text_of
from varve.market.sources.prices.parquet_sheet import sheet_of_parquet
from varve.market.sources.prices.sheet import Sheet, sheet_of_text
from varve.market.sources.prices.table import Table, table_of
from varve.market.sources.source import Kind, Request
from varve.market.store import check_ticker
from varve.types import CorporateEvent, Instrument

LOTS = (1e-12, 1e9)
"""Smallest and largest lot size that is taken, in shares or coins."""
_SHOWN = 12


class PriceFiles:
    """Prices from CSV, text or Parquet files, packed by gzip or not: date and close at least."""

    kind: ClassVar[Kind] = "file"
    endings: ClassVar[tuple[str, ...]] = (
        ".csv", ".csv.gz", ".txt", ".txt.gz", ".tsv", ".tsv.gz", ".prn", ".asc", ".parquet", ".pq",
    )  # fmt: skip
    holds: ClassVar[str] = "prices"
    options: ClassVar[frozenset[str]] = frozenset(
        {
            "calendar",
            "columns",
            "header",
            "adjustment",
            "currency",
            "lot_size",
            "date_format",
            "decimal",
            "events",
        }
    )

    def accepts(self, path: Path) -> bool:
        """Whether the file is no guidance, and no other table of texts without prices."""
        return not is_guidance(path) and not _holds_texts(path)

    def read(self, request: Request) -> InstrumentData:
        """Read the file; see :func:`read_request`."""
        return read_request(request)


def _holds_texts(path: Path) -> bool:
    """Whether the first line names a column of texts and none of closes; False where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            cells = [plain(cell.strip('" ')) for cell in re.split(r"[,;\t|]", file.readline(10_000).strip())]
    except (OSError, ValueError):
        return False
    return "text" in cells and not any(field_of(cell) in ("close", "adj_close") for cell in cells)


def read_prices(
    path: Path | str,
    ticker: str,
    *,
    columns: Mapping[str, str] | None = None,
    header: tuple[str, ...] = (),
    calendar: str | None = None,
    currency: str | None = None,
    adjustment: Adjustment | None = None,
    lot_size: float | None = None,
    frequency: str | None = None,
    date_format: str | None = None,
    decimal: str | None = None,
    events: Path | None = None,
    clock: Clock = wall_clock,
) -> InstrumentData:
    """OHLCV, splits and dividends from a file, oldest bar first; only ``date`` and ``close`` are required.

    Args:
        path: CSV text in UTF-8, UTF-16 or Latin-1, with comma, semicolon, tab or bar between fields; or
            Parquet. Either may be packed by gzip.
        ticker: the symbol to store it under; of a file of several it names the one that is read.
        columns: field (one of ``FIELDS``) to header, where the header is not one of the field's names.
        header: what each column of a file without a header is, in order; ``-`` for one to leave out.
        calendar: of ``exchange_calendars``; None means ``XNYS``. Every date must be one of its sessions.
        currency: of the prices; None means what their signs say, else ``USD``.
        adjustment: how the prices are adjusted; None decides it from the prices.
        lot_size: smallest tradable quantity; None means 1, or 1e-4 on ``24/7``.
        frequency: of ``weekly`` and ``monthly`` rows, a date that is no session counts as the next one.
        date_format: as ``strptime`` has it; None reads what leaves one reading.
        decimal: the decimal mark, ``.`` or ``,``; None reads what leaves one reading.
        events: a file of splits and payments, on the same basis as the prices.
        clock: gives ``pulled_at``.

    Returns:
        Bars with ``fill_rule`` ``next_open`` where each has an open, else ``next_close`` (and always where
        sessions follow one another without a break, as the next open is the decision instant).

    Raises:
        BadFileError: naming the row and value that cannot be used, and what mends it.
        UnknownNameError: for a field, calendar or adjustment that does not exist.
        SettingError: for a ticker, currency, lot size or mark that cannot be used.
    """
    request = Request(
        ticker,
        path=Path(path),
        columns=dict(columns or {}),
        header=header,
        calendar=calendar,
        currency=currency,
        adjustment=adjustment,
        lot_size=lot_size,
        frequency=frequency,
        date_format=date_format,
        decimal=decimal,
        events=events,
    )
    return read_request(request, clock=clock)


def read_request(request: Request, *, clock: Clock = wall_clock) -> InstrumentData:
    """The same as :func:`read_prices`, of a :class:`Request`."""
    check_ticker(request.ticker)
    _check_settings(request)
    if request.calendar is not None:
        get_calendar(request.calendar)
    sheet, said = _sheet(request)
    columns = columns_of(request, sheet)
    venue = get_calendar(request.calendar or columns.calendar or "XNYS")
    table = table_of(request, venue, columns)
    events = events_of(request, venue, table.events, table.mark)
    found = settled(request, table, events, adjusted_close=columns.mapped_close_is_adjusted)
    notes = [said, *columns.sheet.notes, *table.notes, *found.notes]
    notes += _left_out(columns, found, request)
    notes.append(_unused(columns))
    return _assembled(request, venue, table, found, notes, clock)


def _check_settings(request: Request) -> None:
    if request.adjustment is not None and request.adjustment not in get_args(Adjustment):
        raise UnknownNameError("adjustment", request.adjustment, get_args(Adjustment))
    size = request.lot_size
    if size is not None and not LOTS[0] <= size <= LOTS[1]:
        raise SettingError(
            f"lot_size is {size}; expected a number above 0, in shares or coins, "
            f"from {LOTS[0]:g} to {LOTS[1]:g}",
            mend="give, for example, --lot-size 1",
        )
    if request.currency is not None and not re.fullmatch(r"[A-Za-z]{3,5}", request.currency):
        raise SettingError(
            f"currency {request.currency!r} cannot be used; expected three to five letters",
            mend="give its code: --currency USD",
        )
    if request.decimal is not None and request.decimal not in (".", ","):
        raise SettingError(
            f"--decimal {request.decimal!r} cannot be used; expected . or ,", mend="give --decimal ,"
        )


def _sheet(request: Request) -> tuple[Sheet, str]:
    raw = read_bytes(request.file)
    if raw.startswith(b"PAR1"):
        return sheet_of_parquet(request, raw), ""
    text, said = text_of(request.file, raw)
    return sheet_of_text(request, text), said


def _left_out(columns: Columns, found: Settled, request: Request) -> list[str]:
    """Leave out prices on another basis than a close that was mapped to an adjusted column."""
    if not columns.mapped_close_is_adjusted:
        return []
    other = [name for name in ("open", "high", "low") if name in found.values and name not in request.columns]
    for name in other:
        del found.values[name]
    if not other:
        return []
    return [
        f"close from {columns.name('close')!r}, so {', '.join(other)} left out, being on another basis of "
        "adjustment"
    ]


def _unused(columns: Columns) -> str:
    names = [name[:40] for name in columns.unused]
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"columns not used: {', '.join(names[:_SHOWN])}{more}"


def _assembled(
    request: Request, venue: TradingCalendar, table: Table, found: Settled, notes: list[str], clock: Clock
) -> InstrumentData:
    bars = BarSeries.from_sessions(
        venue.name,
        table.sessions,
        found.values["close"],
        open=found.values.get("open"),
        high=found.values.get("high"),
        low=found.values.get("low"),
        volume=found.values.get("volume"),
    )
    opens = found.values.get("open")
    each = opens is not None and not math.isnan(opens[1:].sum())
    if opens is not None and not each:
        notes.append("not every bar has an open, so fills are at the close")
    events, outside = _events(request.ticker, found, table)
    if outside:
        notes.append(
            f"{outside} splits and payments are not after the first bar and up to the last: left out"
        )
    currency = request.currency or table.currency or "USD"
    return InstrumentData(
        Instrument(
            request.ticker,
            venue.name,
            currency if currency != currency.lower() else currency.upper(),
            request.lot_size or (1e-4 if venue.always_open else 1.0),
        ),
        bars,
        Provenance(
            source=f"csv:{request.file.name}",
            adjustment=found.adjustment,
            fill_rule="next_open" if each and not venue.continuous else "next_close",
            pulled_at=iso(clock()),
            note="; ".join(dict.fromkeys(note for note in notes if note)),
        ),
        (),
        events,
    )


def _events(ticker: str, found: Settled, table: Table) -> tuple[tuple[CorporateEvent, ...], int]:
    every = [CorporateEvent(ticker, "split", day, ratio) for day, ratio in found.splits.items()]
    every += [CorporateEvent(ticker, "dividend", day, cash) for day, cash in found.payments.items()]
    inside = tuple(e for e in every if table.sessions[0] < e.session <= table.sessions[-1])
    return inside, len(every) - len(inside)
