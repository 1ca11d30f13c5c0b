"""Metrics of one run: vectorbt's on the ledger's returns, and the trading figures beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from varve.backtests.results.metric import Measured, extra_figures
from varve.backtests.results.sharpe import sharpe_interval
from varve.backtests.results.track import Track
from varve.backtests.results.vectorbt_adapter import return_metrics
from varve.market.data import Floats
from varve.types import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one run; None where there is none (a Sharpe ratio without a position).

    Fractions: ``total_return``, ``annual_return``, ``annual_volatility``, ``max_drawdown`` (negative),
    ``exposure`` (share of sessions with a position). ``turnover``: traded notional ÷ mean equity, per
    year. ``trades`` counts fills, ``round_trips`` returns to flat. Costs in currency. ``sharpe_low``
    and ``sharpe_high`` bound its 95 % interval.
    """

    sessions: int
    total_return: float
    annual_return: float
    annual_volatility: float
    sharpe: float | None
    sharpe_low: float | None
    sharpe_high: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float
    turnover: float
    trades: int
    round_trips: int
    exposure: float
    commissions: float
    slippage: float
    dividends: float
    final_equity: float
    extra: Mapping[str, float | None] = field(default_factory=dict)
    """Figures of registered metrics, by name."""

    def json(self) -> JsonObject:
        """As JSON values; NaN and infinities become None. ``extra`` stays out where there is none."""
        found = {name: _finite(value) for name, value in asdict(self).items()}
        if not self.extra:
            del found["extra"]
        return found


def session_returns(equity: Sequence[float]) -> Floats:
    """Simple returns per session, shape (n,); bar 0 is 0."""
    values = np.asarray(equity, dtype=np.float64)
    returns = np.zeros(len(values))
    returns[1:] = values[1:] / values[:-1] - 1.0
    return returns


def compute_metrics(track: Track, sessions_per_year: int) -> Metrics:
    """All figures of a track.

    Args:
        track: at least two sessions.
        sessions_per_year: 252, or 365 for venues that never close.
    """
    returns = session_returns(track.equity)
    figures = return_metrics(returns, sessions_per_year)
    fills = [fill for fill in track.fills if fill.clipped != "cash_in_lieu"]
    low, high = sharpe_interval(returns, sessions_per_year)
    ratios = {
        "sharpe": figures["sharpe"],
        "sharpe_low": low,
        "sharpe_high": high,
        "sortino": figures["sortino"],
        "calmar": figures["calmar"],
    }
    notional = sum(abs(fill.quantity) * fill.price for fill in fills)
    years = (len(returns) - 1) / sessions_per_year
    positions = np.asarray(track.position)
    flat_again = (positions[1:] == 0) & (positions[:-1] != 0)
    return Metrics(
        sessions=len(returns),
        total_return=figures["total_return"],
        annual_return=figures["annual_return"],
        annual_volatility=figures["annual_volatility"],
        **(ratios if fills or any(track.position) else dict.fromkeys(ratios)),
        max_drawdown=figures["max_drawdown"],
        turnover=notional / float(np.mean(track.equity)) / years,
        trades=len(fills),
        round_trips=int(flat_again.sum()),
        exposure=float((positions[1:] != 0).mean()),
        commissions=sum(fill.commission for fill in fills),
        slippage=sum((fill.price - fill.reference_price) * fill.quantity for fill in fills),
        dividends=track.dividends[-1],
        final_equity=track.equity[-1],
        extra=extra_figures(Measured(track, sessions_per_year)),
    )


def _finite(value: Json) -> Json:
    return None if isinstance(value, float) and not math.isfinite(value) else value
