"""The market as it could be known at one instant; the only market that agents, tools and sizers see."""

from __future__ import annotations

import bisect
from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from varve.clock import to_ns, to_utc
from varve.market.data import BarSeries, Floats, InstrumentData, Instruments, Provenance
from varve.types import Bar, Document, DocumentKind, Instrument

GUIDANCE: DocumentKind = "guidance"


class MarketView:
    """Facts with ``available_at`` not after ``instant``; no method returns a later one.

    Histories are split-adjusted to the newest visible bar, by splits that had happened by then;
    dividends are not adjusted for.
    """

    __slots__ = ("__data", "__ns", "instant")

    def __init__(self, data: Instruments, instant: datetime) -> None:
        self.__data = data
        self.instant = to_utc(instant)
        self.__ns = to_ns(self.instant)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that data exists for."""
        return tuple(sorted(self.__data.instruments))

    def instrument(self, symbol: str) -> Instrument:
        """The instrument of a symbol."""
        return self.__data[symbol].instrument

    def provenance(self, symbol: str) -> Provenance:
        """Where the data came from, without what only hindsight knows: when it was pulled, and notes."""
        return replace(self.__data[symbol].provenance, pulled_at=None, note="")

    def bar_count(self, symbol: str) -> int:
        """How many bars had ended by now."""
        return self.__visible(self.__data[symbol])

    def last_bar(self, symbol: str) -> Bar | None:
        """The newest bar that had ended, as traded; None before the first."""
        data = self.__data[symbol]
        count = self.__visible(data)
        return data.bars.bar(count - 1) if count else None

    def last_close(self, symbol: str) -> float | None:
        """The close of :meth:`last_bar`, in the instrument's currency; None before the first bar."""
        data = self.__data[symbol]
        count = self.__visible(data)
        return data.close_list[count - 1] if count else None

    def bars(self, symbol: str, last: int | None = None) -> BarSeries:
        """The ``last`` newest bars that had ended (all when None), split-adjusted, oldest first."""
        data = self.__data[symbol]
        count = self.__visible(data)
        first = 0 if last is None else max(0, count - last)
        bars = data.bars.slice(first, count).copy()
        factor = self.__split_factors(data, bars.sessions)
        if factor is None:
            return bars
        return BarSeries(
            sessions=bars.sessions,
            start_ns=bars.start_ns,
            end_ns=bars.end_ns,
            open=bars.open / factor,
            high=bars.high / factor,
            low=bars.low / factor,
            close=bars.close / factor,
            volume=bars.volume * factor,
        )

    def closes(self, symbol: str, last: int | None = None) -> Floats:
        """Closes of :meth:`bars`, shape (n,), in the instrument's currency."""
        data = self.__data[symbol]
        count = self.__visible(data)
        first = 0 if last is None else max(0, count - last)
        closes = data.bars.close[first:count].copy()
        factor = self.__split_factors(data, data.bars.sessions[first:count])
        if factor is not None:
            closes /= factor
        closes.setflags(write=False)
        return closes

    def documents(
        self,
        symbol: str,
        *,
        kinds: Collection[DocumentKind] | None = None,
        since: datetime | None = None,
    ) -> tuple[Document, ...]:
        """Documents readable by now, oldest first; ``since`` leaves out those readable by then already.

        ``kinds=None`` means what everybody can read: news and filings, not an expert's guidance.
        """
        data = self.__data[symbol]
        times = data.document_times_ns
        first = 0 if since is None else bisect.bisect_right(times, to_ns(since))
        found = data.documents[first : bisect.bisect_right(times, self.__ns)]
        return tuple(d for d in found if (d.kind != GUIDANCE if kinds is None else d.kind in kinds))

    def __visible(self, data: InstrumentData) -> int:
        return bisect.bisect_right(data.end_list_ns, self.__ns)

    @staticmethod
    def __split_factors(data: InstrumentData, sessions: NDArray[np.datetime64]) -> Floats | None:
        """Per session, the product of splits after it and up to the last of them; None without any."""
        if not len(sessions):
            return None
        newest: date = sessions[-1].astype(object)
        factor = np.ones(len(sessions))
        for event in data.events:
            if event.kind == "split" and event.session <= newest:
                factor[sessions < np.datetime64(event.session)] *= event.value
        return None if bool((factor == 1.0).all()) else factor
