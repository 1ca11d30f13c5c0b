"""What a source knows of an instrument over all time: the whole truth, which no trader ever holds.

Traders get a :class:`~varve.market.view.MarketView`, cut at an instant, from
:meth:`~varve.market.market_data.MarketData.as_of`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from varve.clock import from_ns, iso, to_ns
from varve.config import canonical_json
from varve.errors import DataError, NoDataError
from varve.market.calendars import get_calendar
from varve.types import Bar, CorporateEvent, Document, FillRule, Instrument

Floats = NDArray[np.float64]
Adjustment = Literal["raw", "split_adjusted", "back_adjusted"]
Frequency = Literal["daily", "weekly", "monthly"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an instrument's data came from.

    ``adjustment``: ``raw`` prices as traded; ``split_adjusted`` as quoted after later splits;
    ``back_adjusted`` for splits and dividends (its dividend events are off). ``fill_rule`` is the
    first price traded after a decision. ``synthetic`` marks sample worlds. ``frequency`` is None for data
    that was stored before it was asked for.
    """

    source: str
    adjustment: Adjustment
    fill_rule: FillRule
    synthetic: bool = False
    pulled_at: str | None = None
    note: str = ""
    frequency: Frequency | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BarSeries:
    """Bars of one instrument in columns, oldest first, all of length n.

    ``sessions`` datetime64[D]; ``start_ns`` and ``end_ns`` int64 nanoseconds UTC; prices in the
    instrument's currency per share; ``volume`` in shares. NaN where the source has no value;
    ``close`` is never NaN. Arrays are read-only.
    """

    sessions: NDArray[np.datetime64]
    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __post_init__(self) -> None:
        for item in fields(self):
            getattr(self, item.name).setflags(write=False)

    def __len__(self) -> int:
        return len(self.close)

    @classmethod
    def from_sessions(
        cls,
        calendar: str,
        sessions: Sequence[date],
        close: Sequence[float] | Floats,
        *,
        open: Sequence[float] | Floats | None = None,
        high: Sequence[float] | Floats | None = None,
        low: Sequence[float] | Floats | None = None,
        volume: Sequence[float] | Floats | None = None,
    ) -> BarSeries:
        """Bars that span each session's open to close on ``calendar``; missing columns become NaN.

        Raises:
            SettingError: if a date is no session of the calendar.
        """
        venue = get_calendar(calendar)

        def column(values: Sequence[float] | Floats | None) -> Floats:
            if values is None:
                return np.full(len(sessions), np.nan)
            return np.array(values, dtype=np.float64)

        return cls(
            sessions=np.array(sessions, dtype="datetime64[D]"),
            start_ns=np.array([to_ns(venue.open_at(s)) for s in sessions], dtype=np.int64),
            end_ns=np.array([to_ns(venue.close_at(s)) for s in sessions], dtype=np.int64),
            open=column(open),
            high=column(high),
            low=column(low),
            close=column(close),
            volume=column(volume),
        )

    def slice(self, first: int, last: int) -> BarSeries:
        """Bars ``first`` to ``last`` (excluded); no copy."""
        return BarSeries(**{f.name: getattr(self, f.name)[first:last] for f in fields(self)})

    def copy(self) -> BarSeries:
        """The same bars in memory of their own, so that nothing leads back to later ones."""
        return BarSeries(**{f.name: getattr(self, f.name).copy() for f in fields(self)})

    def session(self, index: int) -> date:
        """The session date of bar ``index``."""
        return self.sessions[index].astype(object)  # type: ignore[no-any-return]

    def bar(self, index: int) -> Bar:
        """Bar ``index`` as a value."""

        def known(values: Floats) -> float | None:
            value = float(values[index])
            return None if np.isnan(value) else value

        return Bar(
            session=self.session(index),
            start=from_ns(int(self.start_ns[index])),
            end=from_ns(int(self.end_ns[index])),
            close=float(self.close[index]),
            open=known(self.open),
            high=known(self.high),
            low=known(self.low),
            volume=known(self.volume),
        )


@dataclass(frozen=True, eq=False)
class InstrumentData:
    """Everything a source has on one instrument; documents in order of ``(available_at, id)``.

    Raises:
        DataError: if bars are not in order of time, end before they start or have columns of unequal
            length, or a document could be read before it happened; a view cut by time would not be honest
            over them.
    """

    instrument: Instrument
    bars: BarSeries
    provenance: Provenance
    documents: tuple[Document, ...] = ()
    events: tuple[CorporateEvent, ...] = ()

    def __post_init__(self) -> None:
        _check_bars(self.instrument.symbol, self.bars)
        _check_instants(self.instrument.symbol, self.bars, self.documents)
        documents = tuple(sorted(self.documents, key=lambda d: (d.available_at, d.id)))
        object.__setattr__(self, "documents", documents)
        object.__setattr__(self, "events", tuple(sorted(self.events, key=lambda e: (e.session, e.kind))))

    @cached_property
    def document_times_ns(self) -> list[int]:
        """``available_at`` of each document in nanoseconds, ascending."""
        return [to_ns(document.available_at) for document in self.documents]

    @cached_property
    def end_list_ns(self) -> list[int]:
        """``bars.end_ns`` as Python integers: one look-up in a list is faster than one in an array."""
        ends: list[int] = self.bars.end_ns.tolist()
        return ends

    @cached_property
    def close_list(self) -> list[float]:
        """``bars.close`` as Python floats."""
        closes: list[float] = self.bars.close.tolist()
        return closes

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) of instrument, bars, documents and events; provenance is not part of it."""
        digest = hashlib.sha256(canonical_json(instrument_json(self.instrument)).encode())
        for column in fields(self.bars):
            digest.update(_canonical_bytes(getattr(self.bars, column.name)))
        for d in self.documents:
            row = [d.id, d.symbol, d.kind, d.text, iso(d.event_time), iso(d.available_at)]
            digest.update(canonical_json(row).encode())
        for e in self.events:
            digest.update(canonical_json([e.symbol, e.kind, iso(e.session), e.value]).encode())
        return digest.hexdigest()


def _check_bars(symbol: str, bars: BarSeries) -> None:
    """Views are cut by bisection over ``end_ns``; that is only right where time runs forwards."""
    lengths = {column.name: len(getattr(bars, column.name)) for column in fields(bars)}
    if len(set(lengths.values())) > 1:
        raise DataError(f"bars of {symbol!r} have columns of unequal length: {lengths}")
    if not bool(np.isfinite(bars.close).all()):
        raise DataError(f"bars of {symbol!r} have a close that is no number; every bar needs one")
    ordered = (np.diff(bars.sessions.astype("int64")) > 0) & (np.diff(bars.end_ns) > 0)
    if not bool(ordered.all()):
        late = int(np.argmin(ordered)) + 1
        raise DataError(f"bars of {symbol!r} are not in order of time: see bar {late}, {bars.session(late)}")


def _check_instants(symbol: str, bars: BarSeries, documents: Sequence[Document]) -> None:
    """What could be read before it happened, or a bar that ends before it starts, has a wrong instant."""
    backwards = bars.end_ns <= bars.start_ns
    if bool(backwards.any()):
        bar = int(np.argmax(backwards))
        start, end = (iso(from_ns(int(column[bar]))) for column in (bars.start_ns, bars.end_ns))
        raise DataError(
            f"bar {bar} of {symbol!r}, {bars.session(bar)}, ends {end}, not after its start {start}",
            mend="give each bar an end after its start",
        )
    for document in documents:
        if document.event_time > document.available_at:
            raise DataError(
                f"document {document.id!r} of {symbol!r} could be read {iso(document.available_at)}, before "
                f"it happened: its event_time is {iso(document.event_time)}",
                mend="set available_at to when it could be read, at event_time or later",
            )


def _canonical_bytes(column: NDArray[np.generic]) -> bytes:
    """A column's bytes with one pattern for NaN, so that equal content gives an equal hash."""
    if column.dtype.kind == "f":
        column = np.where(np.isnan(column), np.nan, column)
    return np.ascontiguousarray(column).tobytes()


def instrument_json(instrument: Instrument) -> dict[str, str | float]:
    """An instrument as JSON values."""
    return {
        "symbol": instrument.symbol,
        "calendar": instrument.calendar,
        "currency": instrument.currency,
        "lot_size": instrument.lot_size,
    }


def instrument_of(raw: object) -> Instrument:
    """An instrument from JSON values, the inverse of :func:`instrument_json`.

    Raises:
        ValueError: naming the field that is not what it should be.
    """
    table = _table(
        raw, "instrument", {"symbol": str, "calendar": str, "currency": str, "lot_size": int | float}
    )
    if not 0 < float(table.get("lot_size", 1.0)) < math.inf:
        raise ValueError(f"instrument.lot_size is {table['lot_size']!r}; a number above 0 expected")
    return Instrument(**table)


def provenance_of(raw: object) -> Provenance:
    """A provenance from JSON values.

    Raises:
        ValueError: naming the field that is not what it should be.
    """
    text = dict.fromkeys(("source", "adjustment", "fill_rule", "note"), str)
    table = _table(
        raw, "provenance", {**text, "synthetic": bool, "pulled_at": str | None, "frequency": str | None}
    )
    for name, allowed in (("adjustment", Adjustment), ("fill_rule", FillRule), ("frequency", Frequency)):
        if table.get(name) is not None and table[name] not in get_args(allowed):
            raise ValueError(f"provenance.{name} is {table[name]!r}; one of {get_args(allowed)} expected")
    return Provenance(**table)


def _table(raw: object, name: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError(f"{name} is {raw!r}; a table expected")
    for field, value in raw.items():
        # JSON's true is one of Python's whole numbers.
        fits = isinstance(value, kinds.get(field, object)) and (
            isinstance(value, bool) <= (kinds.get(field) is bool)
        )
        if field in kinds and not fits:
            raise ValueError(f"{name}.{field} cannot be {value!r}")
    return raw


def checked_facts(documents: Iterable[Document], events: Iterable[CorporateEvent]) -> None:
    """Check that what was read as documents and events has the kinds of values that those have.

    Raises:
        ValueError: naming the first field that has not.
    """
    kinds: dict[str, type] = {"id": str, "symbol": str, "kind": str, "text": str, "session": date}
    instants = ("event_time", "available_at")
    facts: list[Document | CorporateEvent] = [*documents, *events]
    for fact in facts:
        for item in fields(fact):
            value = getattr(fact, item.name)
            if not isinstance(value, datetime if item.name in instants else kinds.get(item.name, object)):
                raise ValueError(f"{item.name} of {type(fact).__name__} cannot be {value!r}")
        if isinstance(fact, CorporateEvent) and not 0 <= fact.value < math.inf:
            raise ValueError(f"the value of a {fact.kind} cannot be {fact.value!r}")


class Instruments:
    """Instruments by symbol, over all time."""

    def __init__(self, instruments: Mapping[str, InstrumentData]) -> None:
        self.instruments = dict(instruments)

    def __getitem__(self, symbol: str) -> InstrumentData:
        try:
            return self.instruments[symbol]
        except KeyError:
            known = ", ".join(sorted(self.instruments)) or "none"
            raise NoDataError(f"no data for {symbol!r}; loaded: {known}") from None
