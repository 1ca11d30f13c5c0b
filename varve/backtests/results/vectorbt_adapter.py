"""The one module that touches vectorbt: its metrics on a return series, and its replay of the fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from varve.backtests.results.track import Track
from varve.errors import IntegrityError
from varve.market.data import Floats
from varve.types import Fill

TOLERANCE = 1e-9
"""Of initial equity: how far ledger and vectorbt may lie apart."""

_METHODS = {
    "total_return": "total",
    "annual_return": "annualized",
    "annual_volatility": "annualized_volatility",
    "sharpe": "sharpe_ratio",
    "sortino": "sortino_ratio",
}


def return_metrics(returns: Floats, bars_per_year: float) -> dict[str, float]:
    """vectorbt's metrics of simple returns per session, shape (n,); fractions, annual where so named.

    Never ``stats()``, which compiles for seconds.
    """
    import pandas as pd
    import vectorbt  # noqa: F401 (registers the accessor)

    def accessor(series: Floats) -> Any:
        return pd.Series(series).vbt.returns(freq="1D", year_freq=f"{bars_per_year} days")

    own = accessor(returns)
    figures = {name: float(getattr(own, method)()) for name, method in _METHODS.items()}
    # vectorbt measures a fall from the wealth after the first return: a loss in the first would be none.
    deepest = float(accessor(np.concatenate([[0.0], returns])).max_drawdown())
    calmar = figures["annual_return"] / -deepest if deepest else float("nan")
    return {**figures, "max_drawdown": deepest, "calmar": calmar}


def check_track(track: Track, *, filled_after_mark: bool) -> float:
    """:func:`check_replay` of a track: what was recorded against what vectorbt makes of it."""
    earned = zip(track.equity, track.dividends, strict=True)
    return check_replay(
        sessions=track.sessions,
        closes=track.close,
        fills=track.fills,
        split_factors=track.split_factors,
        trading_pnl=[equity - track.equity[0] - dividends for equity, dividends in earned],
        initial_cash=track.equity[0],
        filled_after_mark=filled_after_mark,
    )


def check_replay(
    *,
    sessions: Sequence[date],
    closes: Sequence[float],
    fills: Sequence[Fill],
    split_factors: Sequence[float],
    trading_pnl: Sequence[float],
    initial_cash: float,
    filled_after_mark: bool = False,
) -> float:
    """Let vectorbt trade the fills again and compare its profit with the ledger's, session by session.

    Args:
        sessions: n sessions, bar 0 first. closes: raw closes, currency per share.
        fills: of one instrument, in order.
        split_factors: per session, how many of the last session's shares one share is; splits are undone
            by quantity × factor and price ÷ factor.
        trading_pnl: the ledger's equity less initial cash and dividends, currency, shape (n,).
        initial_cash: what differences are measured against.
        filled_after_mark: orders fill at the close at which the session was marked (``same_close``); what
            the exchange does itself (cash for fractions, closing a ruined account) still comes before.

    Returns:
        The largest difference as a fraction of ``initial_cash``.

    Raises:
        IntegrityError: if it is above 1e-9.
    """
    factors = split_factors
    rows_close, rows_size, rows_price, rows_fee = (list[float]() for _ in range(4))
    marks: list[int] = []
    beside = np.zeros(len(sessions))
    by_session: Mapping[date, list[Fill]] = _by_session(fills)
    for i, session in enumerate(sessions):
        here = by_session.get(session, [])
        later = [f for f in here if filled_after_mark and f.clipped not in ("cash_in_lieu", "ruined")]
        # A row per fill and one for the close: vectorbt takes one order a row, a bar may have two.
        for fill in [*(f for f in here if f not in later), None, *later]:
            if fill is None:
                marks.append(len(rows_close))
            rows_close.append((closes[i] if fill is None else fill.price) / factors[i])
            rows_size.append(np.nan if fill is None else fill.quantity * factors[i])
            rows_price.append(np.nan if fill is None else fill.price / factors[i])
            fee = 0.0 if fill is None else fill.commission
            if fill is not None and fill.quantity < 0 and fee >= -fill.quantity * fill.price:
                # vectorbt refuses a sale that brings less than its fee; that fee is taken off outside it.
                beside[i if fill not in later else min(i + 1, len(beside) - 1)] += fee
                fee = 0.0
            rows_fee.append(fee)
    # Cash enough that nothing is ever clipped, also of an account that has grown a thousandfold.
    traded = float(np.nansum(np.abs(np.asarray(rows_size) * np.asarray(rows_price))))
    cash = max(1_000.0 * initial_cash, 2.0 * traded)
    value = _replayed_value(rows_close, rows_size, rows_price, rows_fee, cash)
    earned = value[marks] - cash - np.cumsum(beside)
    difference = np.abs(earned - np.asarray(trading_pnl)) / initial_cash
    worst = int(difference.argmax())
    if not difference[worst] <= TOLERANCE:
        raise IntegrityError(
            f"ledger and vectorbt differ by {difference[worst]:.3g} of initial equity on {sessions[worst]} "
            f"(at most {TOLERANCE:g} is allowed)",
            mend="report this run: its numbers cannot be believed",
        )
    return float(difference[worst])


def _replayed_value(
    close: list[float], size: list[float], price: list[float], fees: list[float], cash: float
) -> Floats:
    import pandas as pd
    import vectorbt as vbt

    portfolio = vbt.Portfolio.from_orders(
        pd.Series(close),
        size=pd.Series(size),
        size_type="amount",
        # vectorbt leaves out orders below 1e-8 else: a fraction of a dear share is worth more than that.
        min_size=0.0,
        price=pd.Series(price),
        fixed_fees=pd.Series(fees),
        init_cash=cash,
        call_seq="auto",
        freq="1D",
    )
    return np.asarray(portfolio.value(), dtype=np.float64)


def _by_session(fills: Sequence[Fill]) -> dict[date, list[Fill]]:
    grouped: dict[date, list[Fill]] = {}
    for fill in fills:
        grouped.setdefault(fill.session, []).append(fill)
    return grouped
