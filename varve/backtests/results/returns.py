"""Returns of a run, session by session, with which of them came with a position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from varve.backtests.results.track import Track
from varve.market.calendars import get_calendar
from varve.market.data import Floats

MIN_IN_POSITION = 20
"""Sessions in position below which nothing is said of a Sharpe ratio."""
MIN_SPELLS = 5
"""Spells below which nothing is said, where a run is flat in more than one of ten sessions."""


@dataclass(frozen=True, slots=True, eq=False)
class SessionReturns:
    """Simple returns per session, bar 0 left out, with whether each came with a position.

    ``values``: fractions, shape (n,). ``in_position``: shape (n,); True where a position was held at the
    start or at the end of the session, so that the session in which it is closed counts.
    """

    values: Floats
    in_position: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.values.shape != self.in_position.shape:
            raise ValueError(f"{len(self.values)} returns against {len(self.in_position)} sessions")

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, track: Track) -> SessionReturns:
        """Of a track; n − 1 returns for n equities, as bar 0 is flat by construction."""
        values, held = session_returns(track.equity), np.asarray(track.position) != 0
        # Between two sessions of a track that was cut, a position may have come and gone.
        return cls(values, held[1:] | held[:-1] | (values != 0))

    @classmethod
    def alone(cls, values: Floats) -> SessionReturns:
        """Where only returns are known: a session that earned nothing counts as flat."""
        return cls(values, values != 0)

    @property
    def moves(self) -> bool:
        """Whether the returns differ at all, beyond rounding."""
        return len(self) > 1 and float(self.values.var()) > 1e-18

    @property
    def sessions_in_position(self) -> int:
        """How many sessions came with a position."""
        return int(self.in_position.sum())

    @property
    def spells(self) -> int:
        """How many runs of such sessions there are, with flat sessions between them."""
        return spells_of(self.in_position)

    @property
    def withheld(self) -> str:
        """Why nothing can be said of the Sharpe ratio; empty where something can."""
        return withheld(len(self), self.sessions_in_position, self.spells) or (
            "" if self.moves else "the returns never move"
        )


def session_returns(equity: Sequence[float]) -> Floats:
    """Simple returns per session, shape (n − 1,) for n equities: bar 0 has none."""
    values = np.asarray(equity, dtype=np.float64)
    return values[1:] / values[:-1] - 1.0


def spells_of(in_position: NDArray[np.bool_]) -> int:
    """How many runs of True there are."""
    return int(np.count_nonzero(np.diff(np.concatenate([[False], in_position]).astype(np.int8)) == 1))


def withheld(sessions: int, in_position: int, spells: int) -> str:
    """Why so few sessions, or spells, in position allow no interval; empty where they do."""
    if in_position == 0:
        return "no position"
    if in_position < MIN_IN_POSITION:
        return f"{in_position} {_plural('session', in_position)} in position, {MIN_IN_POSITION} needed"
    if 10 * in_position < 9 * sessions and spells < MIN_SPELLS:
        return f"{spells} {_plural('spell', spells)} in position, {MIN_SPELLS} needed"
    return ""


def bars_per_year(track: Track, calendar: str) -> float:
    """How many bars a year of this track has, by the time that passed on its calendar."""
    first, last = track.sessions[0], track.sessions[-1]
    return get_calendar(calendar).bars_per_year(first, last, len(track.sessions) - 1)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
