"""``backtest data``: bring prices and news into the store, and look at what is there."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from varve.cli.options import day_of, pairs_of
from varve.cli.screen import say
from varve.errors import UnknownNameError

if TYPE_CHECKING:
    from varve.market.data import InstrumentData
    from varve.market.sources.source import Request

Frequency = Annotated[
    str | None,
    typer.Option(help="daily, weekly or monthly, for bars that are not one a session; checked."),
]

data_app = typer.Typer(help="Import, pull and look at stored prices and news.", no_args_is_help=True)


@data_app.command("import")
def data_import(
    file: Annotated[Path, typer.Argument(help="Prices (CSV, text, Parquet, .gz), or INVESTOR-BENCH JSON.")],
    ticker: Annotated[str, typer.Option(help="The name to store it under; of a file of several, its name.")],
    source: Annotated[str | None, typer.Option(help="Said by the file when left out.")] = None,
    calendar: Annotated[
        str | None, typer.Option(help="XNYS, XLON, 24/5, 24/7 or any of exchange_calendars; guessed.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="Which column is what, for example close='Adj Close'."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,…", help="The columns of a file without a header, in order: date,open,-,close."
        ),
    ] = None,
    frequency: Frequency = None,
    adjustment: Annotated[
        str | None, typer.Option(help="raw, split_adjusted or back_adjusted; found out when left out.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Of the prices, for example EUR.")] = None,
    lot_size: Annotated[float | None, typer.Option(help="Smallest tradable quantity.")] = None,
    date_format: Annotated[str | None, typer.Option(help="How dates are written, as %d/%m/%Y.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal mark: . or ,")] = None,
    events: Annotated[
        Path | None, typer.Option(help="A CSV of splits and dividends: date,kind,value.")
    ] = None,
) -> None:
    """Check a file of prices (and news) and store it; nothing is stored if anything is wrong."""
    from varve.market.sources.source import Request

    request = Request(
        ticker.strip().upper(),
        path=file,
        calendar=calendar,
        columns=pairs_of(column or [], "--column"),
        frequency=frequency,
        header=tuple(columns.split(",")) if columns else (),
        adjustment=adjustment,
        currency=currency,
        lot_size=lot_size,
        date_format=date_format,
        decimal=decimal,
        events=events,
    )
    _import(request, source)


@data_app.command("pull")
def data_pull(
    ticker: Annotated[str, typer.Argument(help="For example TSLA.")],
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")],
    end: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")] = None,
    source: Annotated[str, typer.Option(help="A source that pulls over the network.")] = "yahoo",
    frequency: Frequency = None,
) -> None:
    """Pull prices, events and news over the network and store them."""
    _pull(ticker, source=source, start=start.date(), end=day_of(end), frequency=frequency)


def _import(request: Request, source: str | None) -> None:
    """Read a file by the source named, or by the one that accepts it, and store it.

    Raises:
        BadFileError: if the file is missing or not what its name says; nothing is stored.
        DataError: if its bars are of a frequency that was not given, or hold prices that no market has.
        UsageError: if several sources accept it, or an option means nothing for it.
    """
    from varve.market.sources.source import read_checked, source_of_file

    chosen = source_of_file(request.file, source)
    _store(read_checked(chosen, request), chosen.holds)


def _pull(ticker: str, *, source: str, start: date, end: date | None, frequency: str | None) -> None:
    """Pull a ticker over the network and store it; the only verb that touches the network.

    Raises:
        UnknownNameError: if the source is unknown or cannot pull.
        DataError: if nothing came; what was stored before is kept.
    """
    from varve.market.sources.source import Request, open_source, read_checked

    chosen = open_source(source, "pull")
    request = Request(ticker.strip().upper(), start=start, end=end, frequency=frequency)
    _store(read_checked(chosen, request), chosen.holds)


@data_app.command("list")
def data_list() -> None:
    """List stored tickers with their provenance, and the sample worlds."""
    from rich.table import Table

    from varve.cli.screen import Screen, styled
    from varve.market.store import Store
    from varve.market.worlds import TICKERS

    console = Screen()
    entries = Store().list()
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name in ("ticker", "from", "to", "bars", "missing", "documents", "source", "adjustment", "fill"):
        figure = name in ("bars", "missing", "documents")
        whole = name in ("ticker", "from", "to", "bars")
        # Folded and never cut: a narrow terminal leaves nothing out without a word.
        table.add_column(name, justify="right" if figure else "left", no_wrap=whole, overflow="fold")
    for e in entries:
        if e.problem:
            table.add_row(e.ticker, styled((e.problem, "red")))
            continue
        table.add_row(
            e.ticker, e.first_session, e.last_session, f"{e.bars}{_often(e.frequency)}",
            "?" if e.missing is None else str(e.missing), str(e.documents),
            e.source, e.adjustment, e.fill_rule,
        )  # fmt: skip
    if entries:
        console.print(table)
    else:
        console.print("nothing stored yet: backtest data import FILE --ticker TICKER")
    console.print(f"synthetic sample worlds, always there: {', '.join(TICKERS)}", style="yellow")


@data_app.command("show")
def data_show(ticker: Annotated[str, typer.Argument(help="A stored or sample ticker.")]) -> None:
    """Show what is stored of a ticker: span, source, adjustment, fill rule, gaps, documents."""
    from varve.cli.screen import Screen, styled
    from varve.market.store import Store
    from varve.market.worlds import TICKERS, sample_world

    name, store = ticker.strip().upper(), Store()
    if store.has(name):
        data = store.read(name)
    elif name in TICKERS:
        data = sample_world(name)
    else:
        raise UnknownNameError("ticker", name, [*store.tickers(), *TICKERS])
    console = Screen()
    for label, value in _facts(data):
        console.print(styled((f"{label:<14}", "bold"), f" {value}"), soft_wrap=True)


def _facts(data: InstrumentData) -> list[tuple[str, str]]:
    from varve.market.frequency import missing_sentence
    from varve.market.view import GUIDANCE

    bars, origin, instrument = data.bars, data.provenance, data.instrument
    first, last = bars.session(0), bars.session(len(bars) - 1)
    missing = missing_sentence(data) or "none missing"
    kinds = {kind: sum(d.kind == kind for d in data.documents) for kind in ("news", "10-Q", "10-K", GUIDANCE)}
    events = {kind: sum(e.kind == kind for e in data.events) for kind in ("split", "dividend")}
    facts = [
        ("ticker", f"{instrument.symbol}  ({instrument.calendar}, {instrument.currency})"),
        ("bars", f"{len(bars)}{_often(origin.frequency)} from {first} to {last}; {missing}"),
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
    from varve.clock import iso
    from varve.market.frequency import missing_sentence
    from varve.market.store import Store
    from varve.market.view import GUIDANCE

    entry = Store().write(data)
    if holds == "guidance":
        guidance = [document for document in data.documents if document.kind == GUIDANCE]
        say(
            f"stored {len(guidance)} pieces of guidance on {entry.ticker}, readable from "
            f"{iso(guidance[0].available_at)} to {iso(guidance[-1].available_at)}"
        )
        return
    often = _often(entry.frequency)
    say(
        f"stored {entry.ticker}: {entry.bars}{often} bars from {entry.first_session} to "
        f"{entry.last_session}, {entry.documents} documents, {entry.events} events; fill={entry.fill_rule}"
    )
    if missing := missing_sentence(data):
        say(f"{missing}: no decision falls there, and an order waits for the next bar")
    if often:
        say("a bar counts as known at the close of its date: date each by the last session it holds")
    for said in entry.note.split("; ") if entry.note and entry.source.startswith("csv:") else ():
        say(said)
    say(f"run it: backtest run --agent finmem --ticker {entry.ticker}")


def _often(frequency: str | None) -> str:
    return f" {frequency}" if frequency in ("weekly", "monthly") else ""
