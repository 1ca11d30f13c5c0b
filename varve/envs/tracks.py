"""What the exchange needs of the data, laid out once along its sessions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from varve.clock import from_ns
from varve.envs.costs import CostModel
from varve.errors import IntegrityError, NoDataError, SettingError
from varve.market.data import Floats, InstrumentData
from varve.types import CorporateEvent, FillRule, Instrument


@dataclass(frozen=True, slots=True)
class Track:
    """One instrument along the exchange's sessions; lists because Python floats are fast one by one.

    ``traded``: whether it has a bar then. ``fillable``: whether anything was traded on it: not where its
    volume is 0 though that of an earlier bar was not.
    ``reference`` is the price (currency per share) a fill on that
    bar starts from, ``close`` the last known close. ``adv`` (shares, None without volume) and ``sigma``
    (a fraction, daily) come from earlier bars alone. ``events`` by the index at which they take effect.
    """

    instrument: Instrument
    traded: list[bool]
    fillable: list[bool]
    reference: list[float]
    close: list[float]
    filled_at: list[datetime]
    ended_at_ns: list[int]
    adv: list[float | None]
    sigma: list[float]
    events: dict[int, list[CorporateEvent]]


def make_track(data: InstrumentData, sessions: Sequence[date], rule: FillRule, costs: CostModel) -> Track:
    """The track of an instrument.

    Raises:
        IntegrityError: if fills are at the open and a bar that may be filled on has none.
    """
    bars, at_open = data.bars, rule == "next_open"
    wanted = np.array(sessions, dtype="datetime64[D]")
    position = np.searchsorted(bars.sessions, wanted, side="right") - 1
    at = np.maximum(position, 0)
    traded = (position >= 0) & (bars.sessions[at] == wanted)
    # Nothing fills on the first bar: it is over when the exchange opens.
    if at_open and bool((lacking := traded[1:] & np.isnan(bars.open[at[1:]])).any()):
        session = sessions[1 + int(lacking.argmax())]
        raise IntegrityError(
            f"{data.instrument.symbol} has bars without an open, see {session}; an open is never made up",
            mend="use fill_rule next_close",
        )
    adv, sigma = _activity(data, costs.adv_sessions)
    return Track(
        instrument=data.instrument,
        traded=traded.tolist(),
        fillable=(traded & ~_idle(data)[at]).tolist(),
        reference=(bars.open if at_open else bars.close)[at].tolist(),
        close=bars.close[at].tolist(),
        filled_at=[from_ns(ns) for ns in (bars.start_ns if at_open else bars.end_ns)[at].tolist()],
        ended_at_ns=bars.end_ns[at].tolist(),
        adv=[None if np.isnan(value) else float(value) for value in adv[at]],
        sigma=sigma[at].tolist(),
        events=_events(data, wanted),
    )


def common_fill_rule(instruments: Sequence[InstrumentData]) -> FillRule:
    """The fill rule that all instruments' data has.

    Raises:
        IntegrityError: if they differ.
    """
    rules = sorted({data.provenance.fill_rule for data in instruments})
    if len(rules) != 1:
        raise IntegrityError(
            f"instruments fill by different rules: {', '.join(rules)}", mend="give fill_rule explicitly"
        )
    return rules[0]


def common_calendar(instruments: Sequence[InstrumentData]) -> str:
    """The calendar that all instruments trade on.

    Raises:
        SettingError: if they differ: their decisions do not fall on the same instants, so that one of
            them would see prices of the other that are still to come.
    """
    names = sorted({data.instrument.calendar for data in instruments})
    if len(names) != 1:
        raise SettingError(
            f"instruments trade on different calendars: {', '.join(names) or 'none'}",
            mend="run instruments of different calendars apart",
        )
    return names[0]


def union_of_sessions(
    instruments: Sequence[InstrumentData], start: date | None, end: date | None
) -> list[date]:
    """Sessions from ``start`` to ``end``, both included, on which at least one instrument has a bar.

    Raises:
        NoDataError: if there are fewer than two.
    """
    every = np.unique(np.concatenate([data.bars.sessions for data in instruments]))
    sessions: list[date] = every.astype(object).tolist()
    inside = [s for s in sessions if (start is None or s >= start) and (end is None or s <= end)]
    if len(inside) < 2:
        raise NoDataError(
            f"{len(inside)} sessions between {start} and {end}; an exchange needs at least 2",
            mend="give a longer window",
        )
    return inside


def split_ratios(data: InstrumentData) -> Floats:
    """Per bar, shape (n,), new shares per old one that take effect with it; 1 on most.

    A split on a day without a bar takes effect with the next one.
    """
    ratio = np.ones(len(data.bars))
    for event in data.events:
        if event.kind == "split" and (bar := _effective_bar(data, event)) is not None:
            ratio[bar] *= event.value
    return ratio


def split_of(events: Sequence[CorporateEvent]) -> float:
    """New shares per old one of all splits of one bar; 1 without one.

    They take effect as one: a fraction of a share between two of them is never held, and never paid out.
    """
    return math.prod(event.value for event in events if event.kind == "split")


def _effective_bar(data: InstrumentData, event: CorporateEvent) -> int | None:
    bar = int(np.searchsorted(data.bars.sessions, np.datetime64(event.session)))
    return bar if bar < len(data.bars) else None


def _events(data: InstrumentData, wanted: np.ndarray) -> dict[int, list[CorporateEvent]]:
    """Events by session index; splits before dividends, which are paid per share after the split."""
    events: dict[int, list[CorporateEvent]] = {}
    for event in data.events:
        bar = _effective_bar(data, event)
        if bar is None:
            continue
        index = int(np.searchsorted(wanted, data.bars.sessions[bar]))
        if 0 < index < len(wanted):
            events.setdefault(index, []).append(event)
    for listed in events.values():
        listed.sort(key=lambda event: event.kind, reverse=True)
    return events


def _idle(data: InstrumentData) -> NDArray[np.bool_]:
    """Per bar, whether nothing was traded on it; earlier bars alone say whether the series has volume."""
    volume = data.bars.volume
    known = np.concatenate([[False], np.logical_or.accumulate(volume[:-1] > 0)])
    return np.asarray((volume == 0) & known)


@lru_cache(maxsize=8)
def _activity(data: InstrumentData, sessions: int) -> tuple[Floats, Floats]:
    """Per bar, ADV (shares, NaN without volume) and σ of daily returns over the bars before it."""
    bars, n = data.bars, len(data.bars)
    ratio = split_ratios(data)
    returns = np.zeros(n)
    returns[1:] = bars.close[1:] * ratio[1:] / bars.close[:-1] - 1.0
    # Volumes on the split basis of the last bar, and back on each bar's own at the end.
    basis = np.cumprod(ratio)
    adv, sigma = np.full(n, np.nan), np.zeros(n)
    volume = bars.volume / basis
    for i in range(1, n):
        window = volume[max(0, i - sessions) : i]
        known = window[~np.isnan(window)]
        if len(known) and known.mean() > 0:
            adv[i] = known.mean() * basis[i]
        past = returns[max(1, i - sessions) : i]
        if len(past) >= 2:
            sigma[i] = past.std(ddof=1)
    return adv, sigma
