"""Metrics of one run: vectorbt's on the ledger's returns, and the trading figures beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from varve.backtests.results.metric import Measured, extra_figures
from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.sharpe import sharpe_interval
from varve.backtests.results.track import Track
from varve.backtests.results.vectorbt_adapter import return_metrics
from varve.types import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one run; None where there is none (a Sharpe ratio without a position).

    Fractions: ``total_return``, ``annual_return``, ``annual_volatility``, ``max_drawdown`` (negative),
    ``exposure`` (mean over sessions of |position × close| ÷ equity at the close). ``turnover``: traded
    notional ÷ mean equity, per year. ``trades`` counts fills, ``round_trips`` returns to flat. Costs in
    currency. ``sharpe_low`` and ``sharpe_high`` bound its 95 % interval; None where too few of the
    ``sessions_in_position``, or of the ``spells`` that they form, allow one.
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
    sessions_in_position: int
    spells: int
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


def compute_metrics(track: Track, bars_per_year: float) -> Metrics:
    """All figures of a track.

    Args:
        track: at least two sessions.
        bars_per_year: how many sessions a year of it has, see ``returns.bars_per_year``: 252 for dense
            days, 365 for venues that never close, about 52 for weeks.
    """
    sample = SessionReturns.of(track)
    figures = return_metrics(sample.values, bars_per_year)
    fills = [fill for fill in track.fills if fill.clipped != "cash_in_lieu"]
    low, high = sharpe_interval(sample, bars_per_year)
    ratios = {
        # Of returns that never move, vectorbt gives rounding ÷ rounding.
        "sharpe": figures["sharpe"] if sample.moves else math.nan,
        "sharpe_low": low,
        "sharpe_high": high,
        "sortino": figures["sortino"],
        "calmar": figures["calmar"],
    }
    known = {name: value if math.isfinite(value) else None for name, value in ratios.items()}
    notional = sum(abs(fill.quantity) * fill.price for fill in fills)
    years = len(sample) / bars_per_year
    positions, equity = np.asarray(track.position), np.asarray(track.equity)
    flat_again = (positions[1:] == 0) & (positions[:-1] != 0)
    worth = np.where(equity > 0, equity, np.inf)  # a ruined account has no weight left
    weights = np.abs(positions * np.asarray(track.close)) / worth
    return Metrics(
        sessions=len(track.equity),
        total_return=figures["total_return"],
        annual_return=figures["annual_return"],
        annual_volatility=figures["annual_volatility"],
        **(known if fills or sample.sessions_in_position else dict.fromkeys(ratios)),
        max_drawdown=figures["max_drawdown"],
        turnover=notional / float(np.mean(equity)) / years,
        trades=len(fills),
        round_trips=int(flat_again.sum()),
        exposure=float(weights[1:].mean()),
        sessions_in_position=sample.sessions_in_position,
        spells=sample.spells,
        commissions=sum(fill.commission for fill in fills),
        slippage=sum((fill.price - fill.reference_price) * fill.quantity for fill in fills),
        dividends=track.dividends[-1],
        final_equity=track.equity[-1],
        extra=extra_figures(Measured(track, bars_per_year)),
    )


def _finite(value: Json) -> Json:
    return None if isinstance(value, float) and not math.isfinite(value) else value
