"""A sizer from another package: BUY holds a share of equity, everything else closes."""

from pydantic import Field

from varve.api import Action, Decision, FrozenConfig, Observation, Order


class HalfIn(FrozenConfig):
    """Long with a share of equity, or flat."""

    share: float = Field(default=0.5, gt=0, le=1)
    """Share of equity that BUY holds."""

    @property
    def allows_short(self) -> bool:
        return False

    def orders(self, decision: Decision, observation: Observation) -> tuple[Order, ...]:
        symbol = observation.instrument.symbol
        close = observation.view.last_close(symbol)
        actions = [intent.action for intent in decision.orders]
        if decision.failure or not close or not actions or actions[0] is Action.HOLD:
            return ()
        wanted = self.share * observation.portfolio.equity / close if actions[0] is Action.BUY else 0.0
        quantity = float(int(wanted - observation.position))
        return (Order(symbol, quantity),) if quantity else ()
