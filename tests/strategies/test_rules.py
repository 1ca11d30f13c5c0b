"""Rules: when they speak, why they say so, and what their own past signals were worth at that instant."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from tests.support.finmem_day import ACME, SESSIONS, market, observe
from varve import registry
from varve.errors import SettingError, UsageError
from varve.market.data import BarSeries, InstrumentData, Provenance
from varve.market.market_data import MarketData
from varve.market.worlds import sample_world
from varve.strategies import KdjRsi, Macd, RunContext, SignalTrader, SmaCross, StochasticBollinger, ZScore
from varve.strategies.signals import HORIZON_SESSIONS, Record, record_of
from varve.types import Action

RULES = {
    name: registry.load("strategies", name)
    for name in registry.names("strategies")
    if issubclass(registry.load("strategies", name), SignalTrader)
}
WORLD = sample_world("TSLA", end=date(2021, 6, 30))


def signal(rule, closes, *, high=None, low=None, opens=None):
    """The signal after the last of ``closes``."""
    bars = BarSeries.from_sessions("XNYS", SESSIONS[: len(closes)], closes, open=opens, high=high, low=low)
    data = InstrumentData(ACME, bars, Provenance("test", "raw", "next_open"), ())
    return rule.signal(MarketData({"ACME": data}).as_of(bars.bar(len(bars) - 1).end))


def as_of(data, index):
    return MarketData({data.instrument.symbol: data}).as_of(data.bars.bar(index).end)


def test_the_rules_are_those_published_beside_the_agents():
    assert set(RULES) >= {"macd", "kdj-rsi", "zscore", "stochastic-bollinger", "sma-cross"}


FALL = [100.0 - i for i in range(12)]
VALLEY, PEAK = [*FALL, 94.0], [*(200 - v for v in FALL), 106.0]


def test_macd_speaks_on_the_bar_of_the_crossing_alone():
    macd = Macd(Macd.Config.build(fast=2, slow=5, signal=3))
    assert signal(macd, FALL).action is Action.HOLD
    up = signal(macd, VALLEY)
    assert up.action is Action.BUY
    assert up.values["macd"] > up.values["signal_line"]
    assert up.explanation.startswith("BUY, because MACD has crossed above its signal line")
    assert f"{up.values['macd']:.5g}" in up.explanation
    assert signal(macd, [*VALLEY, 96.0]).action is Action.HOLD
    assert signal(macd, PEAK).action is Action.SELL


def test_zscore_by_hand():
    rule = ZScore(ZScore.Config.build(window=4, threshold=1.0))
    low = signal(rule, [10.0, 10, 10, 10, 6])
    # mean 9, sample deviation 2: the close lies 1.5 deviations below
    assert low.values == {"zscore": pytest.approx(-1.5)}
    assert low.action is Action.BUY
    assert "z-score -1.50" in low.explanation
    assert signal(rule, [10.0, 10, 10, 10, 14]).action is Action.SELL
    assert signal(ZScore(ZScore.Config.build(window=4, threshold=1.5)), [10.0, 10, 10, 10, 6]).action is (
        Action.HOLD
    )


TURNED, STOOD = [94.0, 97.0, 99.0, *FALL, 93.0], [94.0, 97.0, 99.0, *FALL]


@pytest.mark.parametrize(
    ("oversold", "overbought", "closes", "expected"),
    [
        (55, 60, TURNED, Action.BUY),
        (50, 60, TURNED, Action.HOLD),  # RSI is 51.1: it crosses, but RSI does not agree
        (40, 45, [200 - v for v in TURNED], Action.SELL),
        (40, 50, [200 - v for v in TURNED], Action.HOLD),
        (55, 60, STOOD, Action.HOLD),
    ],
)
def test_kdj_crossings_that_rsi_lets_through(oversold, overbought, closes, expected):
    config = KdjRsi.Config.build(
        window=5, smoothing=2, rsi_window=10, oversold=oversold, overbought=overbought
    )
    found = signal(KdjRsi(config), closes)
    assert found.action is expected
    assert found.explanation.startswith(f"{expected}, because")


@pytest.mark.parametrize(
    ("closes", "deviations", "expected"),
    [
        ([10.0, 10.2, 9.9, 10.1, 8.0], 1.5, Action.BUY),
        # the bands are too wide for it: mean 9.64, deviation .92, so 1.8 deviations reach to 7.98
        ([10.0, 10.2, 9.9, 10.1, 8.0], 1.8, Action.HOLD),
        ([10.0, 10.2, 9.9, 10.1, 12.0], 1.5, Action.SELL),
        ([10.0, 10.2, 9.9, 10.1, 10.0], 1.5, Action.HOLD),
    ],
)
def test_stochastic_needs_the_band_and_the_oscillator(closes, deviations, expected):
    config = StochasticBollinger.Config.build(window=4, band_window=5, deviations=deviations)
    found = signal(StochasticBollinger(config), closes)
    assert found.action is expected
    assert found.values["close"] == closes[-1]


def test_a_low_close_high_in_its_range_is_no_buy():
    closes, low = [10.0, 10.2, 9.9, 10.1, 8.0], [10.0, 10.2, 5.0, 10.1, 8.0]
    config = StochasticBollinger.Config.build(window=4, band_window=5, deviations=1.5)
    found = signal(StochasticBollinger(config), closes, low=low, high=closes)
    assert found.values["stochastic"] == pytest.approx(100 * 3 / 5.2)
    assert found.action is Action.HOLD


@pytest.mark.parametrize("name", RULES)
def test_a_rule_reads_no_later_bar_and_explains_each_word(name):
    rule = RULES[name]()
    whole = rule.read(as_of(WORLD, len(WORLD.bars) - 1).bars("TSLA"))
    spoken = set()
    for index in range(rule.bars_needed - 1, len(WORLD.bars) - 1, 23):
        found = rule.signal(as_of(WORLD, index))
        spoken.add(found.action)
        assert {Action.BUY: 1, Action.HOLD: 0, Action.SELL: -1}[found.action] == whole.actions[index]
        assert found.values == {key: line[index] for key, line in whole.lines.items()}
        assert found.explanation.startswith(f"{found.action}, because ")
        assert found.explanation.endswith(".")
        assert "nan" not in found.explanation
    assert not np.isnan(list(found.values.values())).any()
    assert set(whole.actions.tolist()) >= {1, -1}


@pytest.mark.parametrize("name", RULES)
def test_too_few_bars_hold_and_say_so(name):
    rule = RULES[name]()
    early = rule.signal(as_of(WORLD, rule.bars_needed - 2))
    assert (early.action, early.values, early.record) == (Action.HOLD, {}, Record())
    assert f"{rule.bars_needed - 1} of the {rule.bars_needed} bars" in early.explanation
    assert rule.signal(as_of(WORLD, rule.bars_needed - 1)).values


@pytest.mark.parametrize("name", RULES)
def test_the_record_is_that_of_the_signals_given_before(name):
    """Each past day is asked on its own, with what was known on it."""
    rule, last = RULES[name](), 150
    given = {i: rule.signal(as_of(WORLD, i)).action for i in range(rule.bars_needed - 1, last + 1)}
    bars, results, before = WORLD.bars, [], None
    for i, action in given.items():
        if action is Action.HOLD:
            continue
        if action is not before and i + HORIZON_SESSIONS <= last:
            side = 1 if action is Action.BUY else -1
            results.append(side * (bars.close[i + HORIZON_SESSIONS] / bars.open[i + 1] - 1))
        before = action
    record = rule.signal(as_of(WORLD, last)).record
    assert record.signals == len(results) > 0
    assert record.hit_rate == pytest.approx(np.mean([r > 0 for r in results]))
    assert record.mean_return == pytest.approx(np.mean(results))


def test_a_signal_is_judged_once_its_five_sessions_are_over():
    closes = [100.0 + i for i in range(12)]
    bars = BarSeries.from_sessions("XNYS", SESSIONS[:12], closes, open=[c - 0.5 for c in closes])
    actions = np.zeros(12, dtype=np.int8)
    actions[[2, 3, 7]] = 1, 1, -1
    assert record_of(actions[:7], bars.slice(0, 7), at_open=True) == Record()
    one = record_of(actions[:8], bars.slice(0, 8), at_open=True)
    assert one == Record(1, 1.0, pytest.approx(107 / 102.5 - 1))
    at_close = record_of(actions[:8], bars.slice(0, 8), at_open=False)
    assert at_close.mean_return == pytest.approx(107 / 103 - 1)


def test_bars_without_an_open_are_filled_at_their_close():
    bars = BarSeries.from_sessions("XNYS", SESSIONS[:8], [100.0 + i for i in range(8)])
    actions = np.array([0, 1, 0, 0, 0, 0, 0, 0], dtype=np.int8)
    assert record_of(actions, bars, at_open=True).mean_return == pytest.approx(106 / 102 - 1)


@pytest.mark.parametrize(
    ("action", "position", "shorting", "expected"),
    [
        (1, 0, False, Action.BUY),
        (1, 2, False, Action.HOLD),
        (1, -2, True, Action.BUY),
        (0, 0, False, Action.HOLD),
        (0, 2, False, Action.HOLD),
        (0, -2, True, Action.HOLD),
        (-1, 0, False, Action.HOLD),
        (-1, 2, False, Action.SELL),
        (-1, 0, True, Action.SELL),
        (-1, -2, True, Action.HOLD),
    ],
)
def test_what_is_traded_of_a_signal(action, position, shorting, expected):
    closes = {1: [10.0] * 30 + [6.0], 0: [10.0] * 31, -1: [10.0] * 30 + [14.0]}[action]
    trader = ZScore()
    trader.begin(RunContext("test", ACME, shorting=shorting))
    decision = trader.decide(observe(market(closes=closes), 30, position=position))
    assert [intent.action for intent in decision.orders] == [expected]
    assert decision.rationale.startswith(f"{ {1: 'BUY', 0: 'HOLD', -1: 'SELL'}[action] }, because")


def test_a_view_of_more_than_one_symbol_wants_a_name():
    two = {name: replace(WORLD, instrument=replace(WORLD.instrument, symbol=name)) for name in ("A", "B")}
    view = MarketData(two).as_of(WORLD.bars.bar(100).end)
    with pytest.raises(UsageError, match="A, B"):
        SmaCross().signal(view)
    assert SmaCross().signal(view, "B").values


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        (Macd, {"fast": 26, "slow": 12}),
        (Macd, {"signal": 0}),
        (KdjRsi, {"oversold": 70}),
        (ZScore, {"threshold": 0}),
        (ZScore, {"windw": 20}),
        (StochasticBollinger, {"oversold": 80, "overbought": 20}),
    ],
)
def test_settings_that_cannot_be_used(rule, given):
    with pytest.raises(SettingError):
        rule.Config.build(**given)
