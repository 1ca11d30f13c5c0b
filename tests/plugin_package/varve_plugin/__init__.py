"""An agent from another package: it imports nothing of Varve but its stable surface."""

from varve.api import Action, Decision, Intent, Observation, Trader


class Contrarian(Trader):
    """Buys after a fall, sells after a rise."""

    name = "contrarian"

    def decide(self, observation: Observation) -> Decision:
        closes = observation.view.closes(observation.instrument.symbol, 2)
        action = Action.HOLD if len(closes) < 2 else Action.BUY if closes[1] < closes[0] else Action.SELL
        return Decision(orders=(Intent(observation.instrument, action),), rationale="against the last move")
