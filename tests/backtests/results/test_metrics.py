"""vectorbt, the ledger and numpy by hand give the same figures."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from tests.support.helpers import prepared
from varve.backtests.results.metric import why_absent
from varve.backtests.results.metrics import compute_metrics
from varve.backtests.results.returns import SessionReturns, bars_per_year, session_returns
from varve.backtests.results.track import track_of_records
from varve.backtests.results.vectorbt_adapter import check_track, return_metrics
from varve.backtests.simulate.steps import simulate
from varve.backtests.studies.compare.entrants import cut
from varve.errors import IntegrityError

RUNS = {
    "random": {"agent": "random", "settings": {"flip_probability": 0.3}},
    "random over a split": {"agent": "random", "settings": {"flip_probability": 0.3}, "ticker": "AMZN"},
    "hold through dividends": {"agent": "buy-and-hold", "ticker": "MSFT", "start": None, "end": None},
    "shorts by the unit": {"agent": "random", "sizer": "finmem_unit", "settings": {"flip_probability": 0.5}},
    "fractions": {"agent": "random", "sizer": "fraction", "settings": {"flip_probability": 0.5}},
    "crypto": {"agent": "sma-cross", "ticker": "ETH-USD"},
    "no costs": {"agent": "random", "costs": "zero", "settings": {"flip_probability": 0.5}},
}  # fmt: skip


def a_track(name):
    settings = dict(RUNS[name])
    if name == "random over a split":
        from datetime import date

        settings |= {"start": date(2022, 3, 1), "end": date(2022, 9, 1)}
    run = prepared(**settings)
    return run, track_of_records(settings["agent"], simulate(run), run)


def replayed(track):
    return check_track(track, filled_after_mark=False)


@pytest.mark.parametrize("name", RUNS)
def test_vectorbt_replays_every_fill_to_the_ledgers_profit(name):
    _run, track = a_track(name)
    assert track.fills
    assert replayed(track) <= 1e-9


def test_dividends_of_the_journal_are_those_of_the_ledger():
    run, track = a_track("hold through dividends")
    assert track.dividends[-1] > 0
    held = dict(zip(track.sessions, track.position, strict=True))
    by_hand = sum(
        e.value * held[max(s for s in track.sessions if s < e.session)]
        for e in run.data.events
        if e.kind == "dividend" and track.sessions[0] < e.session <= track.sessions[-1]
    )
    assert track.dividends[-1] == pytest.approx(by_hand, rel=1e-12)


def test_a_fill_that_the_ledger_did_not_book_is_an_error():
    _run, track = a_track("random")
    forged = [replace_price(track.fills[0]), *track.fills[1:]]
    with pytest.raises(IntegrityError, match="differ"):
        replayed(replace(track, fills=forged))


def replace_price(fill):
    return fill._replace(price=fill.price + 0.01)


@pytest.mark.parametrize("per_year", [252, 365])
def test_every_metric_by_hand(per_year):
    _, track = a_track("crypto" if per_year == 365 else "random")
    m = compute_metrics(track, per_year)
    equity = np.array(track.equity)
    # As quantstats and empyrical have them: n - 1 returns of n equities.
    returns = equity[1:] / equity[:-1] - 1
    years = len(returns) / per_year
    growth = np.prod(1 + returns)
    depth = (equity / np.maximum.accumulate(equity) - 1).min()
    downside = np.sqrt((np.minimum(returns, 0) ** 2).mean())
    by_hand = {
        "total_return": growth - 1,
        "annual_return": growth ** (1 / years) - 1,
        "annual_volatility": returns.std(ddof=1) * per_year**0.5,
        "sharpe": returns.mean() / returns.std(ddof=1) * per_year**0.5,
        "sortino": returns.mean() / downside * per_year**0.5,
        "calmar": (growth ** (1 / years) - 1) / -depth,
        "max_drawdown": depth,
        "exposure": np.mean(np.abs(np.array(track.position) * track.close / equity)[1:]),
        "turnover": sum(abs(f.quantity) * f.price for f in track.fills) / equity.mean() / years,
        "commissions": sum(f.commission for f in track.fills),
    }
    for name, value in by_hand.items():
        assert getattr(m, name) == pytest.approx(value, rel=1e-9, abs=1e-9), name
    assert m.trades == len(track.fills)
    sample = SessionReturns.of(track)
    assert (m.sessions, len(sample)) == (len(equity), len(equity) - 1)
    assert (m.sessions_in_position, m.spells) == (sample.sessions_in_position, sample.spells)
    if sample.withheld:
        assert (m.sharpe_low, m.sharpe_high) == (None, None)
    else:
        assert m.sharpe_low < m.sharpe < m.sharpe_high


def test_without_trades_there_is_no_sharpe_ratio():
    run = prepared("random", settings={"flip_probability": 0.0})
    m = compute_metrics(track_of_records("random", simulate(run), run), 252)
    assert (m.trades, m.sharpe, m.sharpe_low, m.sortino) == (0, None, None, None)
    assert m.total_return == 0.0
    assert all(v is None or np.isfinite(v) for v in m.json().values())


def test_bar_0_is_no_return():
    assert session_returns([100.0, 110.0, 99.0]).tolist() == pytest.approx([0.1, -0.1])
    figures = return_metrics(np.array([0.0, 0.01, -0.02, 0.03]), 252)
    assert figures["total_return"] == pytest.approx(1.01 * 0.98 * 1.03 - 1)


def test_sessions_of_a_track_are_the_windows():
    run, track = a_track("random")
    assert track.sessions[0] == run.config.start
    assert track.sessions[-1] == run.config.end
    assert max(b - a for a, b in zip(track.sessions, track.sessions[1:], strict=False)) < timedelta(days=5)


@pytest.mark.parametrize(("every", "year"), [(1, 252.0), (5, pytest.approx(50.4, abs=0.5))])
def test_figures_are_annual_by_the_time_that_passed(every, year):
    """The same account seen each session, or each fifth of them: the same annual return."""
    _, track = a_track("random")
    days = track.sessions[::5]
    seen = cut(track, days if every == 5 else [s for s in track.sessions if s <= days[-1]])
    found = bars_per_year(seen, "XNYS")
    assert found == year
    span = len([s for s in track.sessions if s <= days[-1]]) - 1
    growth = seen.equity[-1] / seen.equity[0]
    assert compute_metrics(seen, found).annual_return == pytest.approx(growth ** (252 / span) - 1, rel=1e-6)


def test_exposure_is_the_average_weight():
    _, track = a_track("random")
    small = replace(track, position=[1.0 if i else 0.0 for i in range(len(track.sessions))])
    expected = np.mean(
        [close / equity for close, equity in zip(track.close[1:], track.equity[1:], strict=True)]
    )
    assert compute_metrics(small, 252).exposure == pytest.approx(expected)
    assert compute_metrics(replace(small, position=[-p for p in small.position]), 252).exposure > 0


def test_the_session_in_which_a_position_is_closed_came_with_one():
    _, track = a_track("random")
    count = len(track.sessions)
    held = [1.0 if 3 <= i < 5 or i == 8 else 0.0 for i in range(count)]
    still = replace(track, position=held, equity=[1000.0] * count)
    sample = SessionReturns.of(still)
    # Returns begin at bar 1: bars 3 and 4 held at their end, bar 5 at its start; then bars 8 and 9.
    assert np.flatnonzero(sample.in_position).tolist() == [2, 3, 4, 7, 8]
    assert (sample.sessions_in_position, sample.spells) == (5, 2)


@pytest.mark.parametrize(
    ("returns", "name", "said"),
    [
        ([0.01] * 30, "sharpe", "the returns never move"),
        ([0.01, 0.02] * 15, "sortino", "no losing session"),
        ([0.01, 0.02] * 15, "calmar", "no drawdown"),
        ([0.01, -0.02] * 5, "sharpe_interval", "10 sessions in position, 20 needed"),
        ([0.0] * 30, "sharpe_interval", "no position"),
    ],
)
def test_what_a_run_has_no_figure_of_says_why(returns, name, said):
    _, track = a_track("no costs")
    equity = [1000.0, *(1000.0 * np.cumprod(1 + np.array(returns))).tolist()]
    moves = [0.0, *(float(r != 0) for r in returns)]
    still = cut(track, track.sessions[: len(equity)])
    m = compute_metrics(replace(still, equity=equity, position=moves, fills=[]), 252)
    assert getattr(m, "sharpe_low" if name == "sharpe_interval" else name) is None
    assert why_absent(name, m) == said


def test_a_loss_in_the_first_session_is_a_drawdown():
    figures = return_metrics(np.array([-0.1, 0.02, -0.01]), 252.0)
    assert figures["max_drawdown"] == pytest.approx(-0.1)
    assert figures["calmar"] == pytest.approx(figures["annual_return"] / 0.1)
    assert np.isnan(return_metrics(np.array([0.1, 0.02]), 252.0)["calmar"])
