"""Trading calendars: when sessions open and close, and so when a decision falls.

Thin over ``exchange_calendars`` with explicit bounds, so that no result depends on today's date.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from varve.clock import from_ns
from varve.errors import SettingError, UnknownNameError, near_names

FIRST_DAY, LAST_DAY = date(1990, 1, 2), date(2035, 12, 31)
"""Bounds of every calendar; sessions outside them do not exist for Varve. Some calendars know fewer days."""

DECISION_LEAD = timedelta(minutes=30)
"""A decision falls this long before the next open."""

SESSIONS_PER_YEAR = {"XNYS": 252, "24/7": 365}
"""Of the calendars of the sample worlds; of any other it is counted, see :func:`_sessions_per_year`."""


class TradingCalendar:
    """Sessions of one venue.

    ``name`` is any of ``exchange_calendars``: ``XNYS`` (New York), ``XLON`` (London) ..., ``24/7`` (a venue
    that never closes: a session is a UTC day, and its close is the next day's 00:00 UTC) or ``24/5``
    (currencies: the same from Monday to Friday).

    ``always_open`` is true of ``24/7`` alone. ``continuous`` is true where one session follows another
    without a break of half an hour: there a decision falls at the close, as no open comes after it.
    ``first_day`` and ``last_day`` are the days that the calendar knows, inside Varve's bounds.
    """

    def __init__(self, name: str) -> None:
        import exchange_calendars

        if name not in calendar_names():
            raise _unknown(name)
        self.first_day, self.last_day = _bounds(name)
        try:
            raw = exchange_calendars.get_calendar(
                name, start=self.first_day.isoformat(), end=self.last_day.isoformat()
            )
        except (NotImplementedError, ValueError) as error:
            # Some rules of some venues do not work with every pandas; no session of theirs is guessed.
            raise SettingError(
                f"exchange_calendars cannot make the calendar {name} here: {str(error)[:100]}",
                mend="give the calendar of a venue with the same holidays, or 24/5 for every weekday",
            ) from error
        self.name = name
        self.always_open = name == "24/7"
        self.timezone = UTC if self.always_open else ZoneInfo(str(raw.tz))
        self._sessions: list[date] = [stamp.date() for stamp in raw.sessions]
        self._index = {session: i for i, session in enumerate(self._sessions)}
        self._opens_ns = raw.opens.to_numpy(dtype="datetime64[ns]").astype("int64").tolist()
        self._closes_ns = raw.closes.to_numpy(dtype="datetime64[ns]").astype("int64").tolist()
        self.sessions_per_year = SESSIONS_PER_YEAR.get(name) or _sessions_per_year(self._sessions)
        lead = DECISION_LEAD // timedelta(microseconds=1) * 1_000
        breaks = sum(
            opens - closes >= lead
            for opens, closes in zip(self._opens_ns[1:], self._closes_ns[:-1], strict=True)
        )
        self.continuous = 2 * breaks < len(self._sessions)

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
                mend=f"give dates before {self._sessions[-1]}",
            )
        return self._sessions[position]

    def decision_at(self, session: date) -> datetime:
        """The instant of the decision after ``session``, from the calendar alone.

        30 minutes before the next open; the close itself where sessions follow one another without a
        break, and where the next open is nearer than that.
        """
        if self.continuous:
            return self.close_at(session)
        return max(self.close_at(session), self.open_at(self.next_session(session)) - DECISION_LEAD)

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
                mend=f"give a trading day between {self.first_day} and {self.last_day}",
            ) from None


def get_calendar(name: str) -> TradingCalendar:
    """The calendar of that name, or of that other name for it (``NYSE`` is ``XNYS``); built once a process.

    Raises:
        UnknownNameError: if there is no such calendar; near names are suggested.
    """
    if name not in SESSIONS_PER_YEAR and name not in calendar_names():
        import exchange_calendars

        if name not in exchange_calendars.get_calendar_names(include_aliases=True):
            raise _unknown(name)
        name = exchange_calendars.resolve_alias(name)
    return _built(name)


@cache
def calendar_names() -> tuple[str, ...]:
    """Every calendar there is, by its own name, sorted."""
    import exchange_calendars

    return tuple(sorted(exchange_calendars.get_calendar_names(include_aliases=False)))


@cache
def _built(name: str) -> TradingCalendar:
    return TradingCalendar(name)


def _unknown(name: str) -> UnknownNameError:
    import exchange_calendars

    every = exchange_calendars.get_calendar_names(include_aliases=True)
    close = near_names(name, every)
    return UnknownNameError(
        "calendar",
        name,
        calendar_names(),
        mend=f"did you mean {' or '.join(close)}?" if close else "give XNYS, XLON, 24/5 or 24/7, for example",
    )


def _bounds(name: str) -> tuple[date, date]:
    """The days that a calendar knows, inside Varve's bounds."""
    from exchange_calendars.calendar_utils import global_calendar_dispatcher

    factory = global_calendar_dispatcher._calendar_factories[name]
    earliest, latest = factory.bound_min(), factory.bound_max()
    first = FIRST_DAY if earliest is None else max(FIRST_DAY, earliest.date())
    return first, LAST_DAY if latest is None else min(LAST_DAY, latest.date())


def _sessions_per_year(sessions: Sequence[date]) -> int:
    """Sessions in a whole year, on average over those that the calendar knows."""
    years = {day.year for day in (sessions[0], sessions[-1])}
    whole = [day for day in sessions if day.year not in years] or sessions
    span = len({day.year for day in whole})
    return round(len(whole) / span)
