"""What price files call their columns, and what Varve calls them."""

from __future__ import annotations

import re

FIELDS = ("date", "time", "open", "high", "low", "close", "volume", "adj_close",
          "dividends", "splits", "capital_gains", "ticker")  # fmt: skip
"""What a column can be; ``date`` and ``close`` are required."""

_NAMES: dict[str, tuple[str, ...]] = {
    "date": ("date", "session", "day", "datetime", "timestamp", "time", "dtyyyymmdd", "yyyymmdd", "unix",
             "open time", "opentime", "trade date", "tradedate", "gmt time", "local time", "date/time"),
    "time": ("time",),
    "open": ("open", "open price", "opening price", "o", "1. open"),
    "high": ("high", "high price", "h", "day high"),
    "low": ("low", "low price", "l", "day low"),
    "close": ("close", "close price", "closing price", "closing", "close/last", "last", "c", "price"),
    "volume": ("volume", "vol", "v", "total volume", "volume traded", "shares traded"),
    "adj_close": ("adj close", "adjclose", "adjusted close", "adjusted", "adj close price", "close adj"),
    "dividends": ("dividends", "dividend", "divcash", "div cash", "dividend amount", "cash dividend"),
    "splits": ("stock splits", "stock split", "splits", "splitfactor", "split factor", "split",
               "split coefficient", "split ratio"),
    "capital_gains": ("capital gains", "capital gain"),
    "ticker": ("ticker", "symbol", "tic", "name"),
}  # fmt: skip
"""In order: of two columns of one file that could be the same, the earlier name wins."""
_OF_NAME = {name: field for field in reversed(FIELDS) for name in _NAMES[field]}


def plain(text: str) -> str:
    """A column's name without signs, numbering, units and case: ``<CLOSE>`` and ``4. close`` are close."""
    bare = text.strip().strip("<>").strip().strip("*").replace("_", " ").casefold()
    bare = re.sub(r"^\d+[a-z]?\.\s*", "", bare)
    bare = re.sub(r"\s*[(\[][^)\]]*[)\]]$", "", bare)
    return re.sub(r"\s+", " ", bare).rstrip(". *").replace("adj. ", "adj ")


def plain_of(text: str, ticker: str) -> str:
    """The same, without the instrument's own name in front or behind: ``AAPL.Close``, ``Close_AAPL``."""
    bare, mine = plain(text), plain(ticker)
    for mark in (".", " ", "-"):
        if bare.startswith(mine + mark):
            return bare.removeprefix(mine + mark).strip()
        if bare.endswith(mark + mine):
            return bare.removesuffix(mark + mine).strip()
    return bare


def field_of(text: str, ticker: str = "") -> str | None:
    """The field that a column of that name is; None for a name that says none."""
    return _OF_NAME.get(plain_of(text, ticker) if ticker else plain(text))


def rank(field: str, text: str, ticker: str) -> int | None:
    """Where a column's name stands among the names of a field, 0 first; None where it is none of them."""
    bare, names = plain_of(text, ticker), _NAMES[field]
    return names.index(bare) if bare in names else None
