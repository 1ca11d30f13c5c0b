"""FinAgent's printed buy-and-hold rows come out to the digit, beside the conventional figures."""

import csv
import math

import numpy as np
import pytest

from varve.backtests.results.paper_scores import SCORING, carried, finagent_paper, finmem_paper
from varve.backtests.results.vectorbt_adapter import return_metrics
from varve.types import Action

PRINTED = {"TSLA": ("37.40", "0.7239", "32.65"), "AMZN": ("42.33", "1.0834", "17.38")}


def closes(folder, ticker):
    with (folder / "prices" / f"{ticker}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [float(row["close"]) for row in rows if "2023-06-01" <= row["date"] <= "2023-12-28"]


@pytest.mark.parametrize("ticker", PRINTED)
def test_finagents_buy_and_hold_row_to_the_printed_digits(shared_data, ticker):
    prices = closes(shared_data, ticker)
    score = SCORING["finagent-paper"](prices, [Action.BUY] + [Action.HOLD] * (len(prices) - 2))
    printed = (
        f"{100 * score.annual_return:.2f}", f"{score.sharpe:.4f}", f"{100 * score.max_drawdown:.2f}",
    )  # fmt: skip
    assert printed == PRINTED[ticker]
    conventional = return_metrics(
        np.diff(prices, prepend=prices[0]) / np.array([prices[0], *prices[:-1]]), 252
    )
    assert conventional["sharpe"] / score.sharpe == pytest.approx(1.31, abs=0.02)


def test_a_sale_pays_the_fee_and_a_hold_keeps_the_position():
    score = finagent_paper([100.0, 110.0, 110.0], [Action.BUY, Action.SELL], initial_cash=1_001.0)
    final = 1_001.0 - 1_001.0 + 10 * 110 * 0.999
    assert score.annual_return == pytest.approx((final / 1_001.0 - 1) * 252 / 4)
    assert score.position == (1, 0)
    held = finagent_paper([100.0, 110.0, 121.0], [Action.BUY, Action.HOLD], initial_cash=1_001.0)
    assert held.position == (1, 1)
    assert held.wealth == pytest.approx((1.0, 1100 / 1001, 1210 / 1001))


CLOSES = [100.0, 110.0, 99.0, 120.0, 60.0]
DAYS = [Action.BUY, Action.SELL, Action.HOLD, Action.BUY]


def test_finmems_rules_by_hand():
    """HOLD is flat, SELL is short, each day for itself, in logs that are added up."""
    score = finmem_paper(CLOSES, DAYS)
    rewards = [math.log(1.1), -math.log(99 / 110), 0.0, math.log(0.5)]
    total = sum(rewards)
    mean = total / 4
    deviation = (sum((r - mean) ** 2 for r in rewards) / 3) ** 0.5
    assert score.total_return == pytest.approx(total)
    assert score.annual_volatility == pytest.approx(deviation * 252**0.5)
    # the released code divides by the number of prices, not of rewards
    assert score.sharpe == pytest.approx(total / (5 / 252) / (deviation * 252**0.5))
    assert score.max_drawdown == pytest.approx(-math.log(0.5))
    assert score.position == (1, -1, 0, 1)
    assert score.trades == 4
    assert score.wealth == pytest.approx(
        [1, 1 + rewards[0], 1 + sum(rewards[:2]), 1 + sum(rewards[:3]), 1 + total]
    )


def test_a_first_loss_is_a_drawdown():
    assert finmem_paper([100.0, 90.0, 95.0], [Action.BUY, Action.HOLD]).max_drawdown == pytest.approx(
        -math.log(0.9)
    )


@pytest.mark.parametrize("rule", SCORING.values())
def test_without_a_trade_there_is_no_ratio(rule):
    score = rule([1.0, 2.0, 3.0], [Action.HOLD, Action.HOLD])
    assert (score.sharpe, score.total_return, score.trades) == (None, 0.0, 0)


def test_what_is_carried_through_holds():
    given = [Action.HOLD, Action.BUY, Action.HOLD, Action.SELL, Action.HOLD, Action.FLAT, Action.HOLD]
    assert carried(given) == [0, 1, 1, -1, -1, 0, 0]
