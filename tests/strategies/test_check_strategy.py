"""Every registered strategy conforms, and a trader that does not is caught."""

import itertools
from dataclasses import replace

import pytest

from varve import registry
from varve.errors import IntegrityError
from varve.market.observation import Observation
from varve.strategies import Trader, check_strategy
from varve.types import Action, Decision, Failure, FailureReason, Instrument, Intent


@pytest.mark.parametrize("ticker", ["TSLA", "ETH-USD"])
@pytest.mark.parametrize("name", registry.names("strategies"))
def test_registered_strategies_conform(name, ticker):
    check_strategy(registry.load("strategies", name), ticker=ticker)


def whole(observation: Observation):
    """What no trader may reach: the data behind the view, past its name mangling."""
    return observation.view._MarketView__data[observation.instrument.symbol]


class Prophet(Trader):
    """Buys before a rise."""

    def decide(self, observation):
        bars = whole(observation).bars
        now = observation.view.bar_count(observation.instrument.symbol)
        return self._single(Action.BUY if bars.close[now] > bars.close[now - 1] else Action.FLAT)


class Reader(Trader):
    """Goes by tomorrow's headlines."""

    def decide(self, observation):
        later = [d for d in whole(observation).documents if d.available_at > observation.decision_at]
        return self._single(Action.BUY if "surges" in later[0].text else Action.FLAT)


class EndSeeded(Trader):
    """Draws by where the data ends."""

    def decide(self, observation):
        return self._single(Action.BUY if len(whole(observation).bars) % 2 else Action.FLAT)


_counter = itertools.count()


class Moody(Trader):
    def decide(self, observation):
        return self._single(Action.BUY if next(_counter) % 2 else Action.FLAT)


class Clinging(Trader):
    """Remembers an earlier run."""

    seen = 0

    def decide(self, observation):
        self.seen += 1
        return self._single(Action.BUY if self.seen > 30 else Action.HOLD)


class Meddling(Trader):
    def decide(self, observation):
        observation.portfolio.positions["MOON"] = 1.0
        return self._single(Action.HOLD)


class Returning(Trader):
    """Returns a given decision."""

    given = Decision()

    def decide(self, observation):
        return self.given


class Eager(Trader):
    """Trades in a lesson."""

    allows_warm_up = True

    def warm_up(self, lesson):
        return self._single(Action.BUY)

    def decide(self, observation):
        return Decision()


def returning(**parts):
    return type("Returning", (Returning,), {"given": Decision(**parts)})


def intent(action=Action.BUY, symbol="TSLA"):
    return Intent(Instrument(symbol), action)


@pytest.mark.parametrize(
    ("trader", "wrong"),
    [
        (Prophet, "another future"),
        (Reader, "another future"),
        (EndSeeded, "another future"),
        (Moody, "two runs"),
        (Clinging, "two runs"),
        (Meddling, "changed the observation"),
        (Eager, "lesson gave orders"),
        (returning(orders=(intent("BUY NOW"),)), "action is not one"),
        (returning(orders=(intent(symbol="AMZN"),)), "not for TSLA"),
        (returning(orders=(intent(), intent())), "more than one order"),
        (returning(confidence=72), "steps of 5"),
        (returning(confidence=True), "steps of 5"),
        (returning(confidence=105), "steps of 5"),
        (
            returning(orders=(intent(),), failure=Failure(FailureReason.UNPARSABLE, "x")),
            "orders beside a failure",
        ),
        (
            returning(cited_memories=("m1",), failure=Failure(FailureReason.UNPARSABLE, "x")),
            "cites memories beside a failure",
        ),
    ],
)
def test_traders_that_break_the_contract_are_caught(trader, wrong):
    with pytest.raises(IntegrityError, match=wrong):
        check_strategy(trader)


def test_a_decision_without_orders_is_one():
    check_strategy(returning(confidence=70))
    assert replace(Decision(), confidence=70).orders == ()
