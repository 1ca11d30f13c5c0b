"""The agent of the guide is what the page says: short, conforming, and passing the audit."""

import re
from datetime import date
from pathlib import Path

import pytest

from tests.support.finmem_day import call
from varve.agents import check_agent
from varve.backtests.config import RunConfig
from varve.backtests.integrity.audit import audit_run
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.prepare import find_trader

ROOT = Path(__file__).parent.parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/agents/write-an-agent.md").read_text(), re.DOTALL)


@pytest.fixture
def page():
    """The names that the first block of the page makes."""
    names = {"__name__": "gazette"}
    exec(compile(BLOCKS[0], "write-an-agent.md", "exec"), names)
    return names


def test_it_is_under_80_lines_and_the_one_that_the_plugin_installs():
    assert len(BLOCKS[0].splitlines()) < 80
    assert BLOCKS[0] == (ROOT / "tests/plugin_package/varve_plugin/gazette.py").read_text()
    assert set(re.findall(r"from (varve[\w.]*)", BLOCKS[0])) == {"varve.api"}


@pytest.mark.parametrize("ticker", ["TSLA", "ETH-USD"])
def test_it_passes_check_agent(page, ticker):
    assert BLOCKS[1].strip().endswith("check_agent(Gazette)")
    check_agent(page["Gazette"], ticker=ticker)


def test_it_passes_the_audit(page, varve_home, monkeypatch):
    gazette = page["Gazette"]
    monkeypatch.setattr(
        "varve.backtests.simulate.prepare.find_trader",
        lambda name: gazette if name == "gazette" else find_trader(name),
    )
    days = {"start": date(2023, 3, 1), "end": date(2023, 3, 31)}
    folder = run_backtest(RunConfig.build(agent="gazette", ticker="TSLA", **days))
    card = {check.name: check.passed for check in audit_run(folder, seeds=0)}
    assert card == dict.fromkeys(("future", "determinism", "replay", "ledger"), True)


def test_a_stage_of_ones_own_reads_its_form(page):
    exec(compile(BLOCKS[2], "write-an-agent.md", "exec"), page)
    reply = page["mood"].form.parse(call("tell_mood", mood="Good", why="Orders."), ())
    assert reply == {"mood": "good", "why": "Orders."}
