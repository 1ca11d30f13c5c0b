"""The papers' own scoring rules, to set their printed figures beside conventional ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from varve.types import Action


@dataclass(frozen=True, slots=True)
class PaperScore:
    """Figures as FinAgent's table 4 prints them: percent, ratio, percent."""

    annual_return_percent: float
    sharpe: float
    max_drawdown_percent: float


def finagent_paper(
    closes: Sequence[float],
    actions: Sequence[Action],
    *,
    initial_cash: float = 10_000.0,
    fee: float = 0.001,
) -> PaperScore:
    """Score decisions by the rules of FinAgent (arXiv 2402.18485, table 4 and its released code).

    Each decision fills at the close that it has read, in whole shares, for a 0.1 % fee; it buys all or
    sells all. The return series has a leading 0, and the entry fee is the first return: T = sessions
    + 1. ARR = (V_T ÷ V_0 − 1) · 252 ÷ T; SR = mean ÷ population standard deviation · √T; MDD on the
    compounded series.

    Args:
        closes: currency per share, shape (n,). actions: one per close, shape (n,).
        initial_cash: currency. fee: fraction of the traded notional.
    """
    cash, shares, values = initial_cash, 0, [initial_cash]
    for close, action in zip(closes, actions, strict=True):
        if action is Action.BUY and shares == 0:
            shares = math.floor(cash / (close * (1 + fee)))
            cash -= shares * close * (1 + fee)
        elif action in (Action.SELL, Action.FLAT) and shares:
            cash += shares * close * (1 - fee)
            shares = 0
        values.append(cash + shares * close)
    returns = np.diff(values, prepend=values[0]) / np.concatenate([[values[0]], values[:-1]])
    count = len(returns)
    compounded = np.cumprod(1 + returns)
    spread = float(returns.std())
    return PaperScore(
        annual_return_percent=100 * (values[-1] / values[0] - 1) * 252 / count,
        sharpe=float(returns.mean() / spread * count**0.5) if spread else float("nan"),
        max_drawdown_percent=100 * float((1 - compounded / np.maximum.accumulate(compounded)).max()),
    )


SCORING = {"finagent-paper": finagent_paper}
"""Scoring presets by name."""
