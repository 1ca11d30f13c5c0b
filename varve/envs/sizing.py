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
    """Turns decisions into orders."""

    @property
    def allows_short(self) -> bool:
        """Whether the exchange must allow negative positions."""
        ...

    def orders(self, decision: Decision, observation: Observation) -> tuple[Order, ...]:
        """Signed quantities in whole lots; empty where nothing is to be traded."""
        ...


class _OneInstrument(FrozenConfig, ABC):
    """Shared by sizers that aim at a position.

    One order at most; none for failures, unknown prices or nothing to do.
    """

    name: ClassVar[str]

    @property
    def allows_short(self) -> bool:
        """Whether a position may become negative."""
        return False

    def orders(self, decision: Decision, observation: Observation) -> tuple[Order, ...]:
        """The order of a decision on the observation's instrument."""
        symbol = observation.instrument.symbol
        close = observation.view.last_close(symbol)
        actions = [intent.action for intent in decision.orders if intent.instrument.symbol == symbol]
        if decision.failure or close is None or not actions:
            return ()
        position = observation.position
        target = self._target(actions[0], position, observation.portfolio.equity / close)
        if target == position:
            return ()
        quantity = whole_lots(target - position, observation.instrument.lot_size)
        return (Order(symbol, quantity),) if quantity else ()

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


class FinMemUnit(FrozenConfig):
    """One lot more or less per BUY or SELL, shorts allowed, as FinMem's released code trades."""

    name: ClassVar[str] = "finmem_unit"
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
