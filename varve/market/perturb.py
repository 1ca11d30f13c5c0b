"""Another future, for tests of foresight: the same past, and after an instant other bars, documents, events.

Nothing of the true future is kept: not its values, and not how much of it there is, when it comes or of what
kind it is. Only the calendar is known ahead; whether a session of it has a bar is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Literal, get_args

import numpy as np

from varve.clock import from_ns, to_ns
from varve.market.calendars import LAST_DAY, get_calendar
from varve.market.data import BarSeries, Floats, InstrumentData
from varve.types import CorporateEvent, Document, DocumentKind

FUTURES = 3
"""Seeds 0 to 2 perturb every kind of fact in both directions; later seeds draw such futures again."""

KINDS: tuple[DocumentKind, ...] = get_args(DocumentKind)
_EVENT_KINDS: tuple[Literal["split", "dividend"], ...] = ("split", "dividend")
_SOON = 3
"""So many documents of every kind come within the first minutes of a future that has more."""


def scramble_after(data: InstrumentData, instant: datetime, *, seed: int = 0) -> InstrumentData:
    """``data`` with everything that was not available at ``instant`` replaced by another future.

    Kept to the bit: bars that had ended, documents that could be read, splits and dividends whose bar had
    begun. What comes after is made up, by ``seed`` modulo 3:

    - 0, fewer: two bars, none on the next session, at lower prices that move little, with less volume; no
      document, no split and no dividend;
    - 1, more: bars on the next session and on most after it, to beyond the end of the data, at higher
      prices that move much, with more volume; a split and a dividend with the first of them and further
      ones; all later documents as others, and documents of every kind within minutes;
    - 2, others: bars on the same sessions with other values, as many documents and events as there were,
      with other texts, values, kinds and instants.

    What is known of the data only since it was pulled (provenance) is left out.
    """
    rng = np.random.default_rng([seed, abs(to_ns(instant))])
    known, plan = int(np.searchsorted(data.bars.end_ns, to_ns(instant), side="right")), seed % FUTURES
    later = _sessions(data, instant, known, plan, rng)
    bars = _continued(data, known, later, plan, rng)
    return replace(
        data,
        bars=bars,
        documents=_documents(data, instant, plan, rng),
        events=_events(data, instant, bars.sessions[known:].astype(object).tolist(), plan, rng),
        provenance=replace(data.provenance, pulled_at=None, note=""),
    )


def _sessions(
    data: InstrumentData, instant: datetime, known: int, plan: int, rng: np.random.Generator
) -> list[date]:
    """On which sessions after the instant there is a bar."""
    bars, venue = data.bars, get_calendar(data.instrument.calendar)
    there = [bars.session(i) for i in range(known, len(bars))]
    last = bars.session(known - 1) if known else date.min
    free = [s for s in venue.sessions(max(last, instant.date() - timedelta(days=4)), LAST_DAY) if s > last]
    free = [s for s in free[:8] if venue.close_at(s) > instant] + free[8:]
    if plan == 0:
        place = int(rng.integers(1, 4))
        return free[place : place + 2]
    if plan == 2:
        return there
    # By a quarter and a month more than there were; one in ten is missing, and the third always.
    until = sum(s <= there[-1] for s in free) if there else 0
    wanted = free[: max(until, len(there)) * 5 // 4 + 30]
    return [s for i, s in enumerate(wanted) if i == 0 or (rng.random() > 0.1 and i != 2)]


def _continued(
    data: InstrumentData, known: int, later: Sequence[date], plan: int, rng: np.random.Generator
) -> BarSeries:
    """The known bars, and made-up ones on the later sessions."""
    bars, count = data.bars, len(later)
    past = bars.slice(0, known) if known else bars
    sign = (-1.0, 1.0, float(rng.choice([-1.0, 1.0])))[plan]
    wild = (0.1, 2.0, 1.0)[plan]
    start = float(past.close[-1] if known else past.close[0])
    close = start * np.exp(0.3 * sign + np.cumsum(rng.normal(0.0, 0.03 * wild, count)))
    open_ = close * np.exp(rng.normal(0.0, 0.02 * wild, count))
    volume = _level(past.volume) * np.exp(2.0 * sign + rng.normal(0.0, 0.7, count))
    volume[1:][rng.random(max(0, count - 1)) < 0.05] = np.nan
    spread = np.abs(rng.normal(0.0, 0.01 * wild, (2, count)))
    made = {
        "open": open_,
        "high": np.maximum(open_, close) * (1.0 + spread[0]),
        "low": np.minimum(open_, close) * (1.0 - spread[1]),
        "close": close,
        "volume": volume,
    }
    # A column that the source never has is no fact of the future.
    absent = [name for name in ("open", "high", "low", "volume") if np.isnan(getattr(past, name)).all()]
    if data.provenance.fill_rule == "next_open":
        absent = [name for name in absent if name != "open"]
    made.update({name: np.full(count, np.nan) for name in absent})
    times = BarSeries.from_sessions(data.instrument.calendar, later, close)
    same = plan == 2
    columns: dict[str, np.ndarray] = {
        "sessions": times.sessions,
        "start_ns": bars.start_ns[known:] if same else times.start_ns,
        "end_ns": bars.end_ns[known:] if same else times.end_ns,
        **made,
    }
    return BarSeries(
        **{name: np.concatenate([getattr(bars, name)[:known], column]) for name, column in columns.items()}
    )


def _level(volume: Floats) -> float:
    """A usual volume, in shares; 1 where there is none."""
    positive = volume[volume > 0]
    return float(np.median(positive)) if len(positive) else 1.0


def _documents(
    data: InstrumentData, instant: datetime, plan: int, rng: np.random.Generator
) -> tuple[Document, ...]:
    kept = tuple(d for d in data.documents if d.available_at <= instant)
    if plan == 0:
        return kept
    after = to_ns(instant)
    shift = int(rng.integers(1, len(KINDS)))
    # (kind, nanoseconds after the instant): sooner or later than it was, and of another kind.
    made = [
        (KINDS[(KINDS.index(d.kind) + shift) % len(KINDS)], (to_ns(d.available_at) - after) * factor)
        for d, factor in zip(
            data.documents[len(kept) :], rng.uniform(0.3, 1.7, len(data.documents) - len(kept)), strict=True
        )
    ]
    if plan == 1:
        soon = [KINDS[(i + shift) % len(KINDS)] for i in range(_SOON * len(KINDS))]
        made += [(kind, (i + 1) * 60e9) for i, kind in enumerate(soon)]
    return kept + tuple(
        _made_up(data.instrument.symbol, kind, after, delay, number, rng)
        for number, (kind, delay) in enumerate(made)
    )


def _made_up(
    symbol: str, kind: DocumentKind, after_ns: int, delay: float, number: int, rng: np.random.Generator
) -> Document:
    # Whole microseconds, and at least one: it must not be readable at the instant.
    at = after_ns + max(1, int(delay) // 1_000) * 1_000
    word = int(rng.integers(1 << 30))
    return Document(
        id=f"future-{number}-{word}",
        symbol=symbol,
        kind=kind,
        text=f"scrambled {word} plunges surges",
        event_time=from_ns(at - int(rng.integers(0, 3_600)) * 1_000_000_000),
        available_at=from_ns(at),
    )


def _events(
    data: InstrumentData, instant: datetime, later: Sequence[date], plan: int, rng: np.random.Generator
) -> tuple[CorporateEvent, ...]:
    kept = tuple(e for e in data.events if _has_begun(e, data, instant))
    if plan == 0 or not later:
        return kept
    gone = [e for e in data.events if e not in kept]
    places: set[tuple[int, str]] = set()
    for event in gone:
        # The other kind, on any later session but its own.
        away = [i for i, session in enumerate(later) if session != event.session]
        other = _EVENT_KINDS[event.kind == "split"]
        if away:
            places.add((int(rng.choice(away)), other))
    if plan == 1:
        places |= {(0, "split"), (0, "dividend")}
        # One or two more: how many there are in all may not stay even or odd.
        places |= {(int(rng.integers(1, len(later))), kind) for kind in _EVENT_KINDS[: rng.integers(1, 3)]}
    close = float(data.bars.close[0])
    return kept + tuple(
        CorporateEvent(
            data.instrument.symbol,
            "split" if kind == "split" else "dividend",
            later[place],
            float(rng.choice([2.0, 3.0, 0.5]) if kind == "split" else close * rng.uniform(0.002, 0.02)),
        )
        for place, kind in sorted(places)
    )


def _has_begun(event: CorporateEvent, data: InstrumentData, instant: datetime) -> bool:
    """Whether the bar that the event takes effect with had begun before the instant."""
    index = int(np.searchsorted(data.bars.sessions, np.datetime64(event.session)))
    return index < len(data.bars) and from_ns(int(data.bars.start_ns[index])) < instant
