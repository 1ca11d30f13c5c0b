"""Sample worlds as a source, so that they stand in the list of sources."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from varve.market.data import InstrumentData
from varve.market.sources.source import Kind, Request
from varve.market.worlds import sample_world


class SampleSource:
    """Synthetic sample worlds: always there, nothing to import or pull."""

    kind: ClassVar[Kind] = "world"
    endings: ClassVar[tuple[str, ...]] = ()
    holds: ClassVar[str] = "a synthetic world"
    options: ClassVar[frozenset[str]] = frozenset()

    def accepts(self, path: Path) -> bool:
        """No file."""
        return False

    def read(self, request: Request) -> InstrumentData:
        """Make the default world of a ticker; see :func:`sample_world`."""
        return sample_world(request.ticker, end=request.end)
