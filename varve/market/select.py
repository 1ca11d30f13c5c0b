"""Which data a run stands on: the store's or a sample world's, and one sentence that says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from varve.errors import NoDataError, UnknownNameError, near_names
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.market.market_data import MarketData
from varve.market.store import Store, StoreEntry, check_ticker

DataMode = Literal["auto", "store", "sample"]
MODES: tuple[DataMode, ...] = ("auto", "store", "sample")


@dataclass(frozen=True)
class LoadedMarket:
    """An instrument's data, where it came from, and a sentence for the first line of a run.

    ``origin`` is ``store`` or ``sample``; ``label`` begins with ``SYNTHETIC`` for sample worlds.
    """

    data: InstrumentData
    origin: Literal["store", "sample"]
    label: str

    @property
    def market(self) -> MarketData:
        """The data as a market of one instrument."""
        return MarketData({self.data.instrument.symbol: self.data})

    @property
    def synthetic(self) -> bool:
        """Whether prices and news were made up."""
        return self.data.provenance.synthetic


def load_market(
    ticker: str,
    *,
    mode: DataMode = "auto",
    start: date | None = None,
    end: date | None = None,
    world: str = "default",
    world_seed: int = 0,
    store: Store | None = None,
) -> LoadedMarket:
    """The data of a ticker; reads the disk at most, never the network.

    Args:
        ticker: its symbol.
        mode: ``store`` or ``sample`` alone, or ``auto``: the store where it has the ticker, whatever its
            dates, else the sample world.
        start: first session wanted (of the warm-up, where there is one); None asks for no first date.
        end: last session wanted; None asks for no last date.
        world: the sample world's name.
        world_seed: the sample world's seed.
        store: where to look; None means the store under ``VARVE_HOME``.

    Raises:
        NoDataError: if neither (or not the one asked for) has the ticker, or it does not have those
            dates; a ticker of the store never turns into invented data.
        UnknownNameError: for an unknown mode or world.
        DataError, IntegrityError: if what is stored cannot be read.
    """
    if mode not in MODES:
        raise UnknownNameError("data mode", mode, MODES)
    check_ticker(ticker)
    chosen = Store() if store is None else store
    entry = chosen.entry(ticker) if mode != "sample" and chosen.has(ticker) else None
    if entry is not None and covers(entry.calendar, entry.first_session, entry.last_session, start, end):
        data = chosen.read(ticker)
        return LoadedMarket(data, "store", f"stored data: {_described(data)}")
    if entry is not None:
        raise _not_those_dates(ticker, entry, start, end)
    if mode == "store":
        raise _not_in_store(ticker, chosen)
    return _sample(ticker, world, world_seed, start, end, chosen)


def covers(calendar: str, first: str, last: str, start: date | None, end: date | None) -> bool:
    """Whether bars from ``first`` to ``last`` (ISO dates) reach over every session from start to end.

    Days without a session at either end do not count; nor do gaps between.
    """
    if not first or not last:
        return False
    venue = get_calendar(calendar)
    begins, ends = date.fromisoformat(first), date.fromisoformat(last)
    early = start is not None and any(day < begins for day in venue.sessions(start, begins))
    late = end is not None and any(day > ends for day in venue.sessions(ends, end))
    inside = (start is None or start <= ends) and (end is None or end >= begins)
    return inside and not early and not late


def _sample(
    ticker: str,
    world: str,
    seed: int,
    start: date | None,
    end: date | None,
    store: Store,
) -> LoadedMarket:
    from varve.market import worlds

    if ticker not in worlds.TICKERS:
        raise _nowhere(ticker, tuple(worlds.TICKERS), store)
    data = worlds.sample_world(ticker, world=world, seed=seed)
    bars = data.bars
    first, last = bars.session(0), bars.session(len(bars) - 1)
    if not covers(data.instrument.calendar, first.isoformat(), last.isoformat(), start, end):
        raise NoDataError(
            f"the sample world has {ticker} from {first} to {last}, asked for {_span(start, end)}",
            mend=f"give dates from {first} to {last}, or store real prices: {_mends(ticker)}",
        )
    label = f"SYNTHETIC sample world {world!r}, seed {seed}, no real prices or news: {_described(data)}"
    return LoadedMarket(data, "sample", label)


def _described(data: InstrumentData) -> str:
    bars, origin = data.bars, data.provenance
    pulled = f", pulled {origin.pulled_at[:10]}" if origin.pulled_at else ""
    adjustment = origin.adjustment.replace("_", "-")
    often = f"{origin.frequency} bars, " if origin.frequency in ("weekly", "monthly") else ""
    return (
        f"{data.instrument.symbol} from {origin.source}{pulled}, "
        f"{often}{adjustment} prices in {data.instrument.currency}, "
        f"{bars.session(0)} to {bars.session(len(bars) - 1)}, fill={origin.fill_rule}"
    )


def _span(start: date | None, end: date | None) -> str:
    return f"{start or 'its first session'} to {end or 'its last session'}"


def _mends(ticker: str) -> str:
    return (
        f"backtest data import FILE --ticker {ticker}, or backtest data pull {ticker} --source yahoo "
        "--start YYYY-MM-DD"
    )


def _not_in_store(ticker: str, store: Store) -> NoDataError:
    stored = store.tickers()
    close = near_names(ticker, stored)
    near = f"; near names: {', '.join(close)}" if close else ""
    return NoDataError(
        f"the store holds nothing on {ticker!r}; it holds {', '.join(stored) or 'no ticker yet'}{near}",
        mend=f"{_mends(ticker)}; or run on a sample world: --data sample",
    )


def _not_those_dates(ticker: str, entry: StoreEntry, start: date | None, end: date | None) -> NoDataError:
    return NoDataError(
        f"the store has {ticker} from {entry.first_session} to {entry.last_session}, "
        f"asked for {_span(start, end)}",
        mend=f"give dates within, store more ({_mends(ticker)}), or run on a sample world: --data sample",
    )


def _nowhere(ticker: str, sampled: tuple[str, ...], store: Store) -> NoDataError:
    stored = store.tickers()
    close = near_names(ticker, [*sampled, *stored])
    near = f"; did you mean {' or '.join(close)}?" if close else ""
    return NoDataError(
        f"no data on {ticker!r}: the store holds {', '.join(stored) or 'no ticker yet'}, "
        f"sample worlds have {', '.join(sampled)}{near}",
        mend=_mends(ticker),
    )
