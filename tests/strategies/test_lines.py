"""Indicators along a history: published and hand-reckoned values, and nothing of them hangs on later bars."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.strategies.indicators import (
    crossings,
    deviation_line,
    ema_line,
    highest_line,
    kdj_lines,
    macd_lines,
    rsi_line,
    sma_line,
    stochastic_line,
    zscore_line,
)

NAN = float("nan")


def line(values):
    return np.array(values, dtype=float)


def same(found, wanted, **tolerance):
    np.testing.assert_allclose(found, line(wanted), **{"rtol": 1e-12, "atol": 1e-12, **tolerance})


# The worked examples of StockCharts' ChartSchool, "Relative Strength Index" and "Stochastic Oscillator".
RSI_CLOSES = line(
    [44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931,
     46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521,
     45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314]
)  # fmt: skip
RSI_PRINTED = [70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99,
               41.46, 41.87, 45.46, 37.30, 33.08, 37.77]  # fmt: skip
HIGH = line(
    [127.009, 127.616, 126.591, 127.347, 128.173, 128.432, 127.367, 126.422, 126.900, 126.850, 125.646,
     125.716, 127.158, 127.715, 127.686, 128.223, 128.273, 128.093]
)  # fmt: skip
LOW = line(
    [125.357, 126.163, 124.930, 126.094, 126.820, 126.482, 126.034, 124.830, 126.392, 125.716, 124.562,
     124.572, 125.069, 126.860, 126.631, 126.800, 126.711, 126.800]
)  # fmt: skip
CLOSE = line([126.0] * 13 + [127.288, 127.178, 128.014, 127.109, 127.725])
STOCHASTIC_PRINTED = [70.44, 67.61, 89.20, 65.81, 81.75]


def test_rsi_as_printed():
    found = rsi_line(RSI_CLOSES, 14)
    assert np.isnan(found[:14]).all()
    same(found[14:], RSI_PRINTED, atol=0.006, rtol=0)


def test_stochastic_as_printed():
    found = stochastic_line(HIGH, LOW, CLOSE, 14)
    assert np.isnan(found[:13]).all()
    same(found[13:], STOCHASTIC_PRINTED, atol=0.03, rtol=0)


def test_ema_and_macd_by_hand():
    closes = line([1, 2, 3, 4, 5, 3])
    same(ema_line(closes, 3), [1, 1.5, 2.25, 3.125, 4.0625, 3.53125])
    macd, signal = macd_lines(closes, 1, 3, 3)
    # close − EMA(3) is 0, .5, .75, .875, .9375, −.53125; its EMA(3): 0, .25, .5, .6875, .8125, .140625
    same(macd, [NAN, NAN, 0.75, 0.875, 0.9375, -0.53125])
    same(signal, [NAN, NAN, NAN, NAN, 0.8125, 0.140625])


def test_averages_deviations_and_extremes_by_hand():
    values = line([2, 4, 4, 10, 4])
    same(sma_line(values, 3), [NAN, NAN, 10 / 3, 6, 6])
    same(deviation_line(values, 3), [NAN, NAN, (4 / 3) ** 0.5, 12**0.5, 12**0.5])
    same(highest_line(values, 2), [NAN, 4, 4, 10, 10])
    same(zscore_line(values, 3), [NAN, NAN, (2 / 3) / (4 / 3) ** 0.5, 4 / 12**0.5, -2 / 12**0.5])


def test_kdj_by_hand():
    close, high, low = line([2, 3, 5, 4]), line([4, 4, 6, 5]), line([0, 2, 4, 3])
    # over two bars: ranges 0 to 4, 2 to 6, 3 to 6, so %K = 75, 75, 33.3; means of two: K, then D
    k, d, j = kdj_lines(high, low, close, 2, 2)
    same(k, [NAN, NAN, 75, 325 / 6])
    same(d, [NAN, NAN, NAN, (75 + 325 / 6) / 2])
    same(j, [NAN, NAN, NAN, 3 * 325 / 6 - (75 + 325 / 6)])


def test_prices_that_do_not_move():
    flat = np.full(30, 0.1 + 0.2)
    assert set(rsi_line(flat, 14)[14:]) == {50.0}
    assert set(stochastic_line(flat, flat, flat, 14)[13:]) == {50.0}
    assert set(zscore_line(flat, 14)[13:]) == {0.0}
    macd, signal = macd_lines(flat, 5, 10, 4)
    assert not crossings(macd, signal).any()


def test_a_bar_without_high_or_low_counts_with_its_close():
    missing = np.full(3, NAN)
    same(stochastic_line(missing, missing, line([1, 3, 2]), 3), [NAN, NAN, 50])


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ([0, 0, 2, 2, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, -1]),
        # touching is not crossing; coming away on the other side is
        ([0, 1, 0, 1, 2], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]),
        ([2, 1, 2], [1, 1, 1], [0, 0, 0]),
        # the first known side is no crossing
        ([NAN, NAN, 2, 0], [1, 1, 1, 1], [0, 0, 0, -1]),
        ([0, NAN, 2], [1, 1, 1], [0, 0, 1]),
        ([1, 1], [1, 1], [0, 0]),
    ],
)
def test_what_crosses(one, other, wanted):
    assert crossings(line(one), line(other)).tolist() == wanted


LINES = {
    "sma": lambda h, lo, c: (sma_line(c, 4),),
    "deviation": lambda h, lo, c: (deviation_line(c, 4),),
    "highest": lambda h, lo, c: (highest_line(h, 4),),
    "macd": lambda h, lo, c: macd_lines(c, 3, 6, 4),
    "rsi": lambda h, lo, c: (rsi_line(c, 5),),
    "stochastic": lambda h, lo, c: (stochastic_line(h, lo, c, 5),),
    "kdj": lambda h, lo, c: kdj_lines(h, lo, c, 5, 3),
    "zscore": lambda h, lo, c: (zscore_line(c, 4),),
}


@pytest.mark.parametrize("name", LINES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(12, 39))
def test_a_value_hangs_on_the_bars_up_to_it_alone(name, seed, cut):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.03, 40)))
    high, low = close * (1 + rng.uniform(0, 0.02, 40)), close * (1 - rng.uniform(0, 0.02, 40))
    for whole, part in zip(
        LINES[name](high, low, close), LINES[name](high[:cut], low[:cut], close[:cut]), strict=True
    ):
        assert whole[:cut].tobytes() == part.tobytes()
