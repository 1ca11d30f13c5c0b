"""Sample worlds by ticker, made once and kept in memory."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from varve.errors import NoDataError, UnknownNameError
from varve.market.data import InstrumentData
from varve.market.worlds.specs import FIRST_SESSION, LAST_SESSION, SPECS

TICKERS = tuple(sorted(SPECS))
WORLDS = ("default", "strong", "noise", "planted")


def sample_world(
    ticker: str, *, world: str = "default", seed: int = 0, end: date | None = None
) -> InstrumentData:
    """Synthetic prices (USD), events and documents of a ticker from 2020-01-02 to ``end``.

    ``default`` has regimes, clustered volatility, jumps, and text of which a part leads prices a little;
    ``strong`` is the same with text that leads them so much that an agent that reads gets rich;
    ``noise`` is a martingale with text that means nothing; ``planted`` is ``noise`` with one phrase
    that is worth 20 % a year. A later ``end`` begins with exactly the earlier one's facts.

    Raises:
        UnknownNameError: if there is no such ticker or world.
        NoDataError: if ``end`` is before the second session.
    """
    if ticker not in SPECS:
        raise UnknownNameError("sample ticker", ticker, TICKERS)
    if world not in WORLDS:
        raise UnknownNameError("world", world, WORLDS)
    last = LAST_SESSION if end is None else end
    if last <= FIRST_SESSION:
        raise NoDataError(f"sample worlds start {FIRST_SESSION}; end {last} is too early")
    return _cached(ticker, world, seed, last)


@lru_cache(maxsize=8)
def _cached(ticker: str, world: str, seed: int, end: date) -> InstrumentData:
    from varve.market.worlds.generate import generate

    return generate(ticker, SPECS[ticker], world, seed, end)
