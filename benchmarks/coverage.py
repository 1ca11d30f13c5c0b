"""How often noise is called an edge, and how often a true Sharpe ratio is covered: the table of docs.

``python -m benchmarks.coverage`` prints it as Markdown. Each cell draws returns with a law, keeps them in
the sessions in position and leaves 0 in the others, and asks the functions that reports use.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import t

from varve.backtests.results.returns import SessionReturns, spells_of, withheld
from varve.backtests.results.sharpe import MeanLaw, sharpe_difference, sharpe_estimate

DRAWS, SEED = 10_000, 20261201
SESSIONS = (63, 126, 252, 1000)
PAIRED, PAIRED_LAWS, PAIRS = (63, 252), ("normal", "AR .2", "t3"), 1_000
"""Windows and laws whose paired differences are in the table, and draws of each."""
SHARES = (1.0, 0.9, 0.5, 0.25, 0.1, 0.05)
TRUE = 1.0
"""The annual Sharpe ratio at which coverage is measured beside 0."""
YEAR = 252

Draws = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, int]], Draws]


def _autoregressive(rng: np.random.Generator, shape: tuple[int, int]) -> Draws:
    noise = rng.normal(size=(shape[0], shape[1] + 50))
    return np.asarray(lfilter([1.0], [1.0, -0.2], noise, axis=1)[:, 50:])


def _garch(rng: np.random.Generator, shape: tuple[int, int]) -> Draws:
    """GARCH(1,1) with α 0.1 and β 0.88, after 200 sessions of its own."""
    count = shape[1] + 200
    variance, last = np.ones(shape[0]), np.zeros(shape[0])
    found = np.empty((shape[0], count))
    for i in range(count):
        variance = 0.02 + 0.1 * last**2 + 0.88 * variance
        last = np.sqrt(variance) * rng.normal(size=shape[0])
        found[:, i] = last
    return found[:, 200:]


LAWS: dict[str, tuple[Law, float, float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 3.0, 1.0),
    "t5": (lambda rng, shape: rng.standard_t(5, size=shape), 3.0, (5 / 3) ** 0.5),
    "GARCH": (_garch, 3.0, 1.0),
    "AR .2": (_autoregressive, 3.0, (1 / (1 - 0.2**2)) ** 0.5),
    "t3": (lambda rng, shape: rng.standard_t(3, size=shape), 0.0, 3**0.5),
    "skew +2": (lambda rng, shape: rng.exponential(size=shape) - 1, 0.0, 1.0),
    "skew −2": (lambda rng, shape: 1 - rng.exponential(size=shape), 0.0, 1.0),
}
"""By name: how to draw with mean 0, the least rejection that its bar asks in percent, its deviation."""


class Cell(NamedTuple):
    """``sessions`` with a mask of those in position, in many short spells or in few long ones."""

    sessions: int
    share: float
    pattern: str
    mask: NDArray[np.bool_]

    @property
    def spells(self) -> int:
        """Runs of sessions in position."""
        return spells_of(self.mask)


@dataclass(frozen=True)
class Found:
    """Of one cell and law, in percent: rejections of 0, PSR above 95 %, coverage of a true ratio of 1."""

    rejected: float
    claimed: float
    covered: float


def cells() -> Iterator[Cell]:
    """Every cell of which something can be said, and the smallest of them beside."""
    yield _cell(63, 20 / 63, 5, "few")
    yield _cell(63, 20 / 63, 20, "many")
    for sessions in SESSIONS:
        for share in SHARES:
            held = round(sessions * share)
            if share == 1.0:
                yield Cell(sessions, share, "–", np.ones(sessions, dtype=bool))
            elif held >= 20:
                yield _cell(sessions, share, 2 if 10 * held >= 9 * sessions else 5, "few")
                yield _cell(sessions, share, min(held, sessions - held), "many")


def _cell(sessions: int, share: float, spells: int, pattern: str) -> Cell:
    """A mask of ``spells`` spells of nearly equal length, evenly spread."""
    held = round(sessions * share)
    parts = [np.array_split(np.arange(count), spells) for count in (held, sessions - held)]
    mask = [np.repeat([True, False], [len(a), len(b)]) for a, b in zip(*parts, strict=True)]
    cell = Cell(sessions, share, pattern, np.concatenate(mask))
    assert not withheld(sessions, held, cell.spells)
    return cell


def measure(cell: Cell, law: str, *, draws: int = DRAWS, seed: int = SEED) -> Found:
    """Draw ``draws`` windows of one cell and count."""
    draw, _, deviation = LAWS[law]
    rng = np.random.default_rng([seed, cell.sessions, cell.spells, list(LAWS).index(law)])
    values = draw(rng, (draws, cell.sessions))[:, cell.mask]
    found = MeanLaw.of(values)
    distance = found.mean / found.error
    rejected = found.p(distance) < 0.05
    claimed = t.cdf(found.score(distance), found.freedom) > 0.95
    # With an edge, each session in position earns as much more as gives an annual Sharpe ratio of 1.
    p, sharpe = cell.mask.mean(), TRUE / YEAR**0.5
    edge = deviation * sharpe / (p * (1 - sharpe**2 * (1 - p) / p)) ** 0.5
    moved = MeanLaw.of(values + edge)
    spread = np.sqrt(((values + edge) ** 2).sum(axis=1) / cell.sessions - (moved.mean * p) ** 2)
    spread *= (cell.sessions / (cell.sessions - 1)) ** 0.5
    value, error = moved.mean * p / spread, moved.error * p / spread
    low, high = value - moved.distance(0.975) * error, value - moved.distance(0.025) * error
    _check(cell, values[0] + edge, float(low[0]), float(high[0]))
    covered = (low <= sharpe) & (sharpe <= high)
    return Found(*(100 * float(part.mean()) for part in (rejected, claimed, covered)))


def _check(cell: Cell, values: Draws, low: float, high: float) -> None:
    """The first draw gives, through the function that reports use, the interval that is counted here."""
    whole = np.zeros(cell.sessions)
    whole[cell.mask] = values
    estimate = sharpe_estimate(SessionReturns(whole, cell.mask), 1.0)
    assert np.allclose([estimate.low, estimate.high], [low, high], rtol=1e-9), (estimate, low, high)


def measure_pair(cell: Cell, law: str, *, draws: int = PAIRS, seed: int = SEED) -> list[tuple[float, int]]:
    """How often no difference is called one, in percent, and in how many draws something is said at all.

    First from holding, which earns the same returns in every session; then from another run, in position
    as long, elsewhere.
    """
    draw, _, _ = LAWS[law]
    rng = np.random.default_rng([seed, cell.sessions, cell.spells, list(LAWS).index(law)])
    one, two = (draw(rng, (draws, cell.sessions)) for _ in range(2))
    other, held = np.roll(cell.mask, cell.sessions // 3), np.ones(cell.sessions, dtype=bool)
    found = []
    for second, mask in ((one, held), (two, other)):
        told = [
            sharpe_difference(_run(a, cell.mask), _run(b, mask), 1.0)
            for a, b in zip(one, second, strict=True)
        ]
        p = np.array([estimate.p for estimate in told if not estimate.why])
        found.append((100 * float((p < 0.05).mean()) if len(p) else float("nan"), len(p)))
    return found


def _run(values: Draws, mask: NDArray[np.bool_]) -> SessionReturns:
    return SessionReturns(np.where(mask, values, 0.0), mask)


def _pair_told(found: list[tuple[float, int]], draws: int = PAIRS) -> str:
    return " / ".join(f"{share:.1f}" if 2 * count > draws else "unsaid" for share, count in found)


def main() -> None:
    """Print the tables."""
    print(f"{DRAWS:,} draws a cell, seed {SEED}; Python {platform.python_version()}, numpy {np.__version__}.")
    print("Each entry, in percent: rejections of a true Sharpe ratio of 0 / PSR above 95 % / coverage of a")
    print("true Sharpe ratio of 1 a year; nominal 5 / 5 / 95.\n")
    print(f"| sessions | in position | spells | {' | '.join(LAWS)} |")
    print(f"|{'---|' * (3 + len(LAWS))}", flush=True)
    for cell in cells():
        found = [measure(cell, law) for law in LAWS]
        told = [f"{f.rejected:.1f} / {f.claimed:.1f} / {f.covered:.1f}" for f in found]
        line = [f"{cell.sessions:,}", f"{int(cell.mask.sum()):,}", f"{cell.spells}", *told]
        print(f"| {' | '.join(line)} |", flush=True)
    print(f"\nPaired differences, {PAIRS:,} draws a cell: how often none is called one, in percent, from")
    print("holding / from another run in position elsewhere; unsaid where too few sessions differ.\n")
    print(f"| sessions | in position | spells | {' | '.join(PAIRED_LAWS)} |")
    print(f"|{'---|' * (3 + len(PAIRED_LAWS))}", flush=True)
    for cell in cells():
        if cell.share < 1 and cell.sessions in PAIRED:
            told = [_pair_told(measure_pair(cell, law)) for law in PAIRED_LAWS]
            line = [f"{cell.sessions:,}", f"{int(cell.mask.sum()):,}", f"{cell.spells}", *told]
            print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
