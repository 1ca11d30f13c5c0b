"""How often an instrument has a bar, and which sessions lack one: found at import, said wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import get_args

import numpy as np

from varve.errors import DataError, UnknownNameError
from varve.market.calendars import TradingCalendar, get_calendar
from varve.market.data import BarSeries, Frequency, InstrumentData

FREQUENCIES: tuple[Frequency, ...] = get_args(Frequency)

MISSING_SHARE_TOLD = 1 / 3
"""Up to this share of missing sessions, daily bars are taken and their gaps are said; above it they are
refused."""
SPACING_TOLERANCE = 0.25
"""So far, as a share, the median spacing of bars may lie from that of a frequency to be taken for it."""
FEWEST_BARS = 5
"""Of fewer bars nothing is found out."""
FEWEST_OF_A_WEEK = 15
"""Of fewer bars, not even that none of them is on a weekend."""

_A_YEAR = {"weekly": 365.25 / 7, "monthly": 12.0, "quarterly": 4.0, "yearly": 1.0}
_ONE = {"daily": "session", "weekly": "week", "monthly": "month", "quarterly": "quarter", "yearly": "year"}


@dataclass(frozen=True, slots=True)
class Density:
    """Bars against the sessions of their calendar, from the first bar to the last.

    ``bars``, ``sessions`` and ``missing`` are counts, ``spacing`` the median number of sessions from a bar to
    the next (1.0 for daily bars). ``missing`` and ``longest`` (in the longest gap) count sessions, weeks or
    months, as ``frequency`` says; the longest gap comes after the bar of session ``after``.
    """

    calendar: str
    frequency: str
    bars: int
    sessions: int
    spacing: float
    missing: int
    longest: int
    after: date

    @property
    def missing_share(self) -> float:
        """Missing bars as a share of all that are expected, 0 to 1."""
        return self.missing / (self.missing + self.bars)

    @property
    def found(self) -> str:
        """Say how many bars there are over how many sessions, and about how often one comes."""
        often = self.frequency or f"one in {self.spacing:g} sessions"
        if self.frequency:
            often = f"one a {_ONE[self.frequency]}"
        return f"{self.bars} bars over {self.sessions} sessions of {self.calendar}, about {often}"

    @property
    def gaps(self) -> str:
        """Say how many bars are missing and where the longest gap is; empty where none is missing."""
        if not self.missing:
            return ""
        one = _ONE[self.frequency or "daily"]
        of = f" of {self.calendar}" if one == "session" else ""
        longest = f"{self.longest} {one}{'s' if self.longest > 1 else ''}"
        return (
            f"{self.missing} of {self.missing + self.bars} {one}s{of} have no bar, "
            f"the longest gap is {longest} after {self.after}"
        )


def density(
    data: InstrumentData, first: int = 0, last: int | None = None, *, frequency: str | None = None
) -> Density:
    """How dense the bars ``first`` to ``last`` (included; None means the last of all) are.

    Args:
        frequency: by which what is missing is counted; None takes the one whose spacing is found, and
            leaves ``frequency`` empty where it is none's.

    Raises:
        DataError: if there are no bars.
    """
    if not len(data.bars):
        raise DataError(f"{data.instrument.symbol} has no bars", mend="import or pull prices")
    bars = data.bars.slice(first, len(data.bars) if last is None else last + 1)
    venue = get_calendar(data.instrument.calendar)
    sessions = np.array(venue.sessions(bars.session(0), bars.session(len(bars) - 1)), dtype="datetime64[D]")
    steps = np.diff(np.searchsorted(sessions, bars.sessions))
    spacing = float(np.median(steps)) if len(steps) else 1.0
    named = _nearest(spacing, venue) if frequency is None else frequency
    lacking = np.maximum(np.rint(steps / _spacing(named or "daily", venue)).astype(int) - 1, 0)
    widest = int(lacking.argmax()) if len(lacking) else 0
    return Density(
        calendar=venue.name,
        frequency=named,
        bars=len(bars),
        sessions=len(sessions),
        spacing=spacing,
        missing=int(lacking.sum()),
        longest=int(lacking[widest]) if len(lacking) else 0,
        after=bars.session(widest),
    )


def with_frequency(data: InstrumentData, declared: str | None = None) -> InstrumentData:
    """The data with its frequency in its provenance, found or declared.

    Daily bars may lack up to a third of the sessions of their calendar; what lacks more, or is weekly or
    monthly, is taken only where that is declared. On ``24/7``, bars that leave out the weekends or repeat
    Friday's close there are not taken for daily ones either. Whoever declares ``daily`` says that nothing
    was traded on the sessions between, and is believed.

    Args:
        declared: ``daily``, ``weekly`` or ``monthly``; None takes what the provenance says, if it does.

    Raises:
        DataError: naming what was found, and the option that mends it.
        UnknownNameError: for another frequency.
    """
    frequency = check_frequency(declared) or data.provenance.frequency
    if frequency is None:
        _check_daily(data)
    else:
        _check_declared(data, frequency)
    return replace(data, provenance=replace(data.provenance, frequency=frequency or "daily"))


def check_frequency(name: str | None) -> Frequency | None:
    """The frequency of that name; None for None.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    for one in FREQUENCIES:
        if one == name:
            return one
    if name is not None:
        raise UnknownNameError("frequency", name, FREQUENCIES)
    return None


def missing_sentence(data: InstrumentData, first: int = 0, last: int | None = None) -> str:
    """Say what is missing among bars ``first`` to ``last`` (included); empty where nothing is."""
    if len(data.bars) < 2:
        return ""
    return density(data, first, last, frequency=data.provenance.frequency or "daily").gaps


def _spacing(frequency: str, venue: TradingCalendar) -> float:
    """Sessions from a bar to the next."""
    return venue.sessions_per_year / _A_YEAR[frequency] if frequency in _A_YEAR else 1.0


def _nearest(spacing: float, venue: TradingCalendar) -> str:
    for name in _ONE:
        if abs(spacing / _spacing(name, venue) - 1.0) <= SPACING_TOLERANCE:
            return name
    return ""


def _check_daily(data: InstrumentData) -> None:
    if len(data.bars) < FEWEST_BARS:
        return
    symbol, found = data.instrument.symbol, density(data)
    sparse = "--frequency daily where nothing was traded on the sessions between"
    if found.frequency in FREQUENCIES and found.frequency != "daily":
        raise DataError(
            f"{symbol} has {found.found}: these are no daily bars",
            mend=f"add --frequency {found.frequency}; or {sparse}",
        )
    if found.frequency != "daily":
        raise DataError(
            f"{symbol} has {found.found}: these are no daily, weekly or monthly bars",
            mend=f"give bars of one of these; or add {sparse}",
        )
    if found.missing_share > MISSING_SHARE_TOLD:
        raise DataError(
            f"{symbol} lacks more than a third of the sessions: {found.gaps}",
            mend=f"give a file without the gap; or add {sparse}",
        )
    if get_calendar(data.instrument.calendar).always_open and (closed := _weekends(data.bars)):
        raise DataError(
            f"{symbol} is on the calendar 24/7, {closed}",
            mend="for a share, keep the days on which it traded and give --calendar XNYS; "
            "or add --frequency daily if the file is right as it is",
        )


def _check_declared(data: InstrumentData, declared: Frequency) -> None:
    if declared == "daily" or len(data.bars) < FEWEST_BARS:
        return
    found = density(data)
    if found.frequency != declared:
        mend = "leave --frequency out" if found.frequency == "daily" else f"give {declared} bars"
        if found.frequency in ("weekly", "monthly"):
            mend = f"add --frequency {found.frequency}"
        raise DataError(
            f"{data.instrument.symbol} has {found.found}, not {declared} bars as --frequency says", mend=mend
        )


def _weekends(bars: BarSeries) -> str:
    """Say how the bars show a venue that closes at weekends; empty where they do not."""
    if len(bars) < FEWEST_OF_A_WEEK:
        return ""
    # 1970-01-01, day 0, was a Thursday.
    weekend = (bars.sessions.astype("int64") + 3) % 7 >= 5
    if weekend.mean() < 0.05:
        return f"and {int(weekend.sum())} of its {len(bars)} bars are on a Saturday or Sunday"
    weekend = weekend[1:]
    repeats = bars.close[1:] == bars.close[:-1]
    # A price that hardly moves, as that of a coin tied to the dollar, repeats itself on all days.
    if repeats[weekend].mean() < 0.9 or repeats[~weekend].mean() > 0.25:
        return ""
    held = f"{int(repeats[weekend].sum())} of its {int(weekend.sum())} bars on Saturdays and Sundays"
    holidays = int(repeats[~weekend].sum())
    beside = f", and {holidays} on other days," if holidays else ""
    return f"and {held}{beside} repeat the close before them: days without trading were filled"
