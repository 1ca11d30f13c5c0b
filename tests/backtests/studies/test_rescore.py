"""Rescoring: the same decisions by the papers' rules and by realistic ones, from the run's folder alone."""

import json
import shutil
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pytest

from varve.backtests.config import RunConfig
from varve.backtests.record.digest import run_digest
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.journal import Journal
from varve.backtests.record.lookup import find_run
from varve.backtests.runner import run_backtest
from varve.backtests.studies.rescore.chart import draw_rescored
from varve.backtests.studies.rescore.rescore import RULES, rescore
from varve.backtests.studies.rescore.sentences import sentences, signed
from varve.errors import BadFileError, IntegrityError, UnknownNameError
from varve.market.worlds import sample_world
from varve.types import Action

SPLIT = {"ticker": "TSLA", "start": date(2022, 8, 1), "end": date(2022, 10, 14)}


def run_of(tmp, **settings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VARVE_HOME", str(tmp))
        return run_backtest(RunConfig.build(**{"data": "sample", **settings}))


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """A rule's run with the settings that realistic scoring has, over a split."""
    return run_of(tmp_path_factory.mktemp("home"), agent="zscore", settings={"threshold": 0.5}, **SPLIT)


@pytest.fixture(scope="module")
def unit(tmp_path_factory):
    """A run by single shares, short too, without costs, filled at the close it has read."""
    return run_of(
        tmp_path_factory.mktemp("home"), agent="zscore", settings={"threshold": 0.5}, sizer="finmem_unit",
        costs="zero", fill="same_close", **SPLIT,
    )  # fmt: skip


def metrics_of(folder):
    return json.loads((folder.path / "metrics.json").read_text())["columns"]


def test_realistic_rules_give_a_default_run_its_own_figures(default):
    rescored = rescore(default)
    agent, held = metrics_of(default)[:2]
    assert held["name"] == "buy-and-hold"
    column = rescored.column("varve")
    for scored, figures in ((column.agent, agent["metrics"]), (column.buy_and_hold, held["metrics"])):
        assert scored.total_return == pytest.approx(figures["total_return"], rel=1e-12)
        assert scored.sharpe == pytest.approx(figures["sharpe"], rel=1e-12)
        assert scored.max_drawdown == pytest.approx(-figures["max_drawdown"], rel=1e-12)
    assert column.costs == pytest.approx(agent["metrics"]["commissions"] + agent["metrics"]["slippage"])


def test_a_run_by_other_rules_is_scored_by_realistic_ones(unit):
    rescored = rescore(unit)
    assert metrics_of(unit)[0]["metrics"]["commissions"] == 0
    column = rescored.column("varve")
    assert (unit.read().fill_rule, rescored.fill_rule) == ("same_close", "next_open")
    assert column.costs > 0
    assert -1 not in column.agent.position
    assert max(abs(w - 1) for w in column.agent.wealth) > 0.01  # not one share of 100,000


def test_papers_rules_by_hand_from_the_journal(default):
    rescored = rescore(default)
    bars = sample_world("TSLA").bars
    places = [int(np.flatnonzero(bars.sessions == np.datetime64(s))[0]) for s in rescored.sessions]
    # The sample world's TSLA splits 3:1 on 2022-08-25; one share before is three after.
    factor = np.array([3.0 if s < date(2022, 8, 25) else 1.0 for s in rescored.sessions])
    closes = bars.close[places] / factor
    sides = np.array([{"BUY": 1, "SELL": -1}.get(action, 0) for action in rescored.actions])
    paper = rescored.column("finmem-paper").agent
    assert paper.total_return == pytest.approx(float((sides * np.diff(np.log(closes))).sum()))
    held = rescored.column("finmem-paper").buy_and_hold
    assert held.total_return == pytest.approx(float(np.log(closes[-1] / closes[0])))
    finagent = rescored.column("finagent-paper").buy_and_hold
    assert finagent.total_return == pytest.approx(closes[-1] / closes[0] - 1, abs=0.01)


def test_each_stage_changes_what_it_says(default):
    rescored = rescore(default)
    totals = {stage.change: stage.total_return for stage in rescored.stages}
    assert next(iter(totals)) == "FinMem's rules"
    assert rescored.stages[0].total_return == rescored.column("finmem-paper").agent.total_return
    assert rescored.stages[-1].total_return == rescored.column("varve").agent.total_return
    # a long-only chain at the next open, whole and free, is what vectorbt makes of these returns
    bars = sample_world("TSLA").bars
    places = [int(np.flatnonzero(bars.sessions == np.datetime64(s))[0]) for s in rescored.sessions]
    factor = np.array([3.0 if s < date(2022, 8, 25) else 1.0 for s in rescored.sessions])
    closes, opens = bars.close[places] / factor, bars.open[places] / factor
    wealth, long = 1.0, False
    for i, action in enumerate(rescored.actions):
        wealth *= opens[i + 1] / closes[i] if long else 1.0
        long = {"BUY": True, "SELL": False, "FLAT": False}.get(action, long)
        wealth *= closes[i + 1] / opens[i + 1] if long else 1.0
    assert totals["filled at the next open"] == pytest.approx(wealth - 1)
    assert totals["costs"] < totals["whole lots, 1 % cash, dividends"]


def test_from_finagents_rules_there_is_a_way_too(default):
    rescored = rescore(default, ["finagent-paper"])
    assert [column.rule for column in rescored.columns] == ["finagent-paper", "varve"]
    assert [stage.change for stage in rescored.stages][:2] == [
        "FinAgent's rules", "no fee, fractions of shares",
    ]  # fmt: skip
    alone = rescore(default, ["varve"])
    assert alone.stages == ()
    assert "nothing is beside them" in sentences(alone)[1]


def test_two_sentences_from_the_figures(default):
    rescored = rescore(default)
    first, second = sentences(rescored)
    for text in (first, second):
        assert text.endswith(".")
        assert text.count(". ") == 0
    assert f"{len(rescored.actions)} decisions" in first
    for column in rescored.columns:
        assert f"{signed(100 * column.agent.total_return, '.1f')} %" in first
    whole = rescored.stages[-1].total_return - rescored.stages[0].total_return
    assert f"{signed(100 * whole, '.1f')} points" in second
    assert signed(-0.04, ".1f") == "0.0"
    assert signed(-1.25, ".2f") == "−1.25"


def test_a_copied_folder_is_enough_and_is_equal(default, tmp_path, varve_home):
    shutil.copytree(default.path, tmp_path / "copy")
    copy = rescore(RunFolder(tmp_path / "copy"))
    assert copy == rescore(default)
    assert draw_rescored(copy) == draw_rescored(rescore(default))


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.images, self.links = [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "img":
            self.images.append(given["src"])
        self.links += [value for name, value in attrs if name in ("href", "src") and tag != "img"]


def test_the_command_prints_the_table_and_keeps_the_page(backtest, varve_home):
    code, _, err = backtest(
        "run", "--agent", "zscore", "--ticker", "TSLA", "--start", "2022-08-01", "--end", "2022-09-15",
        "--data", "sample", "--quiet",
    )  # fmt: skip
    assert code == 0, err
    code, out, err = backtest("rescore", "latest")
    assert code == 0, err
    for part in (*RULES, "zscore", "buy-and-hold", "total return", "Sharpe", "SYNTHETIC"):
        assert part in out
    folder = find_run("latest")
    assert (folder.path / "rescore.png").read_bytes()[:4] == b"\x89PNG"
    text = (folder.path / "rescore.html").read_text()
    page = Page()
    page.feed(text)
    assert page.links == []
    assert all(source.startswith("data:image/png;base64,") for source in page.images)
    assert len(page.images) == 1
    assert "<script" not in text
    assert "SYNTHETIC" in text
    report = folder.report.read_text()
    kept = json.loads((folder.path / "rescore.json").read_text())
    for sentence in kept["sentences"]:
        assert sentence.replace("'", "&#39;") in report
    code, out, err = backtest("rescore", "latest", "--rules", "finmem-paper", "--json")
    assert [column["rule"] for column in json.loads(out)["columns"]] == ["finmem-paper", "varve"]
    code, _, err = backtest("rescore", "latest", "--rules", "finmem")
    assert code == 2
    assert "finmem-paper" in err


def test_rescoring_leaves_the_run_digest(default, tmp_path):
    from varve.backtests.derive import derive
    from varve.backtests.studies.rescore.page import write_rescored

    shutil.copytree(default.path, tmp_path / "copy")
    folder = RunFolder(tmp_path / "copy")
    before = folder.read().run_digest
    write_rescored(folder, rescore(folder))
    derive(folder)
    assert folder.read().run_digest == before
    (folder.path / "rescore.json").write_text("{")
    with pytest.raises(BadFileError, match="backtest rescore"):
        derive(folder)


def test_failed_decisions_keep_the_position(default, tmp_path):
    import sqlite3

    shutil.copytree(default.path, tmp_path / "copy")
    folder = RunFolder(tmp_path / "copy")
    with sqlite3.connect(folder.journal) as db:
        step, raw = db.execute(
            "SELECT step, decision FROM steps WHERE phase='trade' AND decision LIKE '%\"SELL\"%' LIMIT 1"
        ).fetchone()
        decision = {**json.loads(raw), "orders": [], "failure": {"reason": "unparsable", "detail": "x"}}
        db.execute(
            "UPDATE steps SET decision = ?, failure = ? WHERE phase='trade' AND step = ?",
            (json.dumps(decision), "unparsable", step),
        )
    db.close()
    with pytest.raises(IntegrityError, match="the journal was changed"):
        rescore(folder)
    run = folder.read()
    journal = Journal(folder.journal, run_id=run.run_id)
    folder.update(run_digest=run_digest(journal, run.digest_version, folder.derived))
    journal.close()
    rescored = rescore(folder)
    assert rescored.failures == 1
    assert rescored.actions[step] is Action.HOLD
    assert rescored.column("finmem-paper").agent.position[step] == 0
    held = rescored.column("varve").agent.position
    assert held[step] == held[step - 1]


def test_rules_are_named(default):
    with pytest.raises(UnknownNameError, match="finmem-paper"):
        rescore(default, ["finmem-papr"])


def test_finmem_on_imported_jnj_shows_both_tables(shared_data, backtest, varve_home):
    code, _, err = backtest(
        "data", "import", shared_data / "investorbench" / "jnj.json", "--ticker", "JNJ"
    )  # fmt: skip
    assert code == 0, err
    code, _, err = backtest(
        "run", "--agent", "finmem", "--ticker", "JNJ", "--start", "2020-09-01", "--end", "2020-12-31",
        "--warmup-start", "2020-08-03", "--no-news", "--quiet",
    )  # fmt: skip
    assert code == 0, err
    code, out, err = backtest("rescore", "latest", "--json")
    assert code == 0, err
    shown = json.loads(out)
    assert shown["fill_rule"] == "next_close"
    totals = {column["rule"]: column["agent"]["total_return"] for column in shown["columns"]}
    assert set(totals) == set(RULES)
    assert abs(totals["finmem-paper"] - totals["varve"]) > 0.005
    assert len(shown["sentences"]) == 2
    header, rows = shown["table"]["header"], shown["table"]["rows"]
    assert header == ["", *RULES]
    assert {row[0] for row in rows if len(row) == 1} == {"finmem", "buy-and-hold"}
    report = find_run("latest").report.read_text()
    assert "By other rules" in report
