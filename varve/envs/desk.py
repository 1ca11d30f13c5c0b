"""The order desk: from a decision to orders, what became of them, and what is still to be done.

A decision leaves an open target. What a participation cap left of its order is ordered again at each
following decision that is HOLD; BUY, SELL and FLAT replace it. A failed decision orders nothing and
leaves the target as it is. An order that found no trades waits at the exchange; a decision the other way
takes it back. What cash or the ban on shorts cut is not ordered again: it could not be had.

The runner and the Gymnasium environment trade through the same desk.
"""

from __future__ import annotations

from typing import NamedTuple

from varve.envs.ledger import whole_lots
from varve.envs.sizing import Sizer
from varve.envs.step import (
    BELOW_ONE_LOT,
    CAPPED,
    CASH_CLIPPED,
    IN_LIEU,
    NO_SHORT,
    NO_TRADES,
    RUINED,
    StepResult,
)
from varve.envs.tracks import split_of
from varve.market.observation import Observation
from varve.types import Action, Decision, Instrument, Order

ALREADY, NOTHING_HELD, NO_ORDER = "already_there", "nothing_held", "no_order"

WORDS = {
    CASH_CLIPPED: "the account could not pay more",
    CAPPED: "more would be above the largest share of the volume",
    NO_TRADES: "nothing was traded on that day, and the order waits",
    NO_SHORT: "more than is held cannot be sold",
    BELOW_ONE_LOT: "it is less than one lot",
    ALREADY: "the position is there already",
    NOTHING_HELD: "nothing is held",
    NO_ORDER: "the sizer gave no order",
    RUINED: "the account is ruined",
}
"""Every reason in words."""


class Became(NamedTuple):
    """What became of a decision's wish on its bar.

    ``action`` is the decision's; HOLD where an earlier wish is worked off or waits. ``ordered`` is signed, in
    shares as the order gave them; ``filled`` and ``left`` in shares of after the bar. ``left`` is ordered
    again, or waits. ``reason`` is empty where everything was filled, else a key of :data:`WORDS`.
    """

    symbol: str
    action: str
    ordered: float
    filled: float
    left: float
    reason: str


class Desk:
    """Orders of one account on one instrument, from decision to fill.

    Args:
        sizer: makes orders of decisions.
        instrument: what is traded.
        works_off: whether what was capped is ordered again; None asks the sizer.
    """

    def __init__(self, sizer: Sizer, instrument: Instrument, *, works_off: bool | None = None) -> None:
        self.sizer, self.instrument = sizer, instrument
        self._works_off = bool(getattr(sizer, "work_off", True)) if works_off is None else works_off
        self.reset()

    def reset(self) -> None:
        """Forget every open target."""
        self.left = 0.0
        """What is still to be ordered, signed, in shares of today."""
        self.waiting = 0.0
        """What waits at the exchange for a bar with trades, signed, in shares of today."""
        self._wish: Action | None = None
        self._ordered = 0.0
        self._why = ""

    def orders(self, decision: Decision, observation: Observation) -> tuple[Order, ...]:
        """The orders of a decision: the sizer's own, or what is left of an earlier one."""
        symbol = self.instrument.symbol
        self._wish, self._ordered, self._why = None, 0.0, ""
        if decision.failure:
            return ()
        wanted = [intent.action for intent in decision.orders if intent.instrument.symbol == symbol]
        action = wanted[0] if wanted else Action.HOLD
        orders = tuple(self.sizer.orders(decision, observation))
        goes_on = action is Action.HOLD or (action is Action.BUY) == (self.left > 0)
        if not orders and self.left and goes_on and action is not Action.FLAT:
            orders = (Order(symbol, self.left),)
        elif not orders and self.waiting and not self._goes_on(action):
            orders = (Order(symbol, 0.0),)
            self._why = self._reason(action, observation)
        elif not orders and not self.waiting and action is not Action.HOLD:
            self._why = self._reason(action, observation)
        self.left = 0.0
        self._wish, self._ordered = action, sum(o.quantity for o in orders if o.symbol == symbol)
        if not orders:
            self._ordered = self.waiting
        return orders

    def _goes_on(self, action: Action) -> bool:
        """Whether a decision leaves the order that waits as it is."""
        return action is Action.HOLD or (
            action is not Action.FLAT and (action is Action.BUY) == (self.waiting > 0)
        )

    def settle(self, result: StepResult) -> tuple[Became, ...]:
        """What became of the orders of this bar; keeps what is still to be done."""
        symbol, lot = self.instrument.symbol, self.instrument.lot_size
        ratio = split_of([event for event in result.events if event.symbol == symbol])
        self.left = whole_lots(self.left * ratio, lot)
        if result.terminated:
            self.left = 0.0
        unfilled = {u.reason: u.quantity for u in result.unfilled if u.symbol == symbol}
        waited, self.waiting = self.waiting, 0.0 if result.terminated else unfilled.get(NO_TRADES, 0.0)
        if self._wish is None and waited and self._works_off and not result.terminated:
            self.left = unfilled.get(CAPPED, 0.0)
        if self._wish is None or not (self._ordered or self._why):
            return ()
        own = [fill for fill in result.fills if fill.symbol == symbol]
        filled = sum(fill.quantity for fill in own if fill.clipped not in (IN_LIEU, RUINED))
        if self._works_off and CASH_CLIPPED not in unfilled and not result.terminated:
            self.left = unfilled.get(CAPPED, 0.0)
        reason = self._why or (list(unfilled)[-1] if unfilled else "")
        left = self.left or self.waiting
        return (Became(symbol, self._wish.value, self._ordered, filled, left, reason),)

    def _reason(self, action: Action, observation: Observation) -> str:
        """Why a BUY, SELL or FLAT made no order."""
        held = observation.position
        wish = getattr(self.sizer, "wish", None)
        if wish is not None and wish(action, observation):
            return BELOW_ONE_LOT
        if not held and (action is Action.FLAT or (action is Action.SELL and not self.sizer.allows_short)):
            return NOTHING_HELD
        if held and action is not Action.FLAT and (held > 0) == (action is Action.BUY):
            return ALREADY
        close = observation.view.last_close(self.instrument.symbol) or 0.0
        dear = close * self.instrument.lot_size > observation.portfolio.equity
        return BELOW_ONE_LOT if dear else NO_ORDER


def in_words(became: Became) -> str:
    """One sentence part: ``participation_capped: filled 50 of 1,980, 1,930 still to come``."""
    if not became.reason:
        return f"filled {abs(became.filled):,g}"
    why = WORDS.get(became.reason, became.reason)
    if not became.ordered:
        return f"no order: {why}"
    text = f"filled {abs(became.filled):,g} of {abs(became.ordered):,g}: {why}"
    return f"{text}; {abs(became.left):,g} still to be ordered" if became.left else text
