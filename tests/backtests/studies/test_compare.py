"""Comparisons: figures by hand, cut windows, pools, and sentences that claim no more than they may."""

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from varve.backtests.record.trial_registry.lines import Trial
from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.sharpe import holm, pooled_sharpe, sharpe_difference, sharpe_interval
from varve.backtests.results.track import Track
from varve.backtests.results.trial_count import TrialCount
from varve.backtests.studies.compare.comparison import break_even_bps, compare
from varve.backtests.studies.compare.entrants import Entrant, cut
from varve.backtests.studies.compare.sentences import conclusions
from varve.backtests.studies.compare.table import blocks
from varve.errors import UsageError
from varve.types import Action, Fill

FIRST = date(2023, 1, 2)


def sessions_of(count, first=FIRST):
    return [first + timedelta(days=i) for i in range(count)]


def fill(session, quantity, reference, *, paid=None, commission=0.0):
    at = datetime.combine(session, datetime.min.time(), tzinfo=UTC)
    return Fill("TSLA", session, at, quantity, reference, reference if paid is None else paid, commission)


def track(returns, *, name="run", first=FIRST, fills=None, start=1000.0):
    """A track that earns those returns, flat at bar 0."""
    sessions = sessions_of(len(returns) + 1, first)
    equity = [start, *(start * np.cumprod(1 + np.asarray(returns))).tolist()]
    return Track(
        name=name,
        sessions=sessions,
        equity=equity,
        position=[0.0, *[1.0] * len(returns)],
        close=[100.0] * len(sessions),
        fills=[fill(sessions[1], 1.0, 100.0)] if fills is None else fills,
        dividends=[0.0] * len(sessions),
        split_factors=[1.0] * len(sessions),
    )


def entrant(
    run_id, returns, held, *, agent="finmem", ticker="TSLA", seed=0, settings="a", first=FIRST, **more
):
    own, base = track(returns, first=first), track(held, first=first, name="buy-and-hold")
    ends = [own.sessions[0].isoformat(), own.sessions[-1].isoformat()]
    return Entrant(
        **{
            "run_id": run_id,
            "trial": Trial("run", agent, ticker, None, *ends, settings, seed, run_id=run_id),
            "track": own,
            "held": base,
            "actions": {own.sessions[0]: Action.BUY},
            "settings": {"costs": "retail", "fill": "auto", "agent": agent, "kind": settings},
            "calendar": "24/7",
            "synthetic": False,
            "currency": "USD",
            "has_model": True,
            **more,
        }
    )


@pytest.fixture(scope="module")
def market():
    return np.random.default_rng(5).normal(0.0003, 0.012, 250)


def noise(seed, count=250, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 0.01, count)


YEAR = 365
of = SessionReturns.alone


def test_figures_are_those_of_their_own_functions(market):
    found = compare([entrant("a", noise(1), market), entrant("b", noise(2), market, settings="b")])
    one, two = found.runs
    assert (one.sharpe.low, one.sharpe.high) == pytest.approx(sharpe_interval(of(noise(1)), YEAR))
    assert one.metrics.sharpe == pytest.approx(one.sharpe.value)
    against = [sharpe_difference(of(noise(i)), of(market), YEAR) for i in (1, 2)]
    for run, own, adjusted in zip(found.runs, against, holm([e.p for e in against]), strict=True):
        assert run.against_held.estimate == pytest.approx(own)
        assert run.against_held.holm_p == pytest.approx(adjusted)
    assert one.against_first is None
    assert two.against_first.estimate == pytest.approx(sharpe_difference(of(noise(2)), of(noise(1)), YEAR))
    low, high = one.resampled.total_return
    assert low < one.metrics.total_return < high
    (held,) = found.held
    assert held.run_id is None
    assert held.metrics.total_return == pytest.approx(np.prod(1 + market) - 1)
    assert (found.runs[0].name, found.runs[1].name) == (
        "finmem TSLA seed 0 kind=a", "finmem TSLA seed 0 kind=b"
    )  # fmt: skip


def test_noise_is_not_told_from_anything_and_the_words_say_so(market):
    found = compare([entrant("a", market + noise(1), market), entrant("b", market + noise(2), market)])
    text = " ".join(conclusions(found))
    assert "250 sessions (0.7 years) say little" in text
    assert "None of the 2 Sharpe ratios can be told from 0" in text
    assert "No run can be told from buy-and-hold" in text
    assert "Run 2 cannot be told from run 1" in text
    assert "differ from" not in text
    assert "One seed each" in text


def test_an_edge_is_named_with_its_size(market):
    found = compare(
        [entrant("a", market + noise(1, mean=0.004), market), entrant("b", market + noise(2), market)]
    )
    words = conclusions(found)
    told = next(sentence for sentence in words if "differ from buy-and-hold" in sentence)
    estimate = found.runs[0].against_held.estimate
    assert "after Holm's allowance for 2 comparisons" in told
    assert f"1 by {estimate.value:+.2f} (p below 0.001)" in told
    assert any(
        sentence.startswith("Run 1 has a Sharpe ratio whose interval leaves out 0") for sentence in words
    )


def test_the_window_of_the_issue_in_words():
    found = compare([entrant("a", noise(1, 124), noise(2, 124))])
    assert (
        "124 sessions (0.3 years) say little: even a true Sharpe ratio of 1 would be measured anywhere from "
        "-2.4 to 4.4."
    ) in conclusions(found)
    assert "The run cannot be told from buy-and-hold" in " ".join(conclusions(found))
    assert found.runs[0].against_first is None


def test_other_windows_are_cut_to_the_sessions_in_common(market):
    late = FIRST + timedelta(days=100)
    found = compare([entrant("long", noise(1), market), entrant("late", noise(2), market, first=late)])
    assert (found.sessions[0], len(found.sessions)) == (late, 151)
    assert found.runs[0].metrics.total_return == pytest.approx(np.prod(1 + noise(1)[100:]) - 1)
    assert found.runs[1].metrics.total_return == pytest.approx(np.prod(1 + noise(2)[:150]) - 1)
    words = conclusions(found)
    assert words[0].startswith("Compared on the 151 sessions from 2023-04-12 to 2023-09-09 that all have: ")
    assert "long has 251 sessions, 2023-01-02 to" in words[0]


def test_windows_without_sessions_in_common_are_refused(market):
    far = entrant("far", noise(2), market, first=FIRST + timedelta(days=245))
    with pytest.raises(UsageError) as caught:
        compare([entrant("near", noise(1), market), far])
    for part in ("6 sessions in common, at least 10 expected", "near 2023-01-02", "over the same dates"):
        assert part in str(caught.value)


def test_no_run_and_a_run_twice_are_refused(market):
    with pytest.raises(UsageError, match="no run given"):
        compare([])
    with pytest.raises(UsageError, match="run a is given twice"):
        compare([entrant("a", noise(1), market)] * 2)


def test_a_cut_keeps_what_was_held_and_counts_gaps_at_the_next_session():
    whole = track([0.1, 0.2, -0.5, 0.0])
    days = whole.sessions
    part = cut(whole, [days[1], days[3], days[4]])
    assert part.equity == pytest.approx([1100, 660, 660])
    assert part.position == [1.0, 1.0, 1.0]
    assert part.fills == []
    assert cut(whole, days) is whole


def test_break_even_by_hand():
    days = sessions_of(3)
    # 1000 at first; gross profit 50 for 400 traded, against 20 for 100 traded: 30 / 300 = 1000 bps.
    run = track([0.0, 0.0], fills=[fill(days[1], 2.0, 100.0, paid=101.0, commission=1.0),
                                   fill(days[2], -2.0, 100.0, paid=99.0, commission=1.0)])  # fmt: skip
    run.equity[-1] = 1000 + 50 - 6
    held = track([0.0, 0.0], fills=[fill(days[1], 1.0, 100.0, paid=100.5)])
    held.equity[-1] = 1000 + 20 - 0.5
    assert break_even_bps(run, held) == pytest.approx(1000)
    assert break_even_bps(held, run) is None
    run.equity[-1] = 1000 + 10 - 6
    assert break_even_bps(run, held) < 0


def test_at_its_break_even_cost_a_run_ends_where_holding_ends():
    """The fills are charged the rate that was found, and both accounts end alike."""
    rng = np.random.default_rng(3)
    prices = 100 * np.cumprod(1 + rng.normal(0.002, 0.02, 40))
    days = sessions_of(40)
    lots = rng.integers(-3, 4, 40).astype(float)
    lots[0] = 0

    def account(quantities, rate):
        cash, shares, equity = 1000.0, 0.0, []
        for price, quantity in zip(prices, quantities, strict=True):
            cash -= quantity * price + abs(quantity) * price * rate
            shares += quantity
            equity.append(cash + shares * price)
        return equity

    def traded(quantities, rate):
        fills = [fill(d, q, p, commission=abs(q) * p * rate)
                 for d, q, p in zip(days, quantities, prices, strict=True) if q]  # fmt: skip
        result = track(np.zeros(39), fills=fills)
        result.equity[:] = account(quantities, rate)
        return result

    once = np.zeros(40)
    once[1] = 3.0
    rate = break_even_bps(traded(lots, 0.001), traded(once, 0.001)) / 1e4
    assert account(lots, rate)[-1] == pytest.approx(account(once, rate)[-1])


def test_pools_over_seeds_and_tickers(market):
    other = noise(99)
    runs = [
        *(entrant(f"a{s}", market + noise(s), market, seed=s) for s in range(3)),
        *(entrant(f"b{s}", market + noise(10 + s), market, seed=s, settings="b") for s in range(3)),
        entrant("n0", other + noise(20), other, ticker="NFLX"),
        entrant("alone", noise(21), market, settings="c"),
    ]
    found = compare(runs)
    seeds_a, seeds_b, tickers = found.pools
    assert (seeds_a.runs, seeds_b.runs, tickers.runs) == ((1, 2, 3), (4, 5, 6), (1, 2, 3, 7))
    pooled = pooled_sharpe([of(market + noise(s)) for s in range(3)], YEAR)
    assert seeds_a.sharpe == pytest.approx(pooled)
    assert 0 <= seeds_a.split.share <= 1
    assert seeds_a.against_first is None
    assert seeds_b.against_first.value == pytest.approx(seeds_b.sharpe.value - seeds_a.sharpe.value)
    assert tickers.split is None
    text = " ".join(conclusions(found))
    assert "finmem TSLA, 3 seeds (runs 1–3): mean Sharpe ratio" in text
    assert "finmem, 4 runs on 2 tickers (runs 1, 2, 3, 7): mean Sharpe ratio" in text
    assert "% of the variance of one run's Sharpe ratio is the luck of its seed" in text
    assert "One seed each" not in text
    assert [column.key for column in found.held] == ["hold TSLA", "hold NFLX"]


def test_a_run_made_again_is_no_second_seed(market):
    again = [entrant(name, market + noise(1), market) for name in ("a", "b")]
    assert compare(again).pools == ()


def test_seeds_that_do_not_match_are_not_paired(market):
    found = compare(
        [entrant(f"a{s}", market + noise(s), market, seed=s) for s in range(2)]
        + [entrant(f"b{s}", market + noise(9 + s), market, seed=s, settings="b") for s in range(1, 3)]
    )
    assert [pool.against_first for pool in found.pools] == [None, None]


def test_trials_deflate_and_are_told(market):
    sharpes = {("x", i): 0.08 * (-1) ** i for i in range(30)}
    count = TrialCount(settings=30, apart_from_seeds=30, trials=44, sharpes=sharpes, complete=False)
    found = compare([entrant("a", noise(1, mean=0.0012), market, count=count)])
    luck = found.runs[0].luck
    assert luck.deflated.settings == 30
    assert luck.deflated.probability < luck.probabilistic
    text = " ".join(conclusions(found))
    assert "Up to at least 30 settings were tried on the same sessions; no run is above" in text
    rows = {row[0]: row[1] for row in blocks(found, 80)[0][1]}
    assert rows["  settings tried"] == "≥ 30"


def test_a_run_that_never_traded_has_dashes_and_no_claims(market):
    still = entrant("still", np.zeros(250), market)
    still.track.fills.clear()
    still.track.position[:] = [0.0] * 251
    found = compare([still, entrant("b", noise(2), market, settings="b")])
    rows = {row[0]: row[1] for row in reversed(blocks(found, 80)[0][1])}
    for label in ("deflated Sharpe", "min. track record"):
        assert rows[label] == "– (as above)", label
    for label in ("Sharpe", "  95 % interval", "  resampled", "P(Sharpe > 0)"):
        assert rows[label] == "– (no position)", label
    assert rows["less hold: Sharpe"] == "– (no position)"
    cells = [cell for _, rows in blocks(found, 80) for row in rows for cell in row]
    assert not {"–", "nan", "inf"} & set(cells)
    text = " ".join(conclusions(found))
    assert (
        "The Sharpe ratio of run 2 cannot be told from 0. Nothing can be said of the Sharpe ratio of" in text
    )
    assert "run 1: no position." in text
    assert found.runs[1].against_first.holm_p != found.runs[1].against_first.holm_p  # NaN
    json.dumps(found.json(conclusions(found)), allow_nan=False)


def test_equal_trades_are_told_and_not_measured(market):
    own = noise(1)
    runs = [entrant("a", own, market), entrant("b", own + 1e-17, market, settings="b"),
            entrant("c", market, market, settings="c")]  # fmt: skip
    found = compare(runs)
    text = " ".join(conclusions(found))
    assert "Run 2 made the same trades as run 1." in text
    assert "Run 3 made the same trades as buy-and-hold." in text
    rows = {row[0]: row[1:] for row in blocks(found, 200)[0][1]}
    assert rows["less 1: Sharpe"][1] == "– (same trades)"
    assert rows["less hold: Sharpe"][2] == "– (same trades)"
    assert "difference of about 0.0" not in text


def test_two_runs_alike_are_not_called_a_difference_of_nothing(market):
    text = " ".join(conclusions(compare([entrant("a", market, market)])))
    assert "Run 1 made the same trades as buy-and-hold." in text
    assert "it takes a difference" not in text


@pytest.mark.parametrize("held", [0, 12, 19])
def test_a_run_of_too_few_sessions_in_position_claims_nothing(market, held):
    values = np.where(np.arange(250) < held, noise(1, mean=0.02), 0.0)
    run = entrant("few", values, market)
    run.track.position[:] = [0.0, *(values != 0).astype(float)]
    # The session in which it is closed counts: one more than it was held at the end of.
    said = "no position" if not held else f"{held + 1} sessions in position, 20 needed"
    if held == 19:
        said = "1 spell in position, 5 needed"
    if not held:
        run.track.fills.clear()
    found = compare([run])
    assert found.runs[0].sharpe.why == said
    assert np.isnan([found.runs[0].luck.probabilistic, found.runs[0].luck.minimum_sessions]).all()
    text = " ".join(conclusions(found))
    assert f"Nothing can be said of the Sharpe ratio of run 1: {said}." in text
    assert "leaves out" not in text
    rows = {row[0]: row[1].replace("\n", " ") for row in blocks(found, 80)[0][1]}
    assert rows["P(Sharpe > 0)"] == f"– ({said})"
    assert rows["min. track record"] == "– (as above)"


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_a_table_is_no_wider_than_the_terminal(market, width):
    wild = np.random.default_rng(1).normal(0.02, 0.2, 30)
    runs = [entrant(f"r{i}", wild * (1 - i / 10), wild, settings=str(i)) for i in range(5)]
    found = compare(runs)
    parts = blocks(found, width)
    assert [key for header, _ in parts for key in header[1:]] == ["1", "2", "3", "4", "5", "hold"]
    for header, rows in parts:
        lines = [
            [line for row in [header, *rows] for line in row[i].splitlines()] for i in range(len(header))
        ]
        widths = [max(map(len, column)) for column in lines]
        # As rich sets it: three characters between columns.
        assert sum(widths) + 3 * (len(widths) - 1) <= max(width, 17 + 18)


WINDOW = ("--start", "2023-03-01", "--end", "2023-04-14", "--quiet")


def test_the_command_compares_runs_from_their_folders(backtest, varve_home, monkeypatch):
    for fast in (3, 10):
        code, _, err = backtest("run", "--agent", "sma-cross", "--ticker", "TSLA", "--set", f"fast={fast}",
                                *WINDOW)  # fmt: skip
        assert code == 0, err
    names = sorted(path.name for path in (varve_home / "runs").iterdir())
    monkeypatch.setenv("COLUMNS", "60")
    code, out, err = backtest("compare", *names)
    assert (code, err) == (0, "")
    assert out.startswith("SYNTHETIC")
    assert all(len(line) <= 60 for line in out.splitlines() if not line.startswith("   2"))
    for part in (
        "fast=3",
        "fast=10",
        "less hold: Sharpe",
        "resampled",
        "say little",
        "in position",
    ):
        assert part in out.replace("\n", " "), part
    code, out, err = backtest("compare", *names, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["start"], found["end"], found["sessions"]) == ("2023-03-01", "2023-04-14", 32)
    for run, name in zip(found["runs"], names, strict=True):
        metrics = json.loads((varve_home / "runs" / name / "metrics.json").read_text())
        held = next(c for c in metrics["columns"] if c["name"] == "buy-and-hold")
        assert run["run_id"] == name
        for key in ("total_return", "sharpe", "sharpe_low", "max_drawdown", "turnover"):
            assert run["metrics"][key] == metrics["columns"][0]["metrics"][key], key
        assert found["held"][0]["metrics"]["total_return"] == held["metrics"]["total_return"]
        assert run["luck"]["deflated"]["settings"] == 2
    code, out, err = backtest("compare", "nothing-of-that-name")
    assert (code, out) == (2, "")
    assert "unknown run" in err
    code, out, err = backtest("compare", names[0], names[0])
    assert code == 2
    assert "given twice" in err
    assert backtest("compare")[0] == 2
