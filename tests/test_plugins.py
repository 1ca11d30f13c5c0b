"""A memory, a file source, a sizer, a cost preset, a metric and a panel, each from a package of its own."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from varve import registry
from varve.backtests.config import RunConfig
from varve.backtests.derive import derive
from varve.backtests.runner import run_backtest
from varve.errors import UsageError
from varve.market.calendars import get_calendar
from varve.memory import check_memory

PLUGINS = Path(__file__).parent / "plugins"
NAMES = ("memory", "source", "sizer", "costs", "metric", "panel")
RUN = ("run", "--agent", "finmem", "--ticker", "ACME", "--llm", "scripted", "--data", "store")


@pytest.fixture(scope="module")
def backtest(tmp_path_factory):
    """The command in a process that finds the six packages by their entry points alone."""
    place = tmp_path_factory.mktemp("plugins")
    sources = [str(shutil.copytree(PLUGINS / name, place / name)) for name in NAMES]
    site = place / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet",
         "--target", str(site), *sources],
        check=True, capture_output=True,
    )  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(site), "VARVE_HOME": str(place / "home")}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "varve.cli.app", *map(str, arguments)],
            cwd=place, env=env, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    days = get_calendar("XNYS").sessions(date(2023, 1, 3), date(2023, 4, 28))
    prices = (100 + i + 2 * (i % 5) for i in range(len(days)))
    lines = [f"{day} {price}" for day, price in zip(days, prices, strict=True)]
    (place / "acme.ticks").write_text("\n".join(lines))
    run("data", "import", "acme.ticks", "--ticker", "acme")
    run.home = place / "home"
    return run


@pytest.mark.parametrize(
    ("group", "line"),
    [
        ("memories", "oldest-first     Recalls the oldest texts first."),
        ("sources", "ticks            Closes from lines of date and price."),
        ("sizers", "half_in          Long with a share of equity, or flat."),
        ("costs", "dear "),
        ("metrics", "best_session     Return of the best session."),
        ("panels", "first-day        The first day of the run in one line."),
    ],
)
def test_each_is_listed(backtest, group, line):
    assert line in backtest("list", group)


def test_settings_of_a_sizer_of_another_package_are_listed(backtest):
    assert "Share of equity that BUY holds." in " ".join(backtest("list", "settings", "half_in").split())


def test_a_run_uses_all_six_and_replays_and_compares(backtest):
    options = ("--memory-kind", "oldest-first", "--sizer", "half_in", "--set", "sizer.share=0.25",
               "--costs", "dear", "--set", "costs.commission_bps=200", "--set", "memory.items=7")  # fmt: skip
    metrics = json.loads(backtest(*RUN, *options, "--json"))
    agent = metrics["columns"][0]["metrics"]
    assert agent["trades"] > 0
    assert 0 < agent["extra"]["best_session"] < 0.15
    assert metrics["fill_rule"] == "next_close"
    run_id = json.loads(backtest("replay", "latest", "--json"))["run_id"]
    folder = backtest.home / "runs" / run_id
    record = json.loads((folder / "run.json").read_text())
    assert record["costs"]["commission_bps"] == 200
    assert record["costs"]["half_spread_bps"] == 50
    assert record["agent_settings"]["memory_kind"] == "oldest-first"
    assert record["agent_settings"]["memory"]["items"] == 7
    trades = (folder / "trades.csv").read_text().splitlines()
    assert 20_000 < float(trades[1].split(",")[3]) * float(trades[1].split(",")[4]) < 26_000
    page = (folder / "report.html").read_text()
    assert "<h2>First day &lt;of all&gt;</h2>" in page
    assert page.index("First day") < page.index("<h2>Decisions</h2>")
    assert "best session" in page
    assert "best session" in backtest("compare", "latest")


def test_the_memory_of_another_package_is_certified(monkeypatch):
    monkeypatch.syspath_prepend(PLUGINS / "memory")
    check_memory(importlib.import_module("oldest_first").OldestFirst)


@pytest.fixture
def registered(monkeypatch):
    """Registers things for one test, as a package would."""

    def add(group, **things):
        names, load = registry.names, registry.load
        monkeypatch.setattr(registry, "names", lambda g: [*names(g), *things] if g == group else names(g))
        monkeypatch.setattr(
            registry, "load", lambda g, n: things[n] if g == group and n in things else load(g, n)
        )

    return add


@pytest.fixture
def folder(varve_home):
    days = {"start": date(2023, 3, 1), "end": date(2023, 3, 17)}
    return run_backtest(RunConfig.build(agent="sma-cross", ticker="TSLA", **days))


def test_a_panel_that_breaks_says_so_in_its_place_and_costs_nothing_else(folder, registered):
    def html(self, shown):
        raise ZeroDivisionError("by <zero>")

    registered("panels", broken=type("Broken", (), {"title": "Broken", "place": 15, "html": html}))
    derive(folder)
    page = folder.report.read_text()
    assert "The panel &#39;broken&#39; failed: ZeroDivisionError: by &lt;zero&gt;" in page
    assert "<h2>Decisions</h2>" in page


def test_a_metric_that_breaks_or_is_none_names_itself(folder, registered):
    registered("metrics", odd=SimpleNamespace())
    with pytest.raises(UsageError, match="metric 'odd' is registered as a SimpleNamespace"):
        derive(folder)
    from varve.backtests.results.metric import Metric

    how = {"label": "odd", "unit": "ratio", "better": "neither", "meaning": "Odd."}
    registered("metrics", odd=Metric(value=lambda measured: 1 / 0, **how))
    with pytest.raises(UsageError, match="metric 'odd' failed: ZeroDivisionError"):
        derive(folder)
    registered("metrics", odd=Metric(value=lambda measured: float("nan"), **how))
    assert derive(folder).agent.extra == {"odd": None}
