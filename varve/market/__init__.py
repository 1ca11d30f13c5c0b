"""What was known, and when: bars, documents, calendars, sources, sample worlds and the store."""

from varve.market.calendars import TradingCalendar, get_calendar
from varve.market.data import BarSeries, InstrumentData, Provenance
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.market.view import MarketView

__all__ = [
    "BarSeries",
    "InstrumentData",
    "MarketData",
    "MarketView",
    "Observation",
    "Provenance",
    "TradingCalendar",
    "get_calendar",
]
