"""The papers' own scoring rules, to set their printed figures beside realistic ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from varve.market.data import Floats
from varve.types import Action

FINMEM_SIDES = {Action.BUY: 1, Action.HOLD: 0, Action.SELL: -1, Action.FLAT: 0}


@dataclass(frozen=True, slots=True)
class Scored:
    """Decisions under one rule; n decisions on n + 1 sessions, the first session flat.

    Fractions: ``total_return``, ``annual_return`` and ``annual_volatility`` (None where the rule prints
    none), ``max_drawdown`` (positive, 0.3 is a loss of 30 %). ``sharpe`` as the rule prints it; None
    where it has none. ``wealth``: shape (n + 1,), the curve as the rule draws it, 1 at the start.
    ``position``: shape (n,), 1 long, 0 flat, −1 short over each session after a decision.
    """

    total_return: float
    annual_return: float | None
    annual_volatility: float | None
    sharpe: float | None
    max_drawdown: float
    wealth: tuple[float, ...]
    position: tuple[int, ...]

    @property
    def trades(self) -> int:
        """How often the position changed."""
        return int(np.count_nonzero(np.diff(self.position, prepend=0)))


Rule = Callable[[Sequence[float], Sequence[Action]], Scored]


def finmem_paper(closes: Sequence[float], actions: Sequence[Action]) -> Scored:
    """Score decisions by the rules of FinMem (arXiv 2311.13743, section 4.2, and its released metrics).

    The direction of a day's decision (BUY 1, HOLD 0, SELL −1: so HOLD is flat and SELL is short) times
    the log return from the close that the decision has read to the next one; no costs. Cumulative return
    = Σ of these; volatility = sample standard deviation · √252; SR = Σ ÷ (sessions ÷ 252) ÷ volatility;
    MDD on Π(1 + log return).

    Args:
        closes: currency per share on one split basis, shape (n + 1,). actions: shape (n,).
    """
    sides = [FINMEM_SIDES[action] for action in actions]
    rewards = np.asarray(sides) * np.diff(np.log(np.asarray(closes, dtype=np.float64)))
    total = float(rewards.sum())
    volatility = float(rewards.std(ddof=1)) * 252**0.5 if len(rewards) > 1 else 0.0
    return Scored(
        total_return=total,
        annual_return=total / (len(closes) / 252),
        annual_volatility=volatility,
        sharpe=total / (len(closes) / 252) / volatility if volatility else None,
        max_drawdown=_drawdown(np.cumprod(1 + rewards)),
        wealth=(1.0, *(1.0 + np.cumsum(rewards)).tolist()),
        position=tuple(sides),
    )


def finagent_paper(
    closes: Sequence[float],
    actions: Sequence[Action],
    *,
    initial_cash: float = 10_000.0,
    fee: float = 0.001,
) -> Scored:
    """Score decisions by the rules of FinAgent (arXiv 2402.18485, table 4 and its released code).

    Each decision fills at the close that it has read, in whole shares, for a 0.1 % fee; it buys all or
    sells all. The return series has a leading 0, and the entry fee is the first return: T = sessions
    + 1. ARR = (V_T ÷ V_0 − 1) · 252 ÷ T; SR = mean ÷ population standard deviation · √T; MDD on the
    compounded series.

    Args:
        closes: currency per share on one split basis, shape (n + 1,). actions: shape (n,).
        initial_cash: currency. fee: fraction of the traded notional.
    """
    cash, shares, values, held = initial_cash, 0, [initial_cash], []
    for close, action in zip(closes, [*actions, Action.HOLD], strict=True):
        if action is Action.BUY and shares == 0:
            shares = math.floor(cash / (close * (1 + fee)))
            cash -= shares * close * (1 + fee)
        elif action in (Action.SELL, Action.FLAT) and shares:
            cash += shares * close * (1 - fee)
            shares = 0
        values.append(cash + shares * close)
        held.append(int(shares > 0))
    returns = np.diff(values, prepend=values[0]) / np.concatenate([[values[0]], values[:-1]])
    count, spread = len(returns), float(returns.std())
    return Scored(
        total_return=values[-1] / values[0] - 1,
        annual_return=(values[-1] / values[0] - 1) * 252 / count,
        annual_volatility=None,
        sharpe=float(returns.mean() / spread * count**0.5) if spread else None,
        max_drawdown=_drawdown(np.cumprod(1 + returns)),
        wealth=(1.0, *(value / values[0] for value in values[2:])),
        position=tuple(held[:-1]),
    )


SCORING: dict[str, Rule] = {"finmem-paper": finmem_paper, "finagent-paper": finagent_paper}
"""Scoring presets by name."""


def carried(actions: Sequence[Action]) -> list[int]:
    """The side of each decision where HOLD keeps it: 1, 0 or −1 (after SELL), flat at first; shape (n,)."""
    sides, side = [], 0
    for action in actions:
        side = side if action is Action.HOLD else FINMEM_SIDES[action]
        sides.append(side)
    return sides


def _drawdown(compounded: Floats) -> float:
    return float((1 - compounded / np.maximum.accumulate(np.concatenate([[1.0], compounded]))[1:]).max())
