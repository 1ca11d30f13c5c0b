"""From a decision to orders: how much to trade, fixed at the decision from what was known then."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol, cast

from pydantic import Field

from varve import registry
from varve.config import FrozenConfig
from varve.envs.ledger import whole_lots
from varve.errors import UsageError
from varve.market.observation import Observation
from varve.types import Action, Decision, Order


class Sizer(Protocol):
    """Turns decisions into orders.

    A sizer may say three things more. ``work_off`` (True where it says nothing): what a participation cap
    left of an order is ordered again while the decision stands. ``fixed_unit`` (False where it says
    nothing): an action trades so many lots whatever the account holds, and the baselines then do too.
    ``wish(action, observation)``: the signed quantity before it is cut to lots, to tell a wish of less
    than a lot from none.
    """

    @property
    def allows_short(self) -> bool:
        """Whether the exchange must allow negative positions."""
        ...

    def orders(self, decision: Decision, observation: Observation) -> tuple[Order, ...]:
        """Signed quantities in whole lots; empty where nothing is to be traded."""
        ...


class _Sized(FrozenConfig):
    """What all sizers of the package have."""

    name: ClassVar[str]
    fixed_unit: ClassVar[bool] = False
    work_off: bool = True
    """Order again what a participation cap left of an order, until another BUY, SELL or FLAT."""


class _OneInstrument(_Sized, ABC):
    """Shared by sizers that aim at a position.

    One order at most; none for failures, unknown prices or nothing to do.
    """

    @property
    def allows_short(self) -> bool:
        """Whether a position may become negative."""
        return False

    def orders(self, decision: Decision, observation: Observation) -> tuple[Order, ...]:
        """The order of a decision on the observation's instrument."""
        symbol = observation.instrument.symbol
        actions = [intent.action for intent in decision.orders if intent.instrument.symbol == symbol]
        if decision.failure or not actions:
            return ()
        quantity = whole_lots(self.wish(actions[0], observation), observation.instrument.lot_size)
        return (Order(symbol, quantity),) if quantity else ()

    def wish(self, action: Action, observation: Observation) -> float:
        """The signed quantity that an action asks for, before it is cut to whole lots.

        0 where nothing is to be done, or no price is known.
        """
        close = observation.view.last_close(observation.instrument.symbol)
        if close is None:
            return 0.0
        position = observation.position
        return self._target(action, position, observation.portfolio.equity / close) - position

    @abstractmethod
    def _target(self, action: Action, position: float, whole: float) -> float:
        """The wanted position; ``whole`` is all equity in shares at the last close."""


class AllIn(_OneInstrument):
    """Long with ``weight`` of equity, or flat (short with shorting on). The default."""

    name: ClassVar[str] = "all_in"
    weight: float = Field(default=0.99, gt=0, le=1)
    """Share of equity that a position takes."""
    shorting: bool = False
    """Let SELL from flat open a short position."""

    @property
    def allows_short(self) -> bool:
        """As set."""
        return self.shorting

    def _target(self, action: Action, position: float, whole: float) -> float:
        if action is Action.BUY:
            return position if position > 0 else self.weight * whole
        if action is Action.SELL:
            if self.shorting:
                # SELL closes a long; only from flat does it open a short.
                return 0.0 if position > 0 else (position if position < 0 else -self.weight * whole)
            return 0.0
        return 0.0 if action is Action.FLAT else position


class Fraction(_OneInstrument):
    """Each BUY or SELL moves the position by ``fraction`` of equity, within ±``weight`` of it."""

    name: ClassVar[str] = "fraction"
    fraction: float = Field(default=0.25, gt=0, le=1)
    """Share of equity by which one BUY or SELL moves the position."""
    weight: float = Field(default=0.99, gt=0, le=1)
    """Largest position, a share of equity."""
    shorting: bool = False
    """Let SELL go below flat."""

    @property
    def allows_short(self) -> bool:
        """As set."""
        return self.shorting

    def _target(self, action: Action, position: float, whole: float) -> float:
        step, most = self.fraction * whole, self.weight * whole
        if action is Action.BUY:
            return max(position, min(position + step, most))
        if action is Action.SELL:
            least = -most if self.shorting else 0.0
            return min(position, max(position - step, least))
        return 0.0 if action is Action.FLAT else position


class FinMemUnit(_Sized):
    """One lot more or less per BUY or SELL, shorts allowed, as FinMem's released code trades."""

    name: ClassVar[str] = "finmem_unit"
    fixed_unit: ClassVar[bool] = True
    lots: int = Field(default=1, ge=1)
    """Lots that one BUY or SELL trades."""

    @property
    def allows_short(self) -> bool:
        """Always."""
        return True

    def orders(self, decision: Decision, observation: Observation) -> tuple[Order, ...]:
        """One lot in the direction of the action; FLAT closes everything."""
        symbol, lot = observation.instrument.symbol, observation.instrument.lot_size
        actions = [intent.action for intent in decision.orders if intent.instrument.symbol == symbol]
        if decision.failure or not actions:
            return ()
        quantity = {Action.BUY: self.lots * lot, Action.SELL: -self.lots * lot}.get(actions[0], 0.0)
        if actions[0] is Action.FLAT:
            quantity = -observation.position
        return (Order(symbol, quantity),) if quantity else ()


def get_sizer(name: str, **settings: object) -> Sizer:
    """The registered sizer of that name.

    Raises:
        UnknownNameError: if there is none; near names are suggested.
        SettingError: if a setting is unknown or cannot be used.
        UsageError: if what is registered is no settings class with the methods of :class:`Sizer`.
    """
    found = registry.load("sizers", name)
    if not (isinstance(found, type) and issubclass(found, FrozenConfig) and hasattr(found, "orders")):
        raise UsageError(
            f"sizer {name!r} is registered as {found!r}, a FrozenConfig class with orders() expected",
            mend="mend the package that registers it",
        )
    return cast(Sizer, found.build(**settings))
