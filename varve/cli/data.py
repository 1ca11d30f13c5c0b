"""The ``backtest data`` verbs: bring prices and news into the store, and look at what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from varve import registry
from varve.clock import iso
from varve.errors import BadFileError, UnknownNameError, UsageError
from varve.market.data import InstrumentData
from varve.market.sources.guidance import is_guidance
from varve.market.store import Store, StoreEntry
from varve.market.view import GUIDANCE

_FILE_SOURCES = {".csv": "csv", ".json": "investorbench"}
_NOT_PULLED = frozenset({*_FILE_SOURCES.values(), "sample"})


def import_file(file: Path, ticker: str, *, calendar: str | None, columns: Mapping[str, str]) -> None:
    """Read a file by the source that its name tells, and store it.

    A CSV with the columns ``available_at`` and ``text`` is guidance on a ticker that is stored already.

    Raises:
        BadFileError: if the file is missing or not what its name says; nothing is stored.
    """
    source = _FILE_SOURCES.get(file.suffix.lower())
    if source is None:
        raise BadFileError(
            f"{file} has the ending {file.suffix!r}; expected .csv (prices) or .json (INVESTOR-BENCH)",
            mend="rename it to what it is",
        )
    if source == "csv" and is_guidance(file):
        if calendar is not None or columns:
            raise UsageError("--calendar and --column are for files of prices", mend="leave them out")
        _import_guidance(file, ticker)
        return
    options: dict[str, Any] = {} if calendar is None else {"calendar": calendar}
    if source == "csv":
        options["columns"] = dict(columns) or None
    elif columns:
        raise UsageError("--column is for CSV files only", mend="leave it out")
    data = registry.load("sources", source)(file, ticker.strip().upper(), **options)
    _store(data)


def _import_guidance(file: Path, ticker: str) -> None:
    """Put an expert's guidance beside a ticker's stored prices, in place of any that was there."""
    from varve.market.sources.guidance import read_guidance

    stored = Store().read(ticker.strip().upper())
    guidance = read_guidance(file, stored.instrument)
    kept = tuple(d for d in stored.documents if d.kind != GUIDANCE)
    entry = Store().write(replace(stored, documents=(*kept, *guidance)))
    print(
        f"stored {len(guidance)} pieces of guidance on {entry.ticker}, readable from "
        f"{iso(guidance[0].available_at)} to {iso(guidance[-1].available_at)}"
    )


def pull(ticker: str, *, source: str, start: date, end: date | None) -> None:
    """Pull a ticker over the network and store it; the only verb that touches the network.

    Raises:
        UnknownNameError: if the source is unknown or cannot pull.
        DataError: if nothing came; what was stored before is kept.
    """
    pulling = [name for name in registry.names("sources") if name not in _NOT_PULLED]
    if source not in pulling:
        raise UnknownNameError("source to pull from", source, pulling)
    _store(registry.load("sources", source)(ticker.strip().upper(), start=start, end=end))


def print_list() -> None:
    """Stored tickers with their provenance, then the sample worlds."""
    from varve.market.worlds import TICKERS

    console = Console(highlight=False)
    entries = Store().list()
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name in ("ticker", "from", "to", "bars", "documents", "source", "adjustment", "fill"):
        table.add_column(name, justify="right" if name in ("bars", "documents") else "left")
    for e in entries:
        if e.problem:
            table.add_row(e.ticker, f"[red]{e.problem}[/red]")
        else:
            table.add_row(
                e.ticker, e.first_session, e.last_session, str(e.bars), str(e.documents),
                e.source, e.adjustment, e.fill_rule,
            )  # fmt: skip
    if entries:
        console.print(table)
    else:
        console.print("nothing stored yet: backtest data import FILE --ticker TICKER")
    console.print(f"synthetic sample worlds, always there: {', '.join(TICKERS)}", style="yellow")


def print_ticker(ticker: str) -> None:
    """What is known of one ticker: stored data where there is some, else its sample world.

    Raises:
        UnknownNameError: if neither has it.
    """
    from varve.market.worlds import TICKERS, sample_world

    name, store = ticker.strip().upper(), Store()
    if store.has(name):
        data = store.read(name)
    elif name in TICKERS:
        data = sample_world(name)
    else:
        raise UnknownNameError("ticker", name, [*store.tickers(), *TICKERS])
    console = Console(highlight=False)
    for label, value in _facts(data):
        console.print(f"[bold]{label:<14}[/bold] {value}", soft_wrap=True)


def _facts(data: InstrumentData) -> list[tuple[str, str]]:
    from varve.market.calendars import get_calendar

    bars, origin, instrument = data.bars, data.provenance, data.instrument
    first, last = bars.session(0), bars.session(len(bars) - 1)
    sessions = get_calendar(instrument.calendar).sessions(first, last)
    kinds = {kind: sum(d.kind == kind for d in data.documents) for kind in ("news", "10-Q", "10-K", GUIDANCE)}
    events = {kind: sum(e.kind == kind for e in data.events) for kind in ("split", "dividend")}
    facts = [
        ("ticker", f"{instrument.symbol}  ({instrument.calendar}, {instrument.currency})"),
        ("bars", f"{len(bars)} from {first} to {last}; {len(sessions) - len(bars)} sessions missing"),
        ("closes", f"{bars.close.min():,.2f} to {bars.close.max():,.2f} {instrument.currency}"),
        (
            "documents",
            ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count or kind != GUIDANCE),
        ),
        ("events", ", ".join(f"{count} {kind}s" for kind, count in events.items())),
        ("source", f"{origin.source}{'  SYNTHETIC' if origin.synthetic else ''}"),
        ("adjustment", origin.adjustment),
        ("fill", origin.fill_rule),
        ("content hash", data.content_hash),
    ]
    if origin.pulled_at:
        facts.append(("pulled at", origin.pulled_at))
    if origin.note:
        facts.append(("note", origin.note))
    return facts


def _store(data: InstrumentData) -> None:
    entry: StoreEntry = Store().write(data)
    print(
        f"stored {entry.ticker}: {entry.bars} bars from {entry.first_session} to {entry.last_session}, "
        f"{entry.documents} documents, {entry.events} events; fill={entry.fill_rule}"
    )
    print(f"run it: backtest run --agent finmem --ticker {entry.ticker}")
