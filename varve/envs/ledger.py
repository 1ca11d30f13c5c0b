"""The ledger: cash and positions in one currency, changed by fills, splits and dividends alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

from varve.errors import IntegrityError
from varve.types import Fill, Instrument, Portfolio


def to_lots(quantity: float, lot_size: float) -> int:
    """How many whole lots a signed quantity is, cut toward zero.

    A quantity that misses a whole number of lots by float dust alone counts as that number: 0.3 is three
    lots of 0.1, at ten lots as at 10¹³ (the tolerance grows with the error that a float of that size has).
    """
    per_unit = _lots_per_unit(lot_size)
    exact = abs(quantity) * per_unit if per_unit else abs(quantity) / lot_size
    nearest = round(exact)
    lots = nearest if abs(exact - nearest) <= 1e-9 + 1e-15 * exact else math.floor(exact)
    return lots if quantity > 0 else -lots


def from_lots(lots: int, lot_size: float) -> float:
    """The quantity of so many lots; the float nearest to it where a unit is a whole number of lots."""
    per_unit = _lots_per_unit(lot_size)
    return lots / per_unit if per_unit else lots * lot_size


def whole_lots(quantity: float, lot_size: float) -> float:
    """``quantity`` cut toward zero to whole lots."""
    return from_lots(to_lots(quantity, lot_size), lot_size)


@cache
def _lots_per_unit(lot_size: float) -> int:
    """10,000 for a lot of 1e-4, so that 3 lots are 0.0003 and not 3 × 1e-4; 0 where it is no whole number."""
    per_unit = round(1.0 / lot_size)
    return per_unit if per_unit and abs(per_unit * lot_size - 1.0) < 1e-9 else 0


class Ledger:
    """Cash (in ``currency``) and signed positions (in shares or coins) of one account.

    Positions are whole lots; every change goes through an integer number of them, so that thousands of
    fills leave no dust.

    Raises:
        IntegrityError: if instruments of another currency are to be held.
    """

    __slots__ = ("_lot_sizes", "cash", "commissions", "currency", "dividends", "positions")

    def __init__(self, instruments: Mapping[str, Instrument], cash: float) -> None:
        currencies = sorted({instrument.currency for instrument in instruments.values()})
        if len(currencies) != 1:
            raise IntegrityError(
                f"one ledger holds one currency; the instruments are in {', '.join(currencies) or 'none'}",
                mend="run instruments of different currencies apart",
            )
        self.currency = currencies[0]
        self.cash = cash
        self.positions = dict.fromkeys(instruments, 0.0)
        self._lot_sizes = {symbol: instrument.lot_size for symbol, instrument in instruments.items()}
        self.dividends = 0.0
        self.commissions = 0.0

    def apply(self, fill: Fill) -> None:
        """Pay or receive for a fill, commission included, and change the position."""
        self.cash -= fill.quantity * fill.price + fill.commission
        self.commissions += fill.commission
        lot = self._lot_sizes[fill.symbol]
        # Only a split's fraction, paid out by a fill of its own, is ever off the grid before this.
        lots = round((self.positions[fill.symbol] + fill.quantity) / lot)
        self.positions[fill.symbol] = from_lots(lots, lot)

    def split(self, symbol: str, ratio: float) -> float:
        """Scale a position by ``ratio`` new shares per old one.

        Returns:
            The signed fraction of a lot that cannot be held; it is still in the position, and the
            exchange pays it out in cash.
        """
        lot, scaled = self._lot_sizes[symbol], self.positions[symbol] * ratio
        whole = whole_lots(scaled, lot)
        remainder = scaled - whole
        if abs(remainder) <= 2e-9 * lot + 2e-15 * abs(scaled):
            self.positions[symbol] = whole
            return 0.0
        self.positions[symbol] = scaled
        return remainder

    def dividend(self, symbol: str, per_share: float) -> float:
        """Receive (a short pays) a cash dividend; returns the signed amount in currency."""
        amount = self.positions[symbol] * per_share
        self.cash += amount
        self.dividends += amount
        return amount

    def equity(self, prices: Mapping[str, float]) -> float:
        """Cash and positions at ``prices`` per share."""
        return self.cash + sum(quantity * prices[symbol] for symbol, quantity in self.positions.items())

    def portfolio(self, equity: float) -> Portfolio:
        """The state as a trader may see it."""
        held = {symbol: quantity for symbol, quantity in self.positions.items() if quantity}
        return Portfolio(self.currency, self.cash, equity, held)
