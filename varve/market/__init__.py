"""What was known, and when: bars, documents, calendars, sources, sample worlds and the store."""

from varve.market.calendars import TradingCalendar, get_calendar
from varve.market.data import BarSeries, InstrumentData, MarketData, Provenance
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
