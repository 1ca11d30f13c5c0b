"""Small hand-made markets for the exchange's tests."""

from datetime import date

import numpy as np

from varve.market import BarSeries, InstrumentData, MarketData, Provenance, get_calendar
from varve.types import CorporateEvent, Instrument


def market(
    opens, closes, *, volume=None, events=(), fill_rule="next_open", calendar="XNYS", lot=1.0, symbol="X",
    currency="USD", skip=(),
):  # fmt: skip
    """One instrument whose bars start on 2023-01-03; ``skip`` leaves out sessions by their number."""
    sessions = get_calendar(calendar).sessions(date(2023, 1, 3), date(2023, 12, 29))
    sessions = [s for i, s in enumerate(sessions) if i not in skip][: len(closes)]
    closes = np.array(closes, float)
    opens = None if opens is None else np.array(opens, float)
    top = closes if opens is None else np.maximum(opens, closes)
    low = closes if opens is None else np.minimum(opens, closes)
    bars = BarSeries.from_sessions(
        calendar, sessions, closes, open=opens, high=top, low=low,
        volume=None if volume is None else np.broadcast_to(np.array(volume, float), len(closes)).copy(),
    )  # fmt: skip
    made = tuple(CorporateEvent(symbol, kind, sessions[index], value) for kind, index, value in events)
    data = InstrumentData(
        Instrument(symbol, calendar, currency, lot), bars, Provenance("test", "raw", fill_rule), events=made
    )
    return MarketData({symbol: data})
