"""Where instruments come from: files, Yahoo, sample worlds; found in the group ``varve.sources``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.market.sources.source import Request, Source, check_options, open_source, source_of_file
    from varve.market.sources.yahoo import YahooHistory

_HOMES = {
    "Request": "source",
    "Source": "source",
    "YahooHistory": "yahoo",
    "check_options": "source",
    "open_source": "source",
    "source_of_file": "source",
}

__all__ = [
    "Request",
    "Source",
    "YahooHistory",
    "check_options",
    "open_source",
    "source_of_file",
]


__getattr__ = lazy(__name__, _HOMES)
