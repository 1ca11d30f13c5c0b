"""Runs in memory for tests: a sample world, a few sessions, no files."""

from datetime import date

from varve.agents.finagent.agent import FinAgent
from varve.agents.finagent.intelligence import Intelligence, PastIntelligence
from varve.agents.finagent.reflections import HighReflection, LowReflection
from varve.agents.importance import FORM as IMPORTANCE
from varve.backtests.config import RunConfig
from varve.backtests.simulate.prepare import Prepared, find_trader, on_other_data, prepare
from varve.backtests.simulate.steps import simulate

START, END, WARMUP = date(2023, 3, 1), date(2023, 5, 31), date(2023, 1, 3)


def prepared(agent="finmem", ticker="TSLA", **settings) -> Prepared:
    """A short run on a sample world, every name looked up."""
    wanted = {"start": START, "end": END, "data": "sample", "world": "strong", "llm": "scripted", **settings}
    if find_trader(agent).allows_warm_up:
        wanted.setdefault("warmup_start", WARMUP)
    return prepare(RunConfig.build(agent=agent, ticker=ticker, **wanted))


def stage_forms():
    """The forms of FinAgent's stages before the decision, and that of judged importance, by name."""
    agent = FinAgent(prepared("finagent").trader_config)
    made = (Intelligence, PastIntelligence, LowReflection, HighReflection)
    return {form.name: form for form in (*(one(agent)._stage.form for one in made), IMPORTANCE)}


def with_data(run: Prepared, data) -> Prepared:
    """The same run on other data, to where that ends."""
    return on_other_data(run, data)


def run_in_memory(agent="finmem", ticker="TSLA", **settings):
    """The steps of a short run."""
    return simulate(prepared(agent, ticker, **settings))
