from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

import numpy as np
import pytest

from varve.market.calendars import get_calendar
from varve.market.data import BarSeries, InstrumentData, Provenance
from varve.types import CorporateEvent, Document, Instrument

MakeData = Callable[..., InstrumentData]


def build(
    symbol: str = "ACME",
    *,
    calendar: str = "XNYS",
    start: date = date(2020, 8, 3),
    end: date = date(2020, 11, 13),
    splits: dict[date, float] | None = None,
    opens: bool = True,
    documents: tuple[Document, ...] = (),
    seed: int = 1,
) -> InstrumentData:
    """A walk of prices over the sessions of a span, with a news item at noon UTC of every day in it."""
    venue = get_calendar(calendar)
    sessions = venue.sessions(start, end)
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.02, len(sessions))))
    for day, ratio in (splits or {}).items():
        close[np.array(sessions, dtype="datetime64[D]") >= np.datetime64(day)] /= ratio
    open_ = close * np.exp(rng.normal(0, 0.003, len(sessions)))
    news = tuple(news_at(symbol, venue.open_at(day).replace(hour=12, minute=0)) for day in sessions)
    return InstrumentData(
        Instrument(symbol, calendar),
        BarSeries.from_sessions(
            calendar,
            sessions,
            close,
            open=open_ if opens else None,
            high=np.maximum(open_, close) * 1.01 if opens else None,
            low=np.minimum(open_, close) * 0.99 if opens else None,
            volume=rng.integers(1_000, 9_000, len(sessions)).astype(float) if opens else None,
        ),
        Provenance("test", "raw", "next_open" if opens else "next_close", pulled_at="2024-01-01T00:00:00Z"),
        (*news, *documents),
        tuple(CorporateEvent(symbol, "split", day, ratio) for day, ratio in (splits or {}).items()),
    )


def news_at(symbol: str, instant: datetime, text: str = "something happened") -> Document:
    return Document(f"{symbol}-{instant.isoformat()}", symbol, "news", text, instant, instant)


@pytest.fixture(scope="session")
def make_data() -> MakeData:
    return build
