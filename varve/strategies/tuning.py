"""A rule's settings, chosen on a warm-up window by a small seeded random search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from varve import registry
from varve.config import FrozenConfig
from varve.errors import SettingError, UsageError
from varve.market.calendars import get_calendar
from varve.market.data import BarSeries
from varve.market.view import MarketView
from varve.strategies.signals import SignalTrader

TRIES, MIN_SESSIONS = 20, 20
"""Trials of a search, and sessions without which there is nothing to choose by."""


class Trial(NamedTuple):
    """One set of settings that was tried: those it changed, and its score (None: it never traded)."""

    params: dict[str, int | float]
    score: float | None


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    ``base`` are the settings that trials change, the first of which changes nothing; ``best`` those of the
    highest score, of the earliest trial among equals. Scores are Sharpe ratios, annual by
    ``bars_per_year``.
    """

    strategy: str
    base: FrozenConfig
    best: FrozenConfig
    trials: tuple[Trial, ...]
    bars_per_year: float


def tune(
    strategy: str,
    view: MarketView,
    start: date,
    *,
    symbol: str,
    fixed: Mapping[str, object] | None = None,
    cost_rate: float = 0.0,
    seed: int = 0,
    tries: int = TRIES,
) -> Tuned:
    """Try the defaults and seeded draws from a rule's search space on the sessions of a warm-up window.

    The window runs from ``start`` to the last bar of ``view``, so nothing after it can be used; earlier
    bars serve the indicators. A trial starts flat and is long from a BUY to the next SELL, traded where
    the data's fill rule says: at the next open, or at the next close. Its score is the annualised Sharpe
    ratio of its returns: mean ÷ sample standard deviation × √(sessions a year, by the time that passed).

    Args:
        strategy: the name of a registered rule.
        view: the market as of the end of the warm-up.
        start: first day of the window.
        symbol: whose bars.
        fixed: settings that every trial has; the others are searched. Draws that do not go with them are
            left out.
        cost_rate: paid at each change of position, a fraction of the value traded.
        seed: of the draws, which hang on nothing else.
        tries: trials in all; fewer where the search space is smaller.

    Raises:
        UnknownNameError: if no strategy has that name.
        UsageError: if it has no search space.
        SettingError: if ``tries`` is below 1, ``fixed`` cannot be used, or the window has fewer than
            :data:`MIN_SESSIONS` bars.
    """
    rule = _load(strategy)
    if tries < 1:
        raise SettingError(f"tries={tries} cannot be used: at least 1 expected")
    bars = view.bars(symbol)
    first = int(np.searchsorted(bars.sessions, np.datetime64(start)))
    if len(bars) - first < MIN_SESSIONS:
        raise SettingError(
            f"the warm-up of {symbol} from {start} has {len(bars) - first} sessions: at least "
            f"{MIN_SESSIONS} expected to choose settings on",
            mend="start it earlier: --warmup-start",
        )
    window = bars.slice(first, len(bars))
    at_open = view.provenance(symbol).fill_rule == "next_open"
    per_year = get_calendar(view.instrument(symbol).calendar).bars_per_year(
        bars.session(first), bars.session(len(bars) - 1), len(window) - 1
    )

    def score(config: FrozenConfig) -> float | None:
        trader = rule(config)
        if len(bars) < trader.bars_needed:
            return None
        held = positions(trader.read(bars).actions[first:])
        return sharpe(followed(held, window, at_open=at_open, cost_rate=cost_rate), per_year)

    configs = _configs(rule, dict(fixed or {}), seed, tries)
    trials = tuple(Trial(params, score(config)) for params, config in configs)
    best = max(range(len(trials)), key=lambda i: (_or_least(trials[i].score), -i))
    return Tuned(strategy, configs[0][1], configs[best][1], trials, per_year)


def followed(
    held: NDArray[np.float64], bars: BarSeries, *, at_open: bool, cost_rate: float
) -> NDArray[np.float64]:
    """Returns of following positions, shape (n − 1,), one for each bar after the first.

    Args:
        held: what each bar's signal leads to, 1 long or 0 flat, shape (n,); taken on the bar after it.
        at_open: whether it is taken at that bar's open, where it is known, rather than its close.
        cost_rate: a fraction of the value traded.
    """
    close = bars.close
    entry = close[1:]
    if at_open:
        entry = np.where(np.isnan(bars.open[1:]), entry, bars.open[1:])
    now = held[:-1]
    before = np.concatenate([[0.0], now[:-1]])
    growth = (1 + before * (entry / close[:-1] - 1)) * (1 + now * (close[1:] / entry - 1))
    returns: NDArray[np.float64] = growth * (1 - cost_rate * np.abs(now - before)) - 1
    return returns


def positions(actions: NDArray[np.int8]) -> NDArray[np.float64]:
    """Long (1) from a BUY to the next SELL, else flat (0), shape as given; flat at first."""
    given = np.where(actions != 0, np.arange(1, len(actions) + 1), 0)
    last = np.maximum.accumulate(given)
    return (np.concatenate([[0], actions])[last] > 0).astype(np.float64)


def sharpe(returns: NDArray[np.float64], per_year: float) -> float | None:
    """Annualised Sharpe ratio of daily returns (fractions); None where they are all the same."""
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation * math.sqrt(per_year) if deviation > 0 else None


def _load(strategy: str) -> type[SignalTrader]:
    found = registry.load("strategies", strategy)
    if not issubclass(found, SignalTrader) or not found.search_space:
        raise UsageError(
            f"strategy {strategy!r} cannot be tuned: it declares no search space",
            mend="run it with its defaults, or choose its settings with --set",
        )
    rule: type[SignalTrader] = found
    return rule


def _configs(
    rule: type[SignalTrader], fixed: Mapping[str, object], seed: int, tries: int
) -> list[tuple[dict[str, int | float], FrozenConfig]]:
    """The defaults with ``fixed`` (nothing drawn), then distinct drawn points of the rest of the space."""
    base = rule.Config.build(**fixed)
    settings = base.model_dump()
    names = sorted(name for name in rule.search_space if name not in fixed)
    found: list[tuple[dict[str, int | float], FrozenConfig]] = [({}, base)]
    sizes = [len(rule.search_space[name]) for name in names]
    total = math.prod(sizes)
    # Twice as many as are wanted: some may be the defaults, or not go with what is fixed.
    drawn = np.random.default_rng(seed).choice(total, size=min(2 * tries, total), replace=False)
    for point in drawn.tolist():
        places = np.unravel_index(point, sizes) if sizes else ()
        params = {name: rule.search_space[name][int(i)] for name, i in zip(names, places, strict=True)}
        if len(found) == tries:
            break
        if all(settings[name] == value for name, value in params.items()):
            continue
        try:
            found.append((params, rule.Config.build(**fixed, **params)))
        except SettingError:
            continue
    return found


def _or_least(score: float | None) -> float:
    return -math.inf if score is None else score
