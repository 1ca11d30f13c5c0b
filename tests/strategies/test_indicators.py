"""Indicators against hand-reckoned values, and what they do with too little."""

import numpy as np
import pytest

from varve.errors import SettingError, UnknownNameError
from varve.strategies.indicators import INDICATORS, indicator

CLOSES = np.array([10.0, 11.0, 12.0, 11.0, 13.0])


@pytest.mark.parametrize(
    ("name", "window", "expected"),
    [
        ("sma", 3, 12.0),
        ("sma", 5, 11.4),
        ("momentum", 1, 13 / 11 - 1),
        ("momentum", 4, 0.3),
        ("drawdown", 5, 0.0),
        ("rsi", 4, 100 * 4 / 5),
        ("volatility", 4, np.log([1.1, 12 / 11, 11 / 12, 13 / 11]).std(ddof=1)),
        ("ema", 3, (13 + 11 / 2 + 12 / 4 + 11 / 8 + 10 / 16) / (1 + 1 / 2 + 1 / 4 + 1 / 8 + 1 / 16)),
    ],
)
def test_values(name, window, expected):
    assert indicator(name, CLOSES, window) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_drawdown_looks_back_only_so_far():
    closes = np.array([20.0, 10.0, 12.0, 9.0])
    assert indicator("drawdown", closes, 3) == pytest.approx(9 / 12 - 1)
    assert indicator("drawdown", closes, 4) == pytest.approx(9 / 20 - 1)


def test_flat_prices_have_an_rsi_of_50():
    assert indicator("rsi", np.full(5, 3.0), 4) == 50.0


@pytest.mark.parametrize("name", sorted(INDICATORS))
def test_too_few_closes_give_none(name):
    assert indicator(name, CLOSES, 6) is None


@pytest.mark.parametrize("name", sorted(INDICATORS))
def test_older_closes_than_it_says_do_not_matter(name):
    rng = np.random.default_rng(1)
    recent = rng.uniform(90, 110, 15)
    short, longer = recent, np.concatenate([rng.uniform(1, 500, 40), recent])
    assert indicator(name, short, 3) == indicator(name, longer, 3)


def test_names_and_windows_are_checked():
    with pytest.raises(UnknownNameError, match="smaa"):
        indicator("smaa", CLOSES, 3)
    with pytest.raises(SettingError, match="window 0"):
        indicator("sma", CLOSES, 0)
