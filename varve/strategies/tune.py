"""A rule's settings, chosen on a warm-up window by a small seeded random search."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from varve import registry
from varve.config import FrozenConfig
from varve.errors import SettingError, UsageError
from varve.market.calendars import get_calendar
from varve.market.view import MarketView
from varve.strategies.signals import SignalTrader


class Trial(NamedTuple):
    """One set of settings that was tried: those it changed, and its score (None: it never traded)."""

    params: dict[str, int | float]
    score: float | None


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    ``best`` are the settings of the highest score, of the earliest trial among equals; ``trials`` are
    all of them in order, the defaults first. Scores are annualised Sharpe ratios before costs.
    """

    strategy: str
    best: FrozenConfig
    trials: tuple[Trial, ...]


def tune(
    strategy: str, view: MarketView, start: date, *, symbol: str, seed: int = 0, tries: int = 20
) -> Tuned:
    """Try the defaults and seeded draws from a rule's search space on the sessions of a warm-up window.

    The window runs from ``start`` to the last bar of ``view``, so nothing after it can be used; earlier
    bars serve the indicators. A trial starts flat, is long from a BUY to the next SELL, and earns the
    return from the close of its signal to the next one. Its score is the annualised Sharpe ratio of that:
    mean ÷ sample standard deviation × √(sessions a year of the calendar).

    Args:
        strategy: the name of a registered rule.
        view: the market as of the end of the warm-up.
        start: first day of the window.
        symbol: whose bars.
        seed: of the draws, which hang on nothing else.
        tries: trials in all; fewer where the search space is smaller.

    Raises:
        UnknownNameError: if no strategy has that name.
        UsageError: if it has no search space.
        SettingError: if ``tries`` is below 1, or the window has fewer than three bars.
    """
    rule = _load(strategy)
    if tries < 1:
        raise SettingError(f"tries={tries} cannot be used: at least 1 expected")
    bars = view.bars(symbol)
    first = int(np.searchsorted(bars.sessions, np.datetime64(start)))
    if len(bars) - first < 3:
        raise SettingError(
            f"the warm-up of {symbol} from {start} to {view.instant.date()} has {len(bars) - first} bars: "
            "at least 3 expected",
            mend="start it earlier",
        )
    returns = np.diff(bars.close[first:]) / bars.close[first:-1]
    per_year = get_calendar(view.instrument(symbol).calendar).sessions_per_year

    def score(config: FrozenConfig) -> float | None:
        trader = rule(config)
        if len(bars) < trader.bars_needed:
            return None
        return sharpe(positions(trader.read(bars).actions[first:])[:-1] * returns, per_year)

    configs = {tuple(params.items()): rule.Config.build(**params) for params in _draws(rule, seed, tries)}
    trials = tuple(Trial(dict(params), score(config)) for params, config in configs.items())
    best = max(range(len(trials)), key=lambda i: (_or_least(trials[i].score), -i))
    return Tuned(strategy, list(configs.values())[best], trials)


def positions(actions: NDArray[np.int8]) -> NDArray[np.float64]:
    """Long (1) from a BUY to the next SELL, else flat (0), shape as given; flat at first."""
    given = np.where(actions != 0, np.arange(1, len(actions) + 1), 0)
    last = np.maximum.accumulate(given)
    return (np.concatenate([[0], actions])[last] > 0).astype(np.float64)


def sharpe(returns: NDArray[np.float64], per_year: int) -> float | None:
    """Annualised Sharpe ratio of daily returns (fractions); None where they are all the same."""
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation * math.sqrt(per_year) if deviation > 0 else None


def _load(strategy: str) -> type[SignalTrader]:
    found: Any = registry.load("strategies", strategy)
    if not issubclass(found, SignalTrader) or not found.search_space:
        raise UsageError(
            f"strategy {strategy!r} cannot be tuned: it declares no search space",
            mend="run it with its defaults, or choose its settings with --set",
        )
    rule: type[SignalTrader] = found
    return rule


def _draws(rule: type[SignalTrader], seed: int, tries: int) -> Iterator[dict[str, int | float]]:
    """The defaults (nothing changed), then distinct points of the search space other than they."""
    yield {}
    defaults = rule.Config().model_dump()
    names = sorted(rule.search_space)
    sizes = [len(rule.search_space[name]) for name in names]
    total = math.prod(sizes)
    drawn = np.random.default_rng(seed).choice(total, size=min(tries, total), replace=False)
    given = 1
    for point in drawn.tolist():
        places = np.unravel_index(point, sizes)
        params = {name: rule.search_space[name][int(i)] for name, i in zip(names, places, strict=True)}
        if given < tries and any(defaults[name] != value for name, value in params.items()):
            given += 1
            yield params


def _or_least(score: float | None) -> float:
    return -math.inf if score is None else score
