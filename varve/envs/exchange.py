"""The exchange: one ``step(orders)`` that fills at the next bar, keeps the ledger and marks it.

The runner, the Gymnasium environment and a paper-trading daemon are adapters over it. What happens
inside a bar, in this order: splits, dividends, fills at the open, mark at the close. Where nothing is
traded between decision and close (``next_close``), fills come at the close, just before the mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime

from varve.clock import from_ns
from varve.envs.costs import CostModel
from varve.envs.ledger import Ledger, from_lots, to_lots, whole_lots
from varve.envs.step import (
    BELOW_ONE_LOT,
    CAPPED,
    CASH_CLIPPED,
    IN_LIEU,
    NO_SHORT,
    NO_TRADES,
    RUINED,
    BarFacts,
    StepResult,
    Unfilled,
)
from varve.envs.tracks import (
    Track,
    common_calendar,
    common_fill_rule,
    make_track,
    split_of,
    union_of_sessions,
)
from varve.errors import SettingError, UsageError
from varve.market.calendars import get_calendar
from varve.market.market_data import MarketData
from varve.types import CorporateEvent, Fill, FillRule, Order, Portfolio


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
            opens: it is bar 0 of the equity curve, flat. The last decision falls after the last bar but
            one, and is filled and marked on the last.
        shorting: whether a position may be negative. A fill that opens or adds is cut to where gross
            exposure is equity; a fill that only reduces is not.

    Raises:
        NoDataError: if fewer than two sessions lie between start and end.
        IntegrityError: if the instruments have different currencies or fill rules, or an open is missing.
        SettingError: if they trade on different calendars, or ``initial_cash`` is not above 0.
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
        if not 0.0 < initial_cash < math.inf:
            raise SettingError(f"initial cash {initial_cash} is not above 0", mend="give a positive amount")
        instruments = [data[symbol] for symbol in symbols]
        self._calendar = get_calendar(common_calendar(instruments))
        self.fill_rule: FillRule = fill_rule or common_fill_rule(instruments)
        self.costs, self.initial_cash, self.shorting = costs, initial_cash, shorting
        self._sessions = union_of_sessions(instruments, start, end)
        self._tracks = {
            d.instrument.symbol: make_track(d, self._sessions, self.fill_rule, costs) for d in instruments
        }
        self.reset()

    def reset(self, *, first: int = 0, length: int | None = None) -> None:
        """Go back to a flat account.

        ``first`` is the bar to start on and ``length`` the number of steps until ``truncated``; both
        cut episodes out of the window (for reinforcement learning).

        Raises:
            UsageError: if that leaves no step to take.
        """
        final = len(self._sessions) - 1
        if not 0 <= first < final:
            raise UsageError(f"first bar {first} is outside 0 to {final - 1}", mend="start on an earlier bar")
        if length is not None and length < 1:
            raise UsageError(f"an episode of {length} steps has none", mend="give a length of at least 1")
        self._index, self._first = first, first
        self._last = final if length is None else min(final, first + length)
        self.ledger = Ledger({s: t.instrument for s, t in self._tracks.items()}, self.initial_cash)
        self.equity = self.initial_cash
        self.fills: list[Fill] = []
        self._dividends: dict[tuple[str, date], float] = {}
        self._equities = [self.initial_cash]
        self._pending: dict[str, float] = {}
        self._unfilled: list[Unfilled] = []
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
    def first_index(self) -> int:
        """Position of the bar after which the first decision fell."""
        return self._first

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

    def facts(self, symbol: str) -> BarFacts:
        """What happened to an instrument on the current bar beside its fills."""
        paid = self._dividends.get((symbol, self.session), 0.0)
        split = split_of(self._tracks[symbol].events.get(self._index, ()))
        return BarFacts(self._tracks[symbol].close[self._index], paid, split)

    @property
    def equity_curve(self) -> tuple[list[date], list[float]]:
        """Sessions so far and equity (currency) at their closes; the first is the initial cash."""
        return list(self._sessions[self._first : self._index + 1]), list(self._equities)

    def has_volume(self, symbol: str) -> bool:
        """Whether a fill on the next bar has impact and a cap, as far as bars so far have volume."""
        adv = self._tracks[symbol].adv
        return adv[min(self._index + 1, len(adv) - 1)] is not None

    def step(self, orders: Sequence[Order] = ()) -> StepResult:
        """Take the orders decided after the current bar, move to the next bar and fill them there.

        Orders of one call for the same instrument add up. An order for an instrument without a bar then, or
        without trades on it (``no_trades``), waits for its next bar; a newer order for the same instrument
        replaces it (one of 0 cancels it).

        Raises:
            UsageError: if there is no next bar, or an order is for a symbol that is not traded here or
                for no finite quantity.
        """
        if self._ruined or self._index >= self._last:
            raise UsageError("the exchange has no next bar", mend="reset it first")
        if orders:
            self._take(orders)
        before = self.equity
        fills: list[Fill] = []
        pending, same_close = self._pending, self.fill_rule == "same_close"
        if pending and same_close:
            self._fill_pending(self._index, fills)
        self._index = i = self._index + 1
        dividends = 0.0
        events: tuple[CorporateEvent, ...] = ()
        for symbol, track in self._tracks.items():
            if i in track.events:
                events += tuple(track.events[i])
                dividends += self._corporate_events(symbol, track, i, fills)
        if pending and not same_close:
            self._fill_pending(i, fills)
        equity, positions = self.ledger.cash, self.ledger.positions
        for symbol, track in self._tracks.items():
            equity += positions[symbol] * track.close[i]
        self.equity = equity
        self._equities.append(equity)
        unfilled: tuple[Unfilled, ...] = ()
        if self._unfilled:
            unfilled = tuple(self._unfilled)
            self._unfilled = []
        if equity <= 0.0:
            self._close_out(i, fills)
        if fills:
            self.fills.extend(fills)
        ruined = self._ruined
        return StepResult(
            self._sessions[i],
            tuple(fills),
            equity,
            equity / before - 1.0,
            ruined,
            i >= self._last and not ruined,
            dividends,
            unfilled,
            events,
        )

    def _take(self, orders: Sequence[Order]) -> None:
        net: dict[str, float] = {}
        for symbol, quantity in orders:
            if symbol not in self._tracks:
                traded = ", ".join(sorted(self._tracks))
                raise UsageError(f"order for {symbol!r}, which is not traded here; traded: {traded}")
            if not math.isfinite(quantity):
                raise UsageError(f"order for {quantity} of {symbol!r}; a quantity is a finite number")
            net[symbol] = net.get(symbol, 0.0) + quantity
        for symbol, quantity in net.items():
            if quantity:
                self._pending[symbol] = quantity
            else:
                self._pending.pop(symbol, None)

    def _fill_pending(self, i: int, fills: list[Fill]) -> None:
        pending = self._pending
        # Sales first: what they bring can be spent on the same bar.
        for symbol in sorted(pending, key=lambda s: pending[s] > 0) if len(pending) > 1 else list(pending):
            track = self._tracks[symbol]
            if track.traded[i] and not track.fillable[i]:
                self._unfilled.append(Unfilled(symbol, self._sessions[i], pending[symbol], NO_TRADES))
            elif track.traded[i]:
                fill = self._fill(symbol, track, i, pending.pop(symbol))
                if fill is not None:
                    self.ledger.apply(fill)
                    fills.append(fill)

    def _fill(self, symbol: str, track: Track, i: int, wanted: float) -> Fill | None:
        """The fill of ``wanted`` (signed) on bar ``i``, None if there is none; notes what is not filled."""
        lot, adv = track.instrument.lot_size, track.adv[i]
        asked = lots = to_lots(wanted, lot)
        held = to_lots(self.ledger.positions[symbol], lot)
        cuts: list[tuple[int, str]] = []
        if not self.shorting and lots < 0 and held + lots < 0:
            cuts.append((held + lots, NO_SHORT))
            lots = -held
        cap = self.costs.participation_cap
        if cap is not None and adv is not None and abs(lots) > (most := to_lots(cap * adv, lot)):
            capped = most if lots > 0 else -most
            cuts.append((lots - capped, CAPPED))
            lots = capped
        quantity, price, commission = self._terms(track, i, lots)
        # Without shorts, an account that is left with cash can afford what it did.
        if lots and (self.shorting or self.ledger.cash < quantity * price + commission):
            affordable = self._affordable(symbol, i, lots, held)
            if affordable != lots:
                cuts.append((lots - affordable, CASH_CLIPPED))
                lots = affordable
                quantity, price, commission = self._terms(track, i, lots)
        session = self._sessions[i]
        if not asked:
            self._unfilled.append(Unfilled(symbol, session, wanted, BELOW_ONE_LOT))
        for cut, reason in cuts:
            self._unfilled.append(Unfilled(symbol, session, from_lots(cut, lot), reason))
        if not lots:
            return None
        clipped = cuts[-1][1] if cuts else None
        return Fill(
            symbol, session, track.filled_at[i], quantity, track.reference[i], price, commission, clipped
        )

    def _terms(self, track: Track, i: int, lots: int) -> tuple[float, float, float]:
        """Signed quantity, price per share and commission of a fill of ``lots`` on bar ``i``."""
        quantity, adv = from_lots(lots, track.instrument.lot_size), track.adv[i]
        slip = self.costs.half_spread(has_volume=adv is not None)
        if adv:
            slip += self.costs.impact_coefficient * track.sigma[i] * (abs(quantity) / adv) ** 0.5
        # A price stays positive however large the order.
        price = track.reference[i] * (1.0 + slip if quantity > 0 else max(1.0 - slip, 1e-6))
        return quantity, price, self.costs.commission(abs(quantity), price)

    def _shortfall(self, symbol: str, i: int, lots: int, held: int) -> float | None:
        """None if a fill of ``lots`` leaves gross exposure within equity; else the cash it would leave.

        Longs + shorts ≤ equity is the same as cash ≥ 2 × shorts: for a long-only account, no debt.
        """
        track = self._tracks[symbol]
        quantity, price, commission = self._terms(track, i, lots)
        # To the bit what the ledger will do, so that an affordable fill never leaves a debt of 1e-12.
        cash = self.ledger.cash - (quantity * price + commission)
        shorts = max(0.0, -from_lots(held + lots, track.instrument.lot_size)) * track.reference[i]
        if len(self._tracks) > 1:
            for other, its in self._tracks.items():
                if other != symbol and (position := self.ledger.positions[other]) < 0.0:
                    # What is known when this fills: its own price on this bar, else its last close.
                    shorts -= position * (its.reference[i] if its.traded[i] else its.close[i])
        return None if cash >= 2.0 * shorts else cash

    def _affordable(self, symbol: str, i: int, lots: int, held: int) -> int:
        """``lots`` cut to the most that leaves gross exposure within equity; what only reduces is not cut.

        But a sale that brings less than its commission, with no cash to pay it, is not made.
        """
        cash = self._shortfall(symbol, i, lots, held)
        if cash is None:
            return lots
        closing = min(abs(lots), abs(held)) if held * lots < 0 else 0
        if closing == abs(lots):
            return lots if lots > 0 or cash >= self.ledger.cash else 0
        sign = 1 if lots > 0 else -1
        fits, breaks = closing, abs(lots)
        while breaks - fits > 1:
            middle = (fits + breaks) // 2
            if self._shortfall(symbol, i, sign * middle, held) is None:
                fits = middle
            else:
                breaks = middle
        return sign * fits

    def _corporate_events(self, symbol: str, track: Track, i: int, fills: list[Fill]) -> float:
        """Apply splits and dividends of bar ``i``; returns what dividends brought, in currency."""
        events = track.events[i]
        if (ratio := split_of(events)) != 1.0:
            self._split(symbol, track, i, ratio, fills)
        received = 0.0
        for event in events:
            if event.kind == "dividend":
                received += self.ledger.dividend(symbol, event.value)
        if received:
            self._dividends[symbol, self._sessions[i]] = received
        return received

    def _split(self, symbol: str, track: Track, i: int, ratio: float, fills: list[Fill]) -> None:
        """Apply a split to the position, to a waiting order and to what is unfilled; pay out a fraction."""
        lot = track.instrument.lot_size
        if symbol in self._pending:
            self._pending[symbol] = whole_lots(self._pending[symbol] * ratio, lot)
        # What the close before this bar left unfilled (same_close) is in shares of before the split.
        self._unfilled = [
            u._replace(quantity=whole_lots(u.quantity * ratio, lot)) if u.symbol == symbol else u
            for u in self._unfilled
        ]
        remainder = self.ledger.split(symbol, ratio)
        if remainder:
            price, at = track.reference[i], track.filled_at[i]
            paid_out = Fill(symbol, self._sessions[i], at, -remainder, price, price, 0.0, IN_LIEU)
            self.ledger.apply(paid_out)
            fills.append(paid_out)

    def _close_out(self, i: int, fills: list[Fill]) -> None:
        """Equity is gone: close every position at the close that says so, at no cost, and end.

        The loss beyond zero stays on the account as it is.
        """
        self._ruined = True
        self._pending.clear()
        for symbol, track in self._tracks.items():
            quantity, close = -self.ledger.positions[symbol], track.close[i]
            if quantity:
                at = from_ns(track.ended_at_ns[i])
                fill = Fill(symbol, self._sessions[i], at, quantity, close, close, 0.0, RUINED)
                self.ledger.apply(fill)
                fills.append(fill)
