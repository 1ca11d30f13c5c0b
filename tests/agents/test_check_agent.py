"""Every registered agent conforms, and an agent that does not is caught."""

from dataclasses import replace

import pytest

from varve import registry
from varve.agents import FinMem, check_agent
from varve.errors import IntegrityError
from varve.types import Failure, FailureReason


@pytest.mark.parametrize("ticker", ["TSLA", "ETH-USD"])
@pytest.mark.parametrize("name", registry.names("agents"))
def test_registered_agents_conform(name, ticker):
    check_agent(registry.load("agents", name), ticker=ticker)


class Inventing(FinMem):
    def decide(self, observation):
        decision = super().decide(observation)
        return decision if decision.failure else replace(decision, cited_memories=("m999999",))

    def learn(self, outcome):
        """Nothing: its memory would refuse the id."""


class Hoarding(FinMem):
    """Keeps what the model said although it was no reply."""

    def decide(self, observation):
        decision = super().decide(observation)
        if decision.failure:
            at = observation.decision_at
            self._reflect(decision.failure.detail, "rationale", event_time=at, at=at, links=())
        return decision


class Relabelling(FinMem):
    """Calls a failure a HOLD."""

    def decide(self, observation):
        return replace(super().decide(observation), failure=None)


class Impatient(FinMem):
    """Never asks again."""

    def decide(self, observation):
        decision = super().decide(observation)
        if decision.failure:
            return replace(decision, failure=Failure(FailureReason.UNPARSABLE, "once is enough"))
        return decision


class Foresighted(FinMem):
    """Recalls as of later than its decision."""

    def decide(self, observation):
        from datetime import timedelta

        self.memory.recall("anything", observation.decision_at + timedelta(days=1), 1)
        return super().decide(observation)


@pytest.mark.parametrize(
    ("agent", "wrong"),
    [
        (Inventing, "does not have"),
        (Hoarding, "stored in memory"),
        (Relabelling, "taken for a decision"),
        (Impatient, "2 expected"),
        (Foresighted, "too early"),
    ],
)
def test_agents_that_break_the_contract_are_caught(agent, wrong):
    with pytest.raises(IntegrityError, match=wrong):
        check_agent(agent)
