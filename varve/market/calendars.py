"""Trading calendars: when sessions open and close, and so when a decision falls.

Thin over ``exchange_calendars`` with explicit bounds, so that no result hangs on today's date.
"""

from __future__ import annotations

import bisect
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from varve.clock import from_ns
from varve.errors import SettingError, UnknownNameError

FIRST_DAY, LAST_DAY = date(1990, 1, 2), date(2035, 12, 31)
"""Bounds of every calendar; sessions outside them do not exist for Varve."""

DECISION_LEAD = timedelta(minutes=30)
"""A decision falls this long before the next open."""

SESSIONS_PER_YEAR = {"XNYS": 252, "24/7": 365}


class TradingCalendar:
    """Sessions of one venue.

    ``name`` is ``XNYS`` (New York) or ``24/7`` (a venue that never closes: a session is a UTC day,
    and its close is the next day's 00:00 UTC).
    """

    def __init__(self, name: str) -> None:
        import exchange_calendars

        if name not in SESSIONS_PER_YEAR:
            raise UnknownNameError("calendar", name, SESSIONS_PER_YEAR)
        raw = exchange_calendars.get_calendar(name, start=FIRST_DAY.isoformat(), end=LAST_DAY.isoformat())
        self.name = name
        self.always_open = name == "24/7"
        self.timezone = UTC if self.always_open else ZoneInfo(str(raw.tz))
        self.sessions_per_year = SESSIONS_PER_YEAR[name]
        self._sessions: list[date] = [stamp.date() for stamp in raw.sessions]
        self._index = {session: i for i, session in enumerate(self._sessions)}
        self._opens_ns = raw.opens.to_numpy(dtype="datetime64[ns]").astype("int64").tolist()
        self._closes_ns = raw.closes.to_numpy(dtype="datetime64[ns]").astype("int64").tolist()

    def sessions(self, start: date, end: date) -> list[date]:
        """Every session from ``start`` to ``end``, both included."""
        first = bisect.bisect_left(self._sessions, start)
        return self._sessions[first : bisect.bisect_right(self._sessions, end)]

    def is_session(self, day: date) -> bool:
        """Whether the venue trades on ``day``."""
        return day in self._index

    def open_at(self, session: date) -> datetime:
        """The open of a session, UTC."""
        return from_ns(self._opens_ns[self._position(session)])

    def close_at(self, session: date) -> datetime:
        """The close of a session, UTC."""
        return from_ns(self._closes_ns[self._position(session)])

    def next_session(self, session: date) -> date:
        """The session after ``session``.

        Raises:
            SettingError: if ``session`` is no session, or the last one Varve knows.
        """
        position = self._position(session) + 1
        if position == len(self._sessions):
            raise SettingError(
                f"{session.isoformat()} is the last session of the calendar {self.name} that Varve knows",
                mend=f"give dates before {LAST_DAY}",
            )
        return self._sessions[position]

    def decision_at(self, session: date) -> datetime:
        """The instant of the decision after ``session``, from the calendar alone.

        30 minutes before the next open; the close itself where the venue never closes.
        """
        if self.always_open:
            return self.close_at(session)
        return self.open_at(self.next_session(session)) - DECISION_LEAD

    def date_only_available_at(self, day: date) -> datetime:
        """When a fact known only by its date could be read: 00:00 exchange-local of the day after, UTC."""
        midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), tzinfo=self.timezone)
        return midnight.astimezone(UTC)

    def bars_per_year(self, first: date, last: date, bars: int) -> float:
        """How many bars a year has, by the time that really passed, to annualise what was measured on them.

        Daily bars without gaps give 252 (365 where the venue never closes) exactly; weekly bars about 52;
        daily bars of which a fifth is missing about 202.

        Args:
            first, last: dates of the first and the last bar; they need not be sessions.
            bars: how many bars follow the first, up to and with the last.

        Raises:
            SettingError: if no session lies after ``first`` up to ``last``, or ``bars`` is below 1.
        """
        elapsed = bisect.bisect_right(self._sessions, last) - bisect.bisect_right(self._sessions, first)
        if elapsed < 1 or bars < 1:
            raise SettingError(
                f"{bars} bars from {first} to {last} span no time on the calendar {self.name}",
                mend="give a longer window",
            )
        return bars * self.sessions_per_year / elapsed

    def _position(self, session: date) -> int:
        try:
            return self._index[session]
        except KeyError:
            raise SettingError(
                f"{session.isoformat()} is no session of the calendar {self.name}",
                mend=f"give a trading day between {FIRST_DAY} and {LAST_DAY}",
            ) from None


@cache
def get_calendar(name: str) -> TradingCalendar:
    """The calendar of that name, built once per process.

    Raises:
        UnknownNameError: if Varve has no such calendar.
    """
    return TradingCalendar(name)
