"""FinAgent's printed buy-and-hold rows come out to the digit, beside the conventional figures."""

import csv

import numpy as np
import pytest

from varve.backtests.scoring import SCORING
from varve.backtests.vectorbt_adapter import return_metrics
from varve.types import Action

PRINTED = {"TSLA": ("37.40", "0.7239", "32.65"), "AMZN": ("42.33", "1.0834", "17.38")}


def closes(folder, ticker):
    with (folder / "prices" / f"{ticker}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [float(row["close"]) for row in rows if "2023-06-01" <= row["date"] <= "2023-12-28"]


@pytest.mark.parametrize("ticker", PRINTED)
def test_finagents_buy_and_hold_row_to_the_printed_digits(shared_data, ticker):
    prices = closes(shared_data, ticker)
    score = SCORING["finagent-paper"](prices, [Action.BUY] + [Action.HOLD] * (len(prices) - 1))
    printed = (
        f"{score.annual_return_percent:.2f}", f"{score.sharpe:.4f}", f"{score.max_drawdown_percent:.2f}",
    )  # fmt: skip
    assert printed == PRINTED[ticker]
    conventional = return_metrics(
        np.diff(prices, prepend=prices[0]) / np.array([prices[0], *prices[:-1]]), 252
    )
    assert conventional["sharpe"] / score.sharpe == pytest.approx(1.31, abs=0.02)


def test_a_sale_pays_the_fee_and_a_hold_keeps_the_position():
    score = SCORING["finagent-paper"](
        [100.0, 110.0, 110.0], [Action.BUY, Action.SELL, Action.HOLD], initial_cash=1_001.0
    )
    final = 1_001.0 - 1_001.0 + 10 * 110 * 0.999
    assert score.annual_return_percent == pytest.approx(100 * (final / 1_001.0 - 1) * 252 / 4)


def test_without_a_trade_there_is_no_ratio():
    assert np.isnan(SCORING["finagent-paper"]([1.0, 2.0], [Action.HOLD, Action.HOLD]).sharpe)
