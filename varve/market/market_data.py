"""All instruments of a run, over all time, and the way from them to a view cut at an instant."""

from __future__ import annotations

from datetime import datetime

from varve.market.data import Instruments
from varve.market.view import MarketView


class MarketData(Instruments):
    """All instruments of a run, over all time. Only the runner and the exchange hold one."""

    def as_of(self, instant: datetime) -> MarketView:
        """What could be known at ``instant`` (timezone-aware)."""
        return MarketView(self, instant)
