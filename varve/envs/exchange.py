"""The exchange: one ``step(orders)`` that fills at the next bar, keeps the ledger and marks it.

The runner, the Gymnasium environment and a paper-trading daemon are adapters over it. What happens
inside a bar, in this order: splits, dividends, fills at the open, mark at the close. Where nothing is
traded between decision and close (``next_close``), fills come at the close, just before the mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

import numpy as np

from varve.clock import from_ns
from varve.envs.costs import CostModel
from varve.envs.ledger import Ledger, whole_lots
from varve.errors import IntegrityError, NoDataError, UsageError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData, MarketData
from varve.types import CorporateEvent, Fill, FillRule, Instrument, Order, Portfolio

CASH_CLIPPED, CAPPED = "cash_clipped", "participation_capped"
NO_SHORT, IN_LIEU = "short_not_allowed", "cash_in_lieu"


class StepResult(NamedTuple):
    """What one step brought. ``equity`` in currency at the bar's close, ``reward`` its relative change.

    ``terminated``: equity is gone. ``truncated``: no bar is left.
    """

    session: date
    fills: tuple[Fill, ...]
    equity: float
    reward: float
    terminated: bool
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Track:
    """One instrument along the exchange's sessions; lists because Python floats are fast one by one.

    ``reference`` is the price a fill on that bar starts from, ``close`` the last known close,
    ``adv`` shares (None without volume) and ``sigma`` come from earlier bars alone.
    """

    instrument: Instrument
    traded: list[bool]
    reference: list[float]
    close: list[float]
    filled_at_ns: list[int]
    adv: list[float | None]
    sigma: list[float]
    events: dict[int, list[CorporateEvent]]
    has_volume: bool


class Exchange:
    """Fills orders of one account on one or more instruments, bar by bar.

    Args:
        data: all facts; only bars up to the current one are ever used, apart from the fill itself.
        symbols: what is traded.
        costs: see :class:`~varve.envs.costs.CostModel`.
        initial_cash: in the instruments' currency.
        fill_rule: ``next_open``, ``next_close``, or ``same_close``, an ablation that fills at the close
            that the decision has already read; None takes the data's own.
        start, end: first and last session, both included. The first bar is over when the exchange
            opens: it is bar 0 of the equity curve, flat.
        shorting: whether a position may be negative; a short's value is kept within equity.

    Raises:
        NoDataError: if fewer than two sessions lie between start and end.
        IntegrityError: if the instruments have different currencies.
    """

    def __init__(
        self,
        data: MarketData,
        symbols: Sequence[str],
        *,
        costs: CostModel,
        initial_cash: float,
        fill_rule: FillRule | None = None,
        start: date | None = None,
        end: date | None = None,
        shorting: bool = False,
    ) -> None:
        instruments = [data[symbol] for symbol in symbols]
        self.fill_rule: FillRule = fill_rule or _common_fill_rule(instruments)
        self.costs, self.initial_cash, self.shorting = costs, initial_cash, shorting
        self._sessions = _union_of_sessions(instruments, start, end)
        self._tracks = {
            d.instrument.symbol: _track(d, self._sessions, self.fill_rule, costs) for d in instruments
        }
        self._calendar = get_calendar(instruments[0].instrument.calendar)
        self._last = len(self._sessions) - 1
        self.reset()

    def reset(self, *, first: int = 0, length: int | None = None) -> None:
        """Go back to a flat account.

        ``first`` is the bar to start on and ``length`` the number of steps until ``truncated``; both
        cut episodes out of the window (for reinforcement learning).
        """
        final = len(self._sessions) - 1
        if not 0 <= first < final:
            raise UsageError(f"first bar {first} is outside 0 to {final - 1}", mend="start on an earlier bar")
        self._index, self._first = first, first
        self._last = final if length is None else min(final, first + length)
        self.ledger = Ledger({s: t.instrument for s, t in self._tracks.items()}, self.initial_cash)
        self.equity = self.initial_cash
        self.fills: list[Fill] = []
        self.dividends_by_session: dict[date, float] = {}
        self._equities = [self.initial_cash]
        self._pending: dict[str, float] = {}
        self._ruined = False

    @property
    def session(self) -> date:
        """The last ended session."""
        return self._sessions[self._index]

    @property
    def decision_at(self) -> datetime:
        """The instant of the decision after :attr:`session`."""
        return self._calendar.decision_at(self.session)

    @property
    def index(self) -> int:
        """Position of the last ended bar among the exchange's sessions, from 0."""
        return self._index

    @property
    def sessions(self) -> Sequence[date]:
        """Every session of the window, oldest first."""
        return self._sessions

    @property
    def done(self) -> bool:
        """Whether no further step can be taken."""
        return self._ruined or self._index >= self._last

    @property
    def portfolio(self) -> Portfolio:
        """The account, marked at the last close."""
        return self.ledger.portfolio(self.equity)

    @property
    def equity_curve(self) -> tuple[list[date], list[float]]:
        """Sessions so far and equity (currency) at their closes; the first is the initial cash."""
        return list(self._sessions[self._first : self._index + 1]), list(self._equities)

    def has_volume(self, symbol: str) -> bool:
        """Whether fills of a symbol have impact and a cap."""
        return self._tracks[symbol].has_volume

    def step(self, orders: Sequence[Order] = ()) -> StepResult:
        """Take the orders decided after the current bar, move to the next bar and fill them there.

        An order for an instrument without a bar then waits for its next one; a newer order for the
        same instrument replaces it.

        Raises:
            UsageError: if there is no next bar, or an order is for a symbol that is not traded here.
        """
        if self.done:
            raise UsageError("the exchange has no next bar", mend="reset it first")
        pending = self._pending
        for order in orders:
            if order.symbol not in self._tracks:
                raise UsageError(f"order for {order.symbol!r}, which is not traded here")
            if order.quantity:
                pending[order.symbol] = order.quantity
        before = self.equity
        fills: list[Fill] = []
        if pending and self.fill_rule == "same_close":
            self._fill_pending(self._index, fills)
        self._index = i = self._index + 1
        for symbol, track in self._tracks.items():
            if i in track.events:
                self._corporate_events(symbol, track, i, fills)
        if pending and self.fill_rule != "same_close":
            self._fill_pending(i, fills)
        cash, positions = self.ledger.cash, self.ledger.positions
        equity = cash
        for symbol, track in self._tracks.items():
            equity += positions[symbol] * track.close[i]
        self.equity = equity
        self._equities.append(equity)
        if fills:
            self.fills.extend(fills)
        self._ruined = equity <= 0.0
        truncated = i >= self._last and not self._ruined
        return StepResult(
            self._sessions[i], tuple(fills), equity, equity / before - 1.0, self._ruined, truncated
        )

    def _fill_pending(self, i: int, fills: list[Fill]) -> None:
        for symbol in list(self._pending):
            track = self._tracks[symbol]
            if track.traded[i]:
                fill = self._fill(symbol, track, i, self._pending.pop(symbol))
                if fill is not None:
                    self.ledger.apply(fill)
                    fills.append(fill)

    def _fill(self, symbol: str, track: _Track, i: int, wanted: float) -> Fill | None:
        """The fill of ``wanted`` (signed) on bar ``i``; None if nothing of it can be had."""
        lot, reference, adv = track.instrument.lot_size, track.reference[i], track.adv[i]
        quantity, clipped = whole_lots(wanted, lot), None
        position = self.ledger.positions[symbol]
        if not self.shorting and position + quantity < -lot * 1e-6:
            quantity, clipped = -position, NO_SHORT
        cap = self.costs.participation_cap
        if cap is not None and adv is not None and abs(quantity) > cap * adv:
            quantity, clipped = whole_lots(np.copysign(cap * adv, quantity), lot), CAPPED
        price = self._price(track, i, quantity)
        affordable = self._affordable(quantity, position, price, lot)
        if abs(affordable) < abs(quantity):
            quantity, clipped = affordable, CASH_CLIPPED
            price = self._price(track, i, quantity)
        if not quantity:
            return None
        commission = self.costs.commission(abs(quantity), price)
        filled_at = from_ns(track.filled_at_ns[i])
        return Fill(symbol, self._sessions[i], filled_at, quantity, reference, price, commission, clipped)

    def _price(self, track: _Track, i: int, quantity: float) -> float:
        adv = track.adv[i]
        slip = self.costs.half_spread(has_volume=adv is not None)
        if adv:
            slip += self.costs.impact_coefficient * track.sigma[i] * (abs(quantity) / adv) ** 0.5
        # A price stays positive however large the order.
        return track.reference[i] * (1.0 + slip if quantity > 0 else max(1.0 - slip, 1e-6))

    def _affordable(self, quantity: float, position: float, price: float, lot: float) -> float:
        """``quantity`` cut to what leaves no debt when long, and no short above the equity."""
        reducing = -position if position * quantity < 0 else 0.0
        if abs(quantity) <= abs(reducing):
            return quantity
        rate = self.costs.commission_bps * 1e-4
        per_share, minimum = self.costs.commission_per_share, self.costs.commission_minimum
        if quantity > 0:
            budget = self.ledger.cash
            room = min(budget / (price * (1 + rate) + per_share), (budget - minimum) / price)
            return max(reducing, min(quantity, whole_lots(max(room, 0.0), lot)))
        # Selling from q to below 0: the short may be worth what the account is worth at this price.
        worth = self.ledger.cash + position * price - minimum
        room = max(worth, 0.0) / (price * (1 + rate) + per_share)
        allowed = whole_lots(max(room - max(-position, 0.0), 0.0), lot) + max(position, 0.0)
        return max(quantity, -allowed) if allowed else 0.0

    def _corporate_events(self, symbol: str, track: _Track, i: int, fills: list[Fill]) -> None:
        for event in track.events[i]:
            if event.kind == "dividend":
                amount = self.ledger.dividend(symbol, event.value)
                if amount:
                    session = self._sessions[i]
                    self.dividends_by_session[session] = self.dividends_by_session.get(session, 0.0) + amount
                continue
            if symbol in self._pending:
                self._pending[symbol] = whole_lots(
                    self._pending[symbol] * event.value, track.instrument.lot_size
                )
            remainder = self.ledger.split(symbol, event.value)
            if remainder:
                price = track.reference[i]
                at = from_ns(track.filled_at_ns[i])
                paid_out = Fill(symbol, self._sessions[i], at, -remainder, price, price, 0.0, IN_LIEU)
                self.ledger.apply(paid_out)
                fills.append(paid_out)


def _common_fill_rule(instruments: Sequence[InstrumentData]) -> FillRule:
    rules = sorted({data.provenance.fill_rule for data in instruments})
    if len(rules) != 1:
        raise IntegrityError(
            f"instruments fill by different rules: {', '.join(rules)}", mend="give fill_rule explicitly"
        )
    return rules[0]


def _union_of_sessions(
    instruments: Sequence[InstrumentData], start: date | None, end: date | None
) -> list[date]:
    every = np.unique(np.concatenate([data.bars.sessions for data in instruments]))
    sessions: list[date] = every.astype(object).tolist()
    inside = [s for s in sessions if (start is None or s >= start) and (end is None or s <= end)]
    if len(inside) < 2:
        raise NoDataError(
            f"{len(inside)} sessions between {start} and {end}; an exchange needs at least 2",
            mend="give a longer window",
        )
    return inside


def _track(data: InstrumentData, sessions: Sequence[date], rule: FillRule, costs: CostModel) -> _Track:
    bars = data.bars
    if rule == "next_open" and not bars.has_opens:
        raise IntegrityError(
            f"{data.instrument.symbol} has bars without an open; an open is never made up",
            mend="use fill_rule next_close",
        )
    wanted = np.array(sessions, dtype="datetime64[D]")
    position = np.searchsorted(bars.sessions, wanted, side="right") - 1
    traded = (position >= 0) & (bars.sessions[np.maximum(position, 0)] == wanted)
    at = np.maximum(position, 0)
    at_open = rule == "next_open"
    adv, sigma = _activity(data, costs.adv_sessions)
    events: dict[int, list[CorporateEvent]] = {}
    for event in data.events:
        # An event on a day without a bar takes effect with the next one.
        index = int(np.searchsorted(wanted, np.datetime64(event.session)))
        if 0 < index < len(sessions):
            events.setdefault(index, []).append(event)
    for listed in events.values():
        listed.sort(key=lambda event: event.kind, reverse=True)
    has_volume = not bool(np.isnan(bars.volume).all())
    return _Track(
        instrument=data.instrument,
        traded=traded.tolist(),
        reference=(bars.open if at_open else bars.close)[at].tolist(),
        close=bars.close[at].tolist(),
        filled_at_ns=(bars.start_ns if at_open else bars.end_ns)[at].tolist(),
        adv=[None if np.isnan(value) else float(value) for value in adv[at]],
        sigma=sigma[at].tolist(),
        events=events,
        has_volume=has_volume,
    )


def _activity(data: InstrumentData, sessions: int) -> tuple[np.ndarray, np.ndarray]:
    """Per bar, ADV (shares, NaN without volume) and σ of daily returns over the bars before it."""
    bars, n = data.bars, len(data.bars)
    ratio = np.ones(n)
    for event in data.events:
        if event.kind == "split":
            ratio[bars.sessions == np.datetime64(event.session)] *= event.value
    returns = np.zeros(n)
    returns[1:] = bars.close[1:] * ratio[1:] / bars.close[:-1] - 1.0
    # Volumes on the split basis of the last bar, and back on each bar's own at the end.
    basis = np.cumprod(ratio)
    adv, sigma = np.full(n, np.nan), np.zeros(n)
    volume = bars.volume / basis
    for i in range(1, n):
        window = volume[max(0, i - sessions) : i]
        known = window[~np.isnan(window)]
        if len(known) and known.mean() > 0:
            adv[i] = known.mean() * basis[i]
        past = returns[max(1, i - sessions) : i]
        if len(past) >= 2:
            sigma[i] = past.std(ddof=1)
    return adv, sigma
