"""The audit: an honest run passes every check, and five ways to peek at tomorrow are caught and named."""

import json
from datetime import date

import pytest

from tests.support import cheats
from varve.backtests.config import RunConfig
from varve.backtests.integrity.audit import audit_run
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.prepare import find_trader
from varve.errors import UsageError
from varve.market.store import Store
from varve.market.worlds import sample_world

SETTINGS = {
    "agent": "finmem",
    "ticker": "TSLA",
    "start": date(2023, 3, 1),
    "end": date(2023, 4, 28),
    "warmup_start": date(2023, 2, 1),
}


def audited(monkeypatch, cheat=None, **changes):
    """The card of a run of FinMem, or of the cheat that goes by its name."""
    if cheat is not None:
        monkeypatch.setattr(
            "varve.backtests.simulate.prepare.find_trader",
            lambda name: cheat if name == cheat.name else find_trader(name),
        )
        changes.setdefault("agent", cheat.name)
    folder = run_backtest(RunConfig.build(**{**SETTINGS, **changes}))
    return folder, {check.name: check for check in audit_run(folder, seeds=0)}


@pytest.mark.parametrize(
    ("cheat", "way"),
    [
        (cheats.PeeksAtData, "through data"),
        (cheats.PeeksThroughMemory, "through memory"),
        (cheats.PeeksThroughATool, "through a tool"),
        (cheats.PeeksThroughAChart, "through a chart"),
    ],
)
def test_a_peeking_agent_is_caught_with_date_and_way(varve_home, monkeypatch, cheat, way):
    folder, card = audited(monkeypatch, cheat)
    assert card["future"].passed is False
    assert way in card["future"].detail
    decided = [step[:10] for step in decisions(folder)]
    assert any(f"decided {day}" in card["future"].detail for day in decided)
    # A cheat repeats itself: only the other future tells.
    assert [card[name].passed for name in ("determinism", "replay", "ledger")] == [True] * 3


@pytest.mark.parametrize(
    ("cheat", "way"),
    [
        (cheats.FinAgentPeeksAtData, "through data"),
        (cheats.FinAgentPeeksThroughMemory, "through memory"),
        (cheats.FinAgentPeeksThroughATool, "through a tool"),
        (cheats.FinAgentPeeksThroughAChart, "through a chart"),
    ],
)
def test_a_peeking_finagent_is_caught_by_the_same_ways(varve_home, monkeypatch, cheat, way):
    days = {"warmup_start": date(2023, 2, 15), "end": date(2023, 3, 17)}
    _, card = audited(monkeypatch, cheat, **days)
    assert card["future"].passed is False
    assert way in card["future"].detail
    assert [card[name].passed for name in ("determinism", "replay", "ledger")] == [True] * 3


def decisions(folder):
    lines = (folder.path / "decisions.csv").read_text().splitlines()
    return [line.split(",")[1] for line in lines[1:]]


def test_a_peeking_sizer_is_caught(varve_home, monkeypatch):
    monkeypatch.setattr("varve.backtests.simulate.prepare.get_sizer", lambda name: cheats.PeekingSizer())
    _, card = audited(monkeypatch)
    assert card["future"].passed is False
    assert "through the sizer" in card["future"].detail


def test_an_agent_that_reads_the_store_itself_is_caught(varve_home, monkeypatch):
    Store().write(sample_world("TSLA", end=date(2023, 5, 31)))
    _, card = audited(monkeypatch, cheats.PeeksAtTheStore, data="store")
    assert card["future"].passed is False
    assert "through data" in card["future"].detail


@pytest.mark.parametrize("agent", ["finmem", "sma-cross"])
def test_an_honest_run_passes_and_its_report_says_so(backtest, varve_home, agent):
    arguments = ["run", "--agent", agent, "--ticker", "AMZN", "--start", "2023-03-01", "--end", "2023-04-28"]
    assert backtest(*arguments, "--quiet")[0] == 0
    code, out, err = backtest("audit", "latest", "--seeds", "2", "--json")
    card = {check["name"]: check for check in json.loads(out)}
    # Two seeds cannot find the planted edge; that is what the check is there to say.
    assert card.pop("planted world")["passed"] is False
    assert code == 5
    assert "planted world" in err
    assert card.pop("planted world, this agent")["passed"] is None
    assert {check["passed"] for check in card.values()} == {True}
    (folder,) = (varve_home / "runs").iterdir()
    report = (folder / "report.html").read_text()
    assert "<h2>Audit</h2>" in report
    assert "nothing before them changed" in report


def test_the_card_of_another_record_is_not_shown(backtest, varve_home):
    arguments = ["run", "--agent", "buy-and-hold", "--ticker", "AMZN", "--start", "2023-03-01"]
    backtest(*arguments, "--end", "2023-03-31", "--quiet")
    assert backtest("audit", "latest", "--seeds", "0")[0] == 0
    (folder,) = (varve_home / "runs").iterdir()
    card = json.loads((folder / "audit.json").read_text())
    (folder / "audit.json").write_text(json.dumps({**card, "run_digest": "0"}))
    backtest("report", "latest", "--quiet")
    assert "<h2>Audit</h2>" not in (folder / "report.html").read_text()
    (folder / "audit.json").write_text("{")
    code, _, err = backtest("report", "latest", "--quiet")
    assert code == 3
    assert "backtest audit" in err


def test_what_cannot_be_audited_says_why(backtest, varve_home):
    def stop(record, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_backtest(RunConfig.build(**SETTINGS), on_step=stop)
    code, _, err = backtest("audit", "latest")
    assert code == 2
    assert "--resume" in err


@pytest.mark.parametrize("seeds", [-1, 1])
def test_seeds_that_say_nothing_are_refused(varve_home, seeds):
    folder = run_backtest(RunConfig.build(**{**SETTINGS, "agent": "buy-and-hold", "warmup_start": None}))
    with pytest.raises(UsageError, match="0, or 2 to 1000 expected"):
        audit_run(folder, seeds=seeds)
