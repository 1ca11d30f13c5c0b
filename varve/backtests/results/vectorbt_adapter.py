"""The one module that touches vectorbt: its metrics on a return series, and its replay of the fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from varve.backtests.results.track import Track
from varve.envs.step import IN_LIEU, RUINED
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
    """Let vectorbt trade a track's fills again and compare its profit with the ledger's, session by session.

    Splits are undone by quantity × factor and price ÷ factor; the ledger's profit is equity less initial
    cash and recorded dividends.

    Args:
        track: of one instrument, as it was recorded.
        filled_after_mark: orders fill at the close at which the session was marked (``same_close``); what
            the exchange does itself (cash for fractions, closing a ruined account) still comes before.

    Returns:
        The largest difference as a fraction of initial cash.

    Raises:
        IntegrityError: if it is above 1e-9.
    """
    rows = _rows(track, filled_after_mark)
    initial_cash = track.equity[0]
    # Cash enough that nothing is ever clipped, also of an account that has grown a thousandfold.
    traded = float(np.nansum(np.abs(np.asarray(rows.size) * np.asarray(rows.price))))
    cash = max(1_000.0 * initial_cash, 2.0 * traded)
    earned = _replayed_value(rows, cash)[rows.marks] - cash - np.cumsum(rows.beside)
    trading_pnl = np.asarray(track.equity) - initial_cash - np.asarray(track.dividends)
    difference = np.abs(earned - trading_pnl) / initial_cash
    worst = int(difference.argmax())
    if not difference[worst] <= TOLERANCE:
        raise IntegrityError(
            f"ledger and vectorbt differ by {difference[worst]:.3g} of initial equity on "
            f"{track.sessions[worst]} (at most {TOLERANCE:g} is allowed)",
            mend="report this run: its numbers cannot be believed",
        )
    return float(difference[worst])


@dataclass(slots=True)
class _Rows:
    """Rows for vectorbt: one per fill and one per mark, as it takes one order a row and a bar may have two.

    ``marks`` are the rows of the marks; ``beside`` holds by session what is taken off outside vectorbt.
    """

    beside: Floats
    close: list[float] = field(default_factory=list)
    size: list[float] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    fee: list[float] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)

    def mark(self, close: float) -> None:
        self.marks.append(len(self.close))
        self._row(close, np.nan, np.nan, 0.0)

    def fill(self, fill: Fill, factor: float, next_mark: int) -> None:
        fee, price = fill.commission, fill.price / factor
        if fill.quantity < 0 and fee >= -fill.quantity * fill.price:
            # vectorbt refuses a sale that brings less than its fee.
            self.beside[min(next_mark, len(self.beside) - 1)] += fee
            fee = 0.0
        self._row(price, fill.quantity * factor, price, fee)

    def _row(self, close: float, size: float, price: float, fee: float) -> None:
        self.close.append(close)
        self.size.append(size)
        self.price.append(price)
        self.fee.append(fee)


def _rows(track: Track, filled_after_mark: bool) -> _Rows:
    rows, by_session = _Rows(np.zeros(len(track.sessions))), _by_session(track.fills)
    for i, session in enumerate(track.sessions):
        factor, here = track.split_factors[i], by_session.get(session, [])
        later = [f for f in here if filled_after_mark and f.clipped not in (IN_LIEU, RUINED)]
        for fill in here:
            if fill not in later:
                rows.fill(fill, factor, i)
        rows.mark(track.close[i] / factor)
        for fill in later:
            rows.fill(fill, factor, i + 1)
    return rows


def _replayed_value(rows: _Rows, cash: float) -> Floats:
    import pandas as pd
    import vectorbt as vbt

    portfolio = vbt.Portfolio.from_orders(
        pd.Series(rows.close),
        size=pd.Series(rows.size),
        size_type="amount",
        # vectorbt leaves out orders below 1e-8 else: a fraction of a dear share is worth more than that.
        min_size=0.0,
        price=pd.Series(rows.price),
        fixed_fees=pd.Series(rows.fee),
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
