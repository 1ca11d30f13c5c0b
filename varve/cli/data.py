"""The ``backtest data`` verbs: bring prices and news into the store, and look at what is there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from varve.clock import iso
from varve.errors import UnknownNameError
from varve.market.data import InstrumentData
from varve.market.sources.source import Request, check_options, open_source, source_of_file
from varve.market.store import Store, StoreEntry
from varve.market.view import GUIDANCE


def import_file(
    file: Path, ticker: str, *, source: str | None, calendar: str | None, columns: Mapping[str, str]
) -> None:
    """Read a file by the source named, or by the one that accepts it, and store it.

    Raises:
        BadFileError: if the file is missing or not what its name says; nothing is stored.
        UsageError: if several sources accept it, or an option means nothing for it.
    """
    chosen = source_of_file(file, source)
    request = Request(ticker.strip().upper(), path=file, calendar=calendar, columns=columns)
    check_options(chosen, request)
    _store(chosen.read(request), chosen.holds)


def pull(ticker: str, *, source: str, start: date, end: date | None) -> None:
    """Pull a ticker over the network and store it; the only verb that touches the network.

    Raises:
        UnknownNameError: if the source is unknown or cannot pull.
        DataError: if nothing came; what was stored before is kept.
    """
    chosen = open_source(source, "pull")
    _store(chosen.read(Request(ticker.strip().upper(), start=start, end=end)), chosen.holds)


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


def _store(data: InstrumentData, holds: str) -> None:
    entry: StoreEntry = Store().write(data)
    guidance = [document for document in data.documents if document.kind == GUIDANCE]
    if holds == "guidance":
        print(
            f"stored {len(guidance)} pieces of guidance on {entry.ticker}, readable from "
            f"{iso(guidance[0].available_at)} to {iso(guidance[-1].available_at)}"
        )
        return
    print(
        f"stored {entry.ticker}: {entry.bars} bars from {entry.first_session} to {entry.last_session}, "
        f"{entry.documents} documents, {entry.events} events; fill={entry.fill_rule}"
    )
    print(f"run it: backtest run --agent finmem --ticker {entry.ticker}")
