"""What an agent's class declares is what its runs do."""

from datetime import date

import pytest

from varve import registry
from varve.agents.stage import Stage
from varve.backtests.config import RunConfig
from varve.backtests.simulate.prepare import prepare
from varve.backtests.simulate.steps import simulate
from varve.strategies.base import Trader

DAYS = {"start": date(2023, 3, 1), "end": date(2023, 3, 3), "warmup_start": date(2023, 2, 16)}


@pytest.mark.parametrize("name", ["finmem", "finagent"])
def test_an_agent_asks_for_the_forms_that_it_declares(varve_home, monkeypatch, name):
    asked = set()
    ask = Stage.ask

    def noted(stage, *args, **kwargs):
        asked.add(stage.form.name)
        return ask(stage, *args, **kwargs)

    monkeypatch.setattr(Stage, "ask", noted)
    simulate(prepare(RunConfig.build(agent=name, ticker="TSLA", **DAYS)))
    assert asked == set(registry.load("agents", name).forms)


@pytest.mark.parametrize("group", ["agents", "strategies"])
def test_short_options_are_settings_and_default_models_are_registered(group):
    for name in registry.names(group):
        trader: type[Trader] = registry.load(group, name)
        assert set(trader.short_options) <= set(trader.Config.model_fields)
        if trader.needs_model:
            assert trader.default_llm in registry.names("llms")
