"""The law of a mean against one written out in plain loops; what is said where nothing can be said."""

import numpy as np
import pytest
from scipy.stats import t

from varve.backtests.results.returns import SessionReturns, session_returns, spells_of, withheld
from varve.backtests.results.sharpe import Estimate as Of
from varve.backtests.results.sharpe import (
    MeanLaw,
    no_estimate,
    pooled_difference,
    seed_split,
    sharpe_difference,
    sharpe_estimate,
    window_sentence,
)


def autoregressive(n, phi, seed=3):
    noise = np.random.default_rng(seed).normal(0, 0.01, n)
    series = np.zeros(n)
    for i in range(1, n):
        series[i] = phi * series[i - 1] + noise[i]
    return series


@pytest.mark.parametrize(("n", "freedom"), [(20, 3), (44, 4), (63, 6), (250, 15), (1000, 40)])
def test_the_long_run_variance_is_the_one_by_hand(n, freedom):
    series = autoregressive(n, 0.3) + 0.002
    waves = [
        sum((2 / n) ** 0.5 * np.cos(np.pi * j * (i + 0.5) / n) * series[i] for i in range(n))
        for j in range(1, freedom + 1)
    ]
    law = MeanLaw.of(series)
    assert law.freedom == freedom
    assert float(law.variance) == pytest.approx(sum(wave**2 for wave in waves) / freedom, rel=1e-9)
    assert float(law.error) == pytest.approx((float(law.variance) / n) ** 0.5)


def test_many_draws_at_once_give_what_each_gives_alone():
    draws = np.random.default_rng(1).normal(size=(7, 50))
    whole = MeanLaw.of(draws)
    for i, draw in enumerate(draws):
        alone = MeanLaw.of(draw)
        assert (whole.error[i], whole.skew[i]) == pytest.approx((float(alone.error), float(alone.skew)))


@pytest.mark.parametrize("seed", range(5))
def test_a_score_turned_round_is_its_distance(seed):
    rng = np.random.default_rng(seed)
    law = MeanLaw.of(rng.exponential(size=60) * (-1) ** seed)
    for probability in (0.025, 0.5, 0.975):
        score = law.score(law.distance(probability))
        assert float(score) == pytest.approx(t.ppf(probability, law.freedom), rel=1e-9, abs=1e-9)
    distances = law.score(np.linspace(-30, 30, 500))
    assert (np.diff(distances) >= 0).all()


def test_without_skewness_the_law_is_student_s():
    half = np.random.default_rng(2).normal(size=40)
    law = MeanLaw.of(np.concatenate([half, -half]))
    assert float(law.distance(0.975)) == pytest.approx(t.ppf(0.975, law.freedom), rel=1e-6)
    assert float(law.p(2.0)) == pytest.approx(2 * t.sf(2.0, law.freedom), rel=1e-6)


@pytest.mark.parametrize(
    ("sessions", "held", "spells", "said"),
    [
        (100, 0, 0, "no position"),
        (100, 19, 9, "19 sessions in position, 20 needed"),
        (100, 1, 1, "1 session in position, 20 needed"),
        (100, 20, 4, "4 spells in position, 5 needed"),
        (100, 89, 1, "1 spell in position, 5 needed"),
        (100, 20, 5, ""),
        (100, 90, 1, ""),
        (20, 20, 1, ""),
        (19, 19, 1, "19 sessions in position, 20 needed"),
    ],
)
def test_what_is_too_little_is_said_in_words(sessions, held, spells, said):
    assert withheld(sessions, held, spells) == said


def test_spells_are_runs_of_sessions_in_position():
    assert spells_of(np.array([True, True, False, True, False, False, True])) == 3
    assert spells_of(np.array([False, False])) == 0
    assert spells_of(np.array([True])) == 1


def test_returns_that_never_move_are_told():
    still = SessionReturns(np.full(50, 0.01), np.ones(50, dtype=bool))
    assert sharpe_estimate(still, 252).why == "the returns never move"
    assert np.isnan(sharpe_estimate(still, 252).value)


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="3 returns against 2 sessions"):
        SessionReturns(np.zeros(3), np.zeros(2, dtype=bool))


def test_flat_sessions_change_neither_the_verdict_nor_the_p():
    """The same sessions in position, with ever more flat ones between them: the same test against 0."""
    spells = np.random.default_rng(4).normal(0.004, 0.01, (6, 5))
    found = []
    for flat in (1, 5, 50):
        rows = np.hstack([spells, np.zeros((6, flat))]).ravel()
        found.append(sharpe_estimate(SessionReturns.alone(rows), 252))
    assert [one.p for one in found] == pytest.approx([found[0].p] * 3)
    assert len({one.apart for one in found}) == 1


@pytest.mark.parametrize("seed", range(40))
def test_the_interval_leaves_out_0_exactly_where_p_is_below_5_percent(seed):
    rng = np.random.default_rng(seed)
    estimate = sharpe_estimate(SessionReturns.alone(rng.exponential(size=80) - 0.75), 252)
    assert estimate.apart is (estimate.p < 0.05)


def test_the_same_trades_have_no_interval_of_a_difference():
    returns = SessionReturns.alone(np.random.default_rng(1).normal(0, 0.01, 60))
    rounded = SessionReturns(returns.values * (1 + 1e-14), returns.in_position)
    estimate = sharpe_difference(rounded, returns, 252)
    assert (estimate.value, estimate.why) == (0.0, "same trades")
    assert np.isnan([estimate.low, estimate.high, estimate.p]).all()
    doubled = SessionReturns(2 * returns.values, returns.in_position)
    assert sharpe_difference(doubled, returns, 252).why == "the same but for its size"
    assert pooled_difference([(returns, rounded)] * 3, 252).why == "same trades"


def test_a_difference_from_a_run_of_too_few_sessions_is_withheld():
    rng = np.random.default_rng(1)
    market = SessionReturns.alone(rng.normal(0, 0.01, 100))
    few = SessionReturns.alone(np.concatenate([rng.normal(0, 0.01, 12), np.zeros(88)]))
    assert sharpe_difference(few, market, 252).why == "12 sessions in position, 20 needed"
    assert sharpe_difference(market, few, 252).why == "12 sessions in position, 20 needed"


def test_without_any_variance_no_part_is_the_seeds():
    up_and_down = SessionReturns.alone(np.array([0.01, -0.01] * 10))
    down_and_up = SessionReturns.alone(np.array([-0.01, 0.01] * 10))
    split = seed_split([up_and_down, down_and_up], 252)
    assert (split.seeds, split.window) == pytest.approx((0.0, 0.0))
    assert np.isnan(split.share)


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.0, 1.0), "cannot be told from 0"),
        ((-1.0, 0.0), "cannot be told from 0"),
        ((0.1, 1.0), "differs from 0"),
        ((-1.0, -0.1), "differs from 0"),
    ],
)
def test_an_interval_that_reaches_0_cannot_be_told_from_it(interval, said):
    assert window_sentence(100, 252, Of(0.5, 0.3, *interval, 0.1)).endswith(f"{said}.")


def test_a_short_window_says_how_far_a_true_ratio_of_1_would_be_missed():
    # 1.96 × √((1 + 1/2) ÷ 100) = 0.24 where a session is a year
    assert window_sentence(100, 1, None) == (
        "100 sessions (100.0 years) say little: even a true Sharpe ratio of 1 would be measured anywhere "
        "from 0.8 to 1.2."
    )
    told = window_sentence(63, 252, no_estimate("12 sessions in position, 20 needed"))
    assert told.endswith("; of this run's nothing can be said: 12 sessions in position, 20 needed.")


def test_bar_0_has_no_return():
    assert session_returns([100.0, 110.0, 99.0]).tolist() == pytest.approx([0.1, -0.1])
