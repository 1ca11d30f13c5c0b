"""What no real price does, wherever it comes from; and moves that look like a split nobody marked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from varve.errors import DataError
from varve.market.data import Floats, InstrumentData

SMALLEST, LARGEST = 1e-12, 1e12
"""Prices outside these bounds, currency per share or coin, are errors of the data."""
MOST_VOLUME = 1e21
"""More shares or coins than this are traded in no bar."""
LARGEST_JUMP = 1000.0
"""A price that becomes so many times itself, or that part of it, from a bar to the next is an error."""

SPLIT_LIKE = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 100.0)
"""New shares per old share of usual splits; their inverses are the reverse ones."""
NEARNESS = 0.06
"""So far, as a share, a move may lie from a split's to look like one; half of it for 3:2."""
MOST_SESSIONS = 5
"""Bars that lie farther apart than this many days of trading are not compared."""

_PRICES = ("open", "high", "low", "close")
_BOUNDS = {**dict.fromkeys(_PRICES, (SMALLEST, LARGEST)), "volume": (0.0, MOST_VOLUME)}


@dataclass(frozen=True)
class Move:
    """A move from a bar to the next that looks like a split: ``ratio`` is new shares per old share."""

    session: date
    before: float
    after: float
    ratio: float

    def __str__(self) -> str:
        """The move in words."""
        times = f"1/{self.ratio:g}" if self.ratio > 1 else f"{1 / self.ratio:g} times"
        return f"{self.session} ({self.before:g} to {self.after:g}, about {times})"


def check_prices(data: InstrumentData) -> None:
    """Raise where a price or a volume is none that trades.

    Raises:
        DataError: naming the session and the value.
    """
    bars, symbol = data.bars, data.instrument.symbol
    for name, (least, most) in _BOUNDS.items():
        column: Floats = getattr(bars, name)
        with np.errstate(invalid="ignore"):
            wrong = ~np.isnan(column) & ~((column >= least) & (column <= most))
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(
                f"{symbol} has the {name} {column[at]:g} on {bars.session(at)}; "
                f"expected {least:g} to {most:g}",
                mend="correct that day in the source, or leave it out",
            )
    _check_jumps(data)
    for event in data.events:
        if not (SMALLEST <= event.value <= LARGEST):
            raise DataError(
                f"{symbol} has a {event.kind} of {event.value:g} on {event.session}",
                mend="correct the event in the source, or leave it out",
            )


def _check_jumps(data: InstrumentData) -> None:
    bars, symbol = data.bars, data.instrument.symbol
    previous = bars.close[:-1] / _ratios(data)[1:]
    for name in _PRICES:
        column: Floats = getattr(bars, name)[1:]
        with np.errstate(invalid="ignore"):
            jump = np.abs(np.log(column / previous))
        wrong = jump > np.log(LARGEST_JUMP) * (1 - 1e-12)
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(
                f"{symbol} goes from {bars.close[at]:g} on {bars.session(at)} to the {name} {column[at]:g} "
                f"on {bars.session(at + 1)}; no price becomes {LARGEST_JUMP:g} times itself, or that part of "
                "it, from a bar to the next",
                mend="correct the wrong one of the two days in the source, or give the split that is missing",
            )


def _ratios(data: InstrumentData) -> Floats:
    """Per bar, shape (n,), new shares per old one that take effect with it; 1 on most."""
    ratio = np.ones(len(data.bars))
    for event in data.events:
        bar = int(np.searchsorted(data.bars.sessions, np.datetime64(event.session)))
        if event.kind == "split" and bar < len(ratio):
            ratio[bar] *= event.value
    return ratio


def split_like_moves(data: InstrumentData, first: date | None = None, last: date | None = None) -> list[Move]:
    """Moves of one day that look like a split and have none; none for weekly or monthly bars.

    Args:
        first, last: sessions from the one after ``first`` up to ``last``; None means the data's ends.
    """
    bars = data.bars
    if len(bars) < 2 or data.provenance.frequency in ("weekly", "monthly") or data.provenance.synthetic:
        return []
    previous = bars.close[:-1] / _ratios(data)[1:]
    found = []
    for at in np.flatnonzero(np.abs(np.log(bars.close[1:] / previous)) > 0.3):
        session = bars.session(int(at) + 1)
        near_in_time = (session - bars.session(int(at))).days <= 2 * MOST_SESSIONS
        inside = (first is None or session > first) and (last is None or session <= last)
        ratio = _nearest(float(previous[at]), float(bars.open[at + 1]), float(bars.close[at + 1]))
        if ratio and near_in_time and inside:
            found.append(Move(session, float(previous[at]), float(bars.close[at + 1]), ratio))
    return found


def _nearest(before: float, opened: float, closed: float) -> float:
    """The split that the open or the close of a bar looks like, after the close before; 0 for none."""
    for after in (closed, opened):
        if np.isnan(after):
            continue
        move = np.log(before / after)
        size = min(SPLIT_LIKE, key=lambda one: abs(abs(move) - np.log(one)))
        if abs(abs(move) - np.log(size)) <= NEARNESS * (0.5 if size == 1.5 else 1.0):
            return size if move > 0 else 1.0 / size
    return 0.0


def moves_sentence(moves: list[Move]) -> str:
    """Say which moves look like splits that nothing marks; empty for none."""
    if not moves:
        return ""
    more = f" and {len(moves) - 3} more" if len(moves) > 3 else ""
    return (
        f"WARNING: a move of one day looks like a split that no event marks: "
        f"{' and '.join(str(move) for move in moves[:3])}{more}. If it is one, results are wrong by it: "
        "import again with --events, or prices that are adjusted"
    )
