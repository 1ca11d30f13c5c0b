"""The ledger: cash and positions in one currency, changed by fills, splits and dividends alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

from varve.errors import IntegrityError
from varve.types import Fill, Instrument, Portfolio


def whole_lots(quantity: float, lot_size: float) -> float:
    """``quantity`` cut toward zero to whole lots, free of float dust (0.1 + 0.2 lots of 0.1 is 0.3)."""
    lots = math.floor(abs(quantity) / lot_size + 1e-9)
    # Through an integer number of lots per unit where there is one, so that 3 × 1e-4 is 0.0003.
    per_unit = round(1.0 / lot_size) if lot_size < 1.0 else 0
    value = lots / per_unit if per_unit and abs(per_unit * lot_size - 1.0) < 1e-9 else lots * lot_size
    return math.copysign(value, quantity) if value else 0.0


class Ledger:
    """Cash (in ``currency``) and signed positions (in shares or coins) of one account.

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
        position = self.positions[fill.symbol] + fill.quantity
        lot = self._lot_sizes[fill.symbol]
        # Positions are whole lots; snapping keeps sums of 1e-4 lots exact over thousands of fills.
        self.positions[fill.symbol] = whole_lots(position + math.copysign(lot * 1e-6, position), lot)

    def split(self, symbol: str, ratio: float) -> float:
        """Scale a position by ``ratio`` new shares per old one.

        Returns:
            The signed fraction of a lot that cannot be held; it is still in the position, and the
            exchange pays it out in cash.
        """
        scaled = self.positions[symbol] * ratio
        self.positions[symbol] = scaled
        remainder = scaled - whole_lots(scaled, self._lot_sizes[symbol])
        return 0.0 if abs(remainder) < 1e-9 * max(1.0, abs(scaled)) else remainder

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
