"""What one step of the exchange brings, and the reasons for which less is filled than was ordered.

A fill that is less than ordered, or no order's doing, says why in ``Fill.clipped``:

- ``cash_clipped``: the account cannot pay more at the fill's price, costs included;
- ``participation_capped``: more would be above the cost model's share of ADV;
- ``short_not_allowed``: more than was held cannot be sold without shorting;
- ``cash_in_lieu``: a split's fraction of a lot, paid out in cash;
- ``ruined``: equity was gone at the close, and the position was closed there.

An order on a bar without trades (``no_trades``: its volume is 0, that of earlier bars was not) is not
filled and waits, as where there is no bar at all.

What is not filled of an order is an :class:`Unfilled` with the same words, or ``below_one_lot``. The
exchange forgets it, but for what waits; :class:`~varve.envs.desk.Desk` orders again what was only capped.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from varve.types import CorporateEvent, Fill

CASH_CLIPPED, CAPPED = "cash_clipped", "participation_capped"
NO_SHORT, BELOW_ONE_LOT = "short_not_allowed", "below_one_lot"
IN_LIEU, RUINED = "cash_in_lieu", "ruined"
NO_TRADES = "no_trades"


class Unfilled(NamedTuple):
    """An order, or a part of one, that was not filled on its bar, and why; the exchange forgets it.

    ``quantity`` is signed, in shares of the bar's close: a split of that bar is in it.
    """

    symbol: str
    session: date
    quantity: float
    reason: str


class BarFacts(NamedTuple):
    """What the exchange did to one instrument on one bar beside its fills.

    ``mark``: the price at which the position was marked, currency per share. ``dividends``: cash received
    less paid, currency. ``split``: new shares per share of the bar before; 1 on most.
    """

    mark: float
    dividends: float = 0.0
    split: float = 1.0


class StepResult(NamedTuple):
    """What one step brought. ``equity`` in currency at the bar's close, ``reward`` its relative change.

    ``terminated``: equity is gone. ``truncated``: no bar is left. ``dividends``: received less paid on
    this bar, in currency. ``unfilled``: what was not filled of this bar's orders, one entry a reason.
    ``events``: splits and dividends that took effect on it, in order.
    """

    session: date
    fills: tuple[Fill, ...]
    equity: float
    reward: float
    terminated: bool
    truncated: bool
    dividends: float = 0.0
    unfilled: tuple[Unfilled, ...] = ()
    events: tuple[CorporateEvent, ...] = ()
