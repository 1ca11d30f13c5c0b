"""The benchmark that tunes the score's weights: figures it can be wrong in, and the world it cannot cheat."""

import numpy as np
import pytest

from benchmarks import score_weights
from benchmarks.score_weights import EQUAL, GRID, Day, days, judge, table
from varve.memory import HashingEmbedder


def day(tone_of_similar, tone_of_recent, ahead):
    """Two memories, of which one is similar and the other recent."""
    parts = np.array([(1.0, 0.0, 0.5), (0.0, 1.0, 0.5)])
    return Day(parts, np.array([tone_of_similar, tone_of_recent]), ahead)


def test_weights_decide_which_tone_is_set_beside_the_return():
    group = [day(1.0, -1.0, 0.1), day(-1.0, 1.0, -0.1), day(1.0, 0.0, 0.2), day(-1.0, 1.0, -0.3)]
    ic, right = judge(group, (2.0, 1.0, 1.0), k=1)
    assert right == 1.0
    assert ic == pytest.approx(np.corrcoef([1, -1, 1, -1], [0.1, -0.1, 0.2, -0.3])[0, 1])
    ic, right = judge(group, (1.0, 2.0, 1.0), k=1)
    assert ic < 0
    assert right == 0.0  # the tone of 0 is no opinion


def test_the_gain_is_over_equal_weights_group_by_group():
    groups = [[day(1.0, -1.0, 0.1), day(-1.0, 1.0, -0.1), day(1.0, 0.5, 0.2 * n)] for n in (1, 2)]
    rows = {row.weights: row for row in table(groups, ((2.0, 1.0, 1.0), EQUAL))}
    assert rows[EQUAL].gain == rows[EQUAL].gain_error == 0.0
    one = rows[(2.0, 1.0, 1.0)]
    assert one.gain == pytest.approx(one.ic - rows[EQUAL].ic)
    assert EQUAL in GRID


def test_recalled_news_leads_prices_where_text_does_and_not_in_noise(monkeypatch):
    from varve.market.worlds import sample_world

    monkeypatch.setattr(score_weights, "FIRST", score_weights.date(2023, 1, 3))
    led = [judge(days("TSLA", seed, HashingEmbedder()), EQUAL)[0] for seed in (0, 1)]
    monkeypatch.setattr(
        score_weights,
        "sample_world",
        lambda *given, **rest: sample_world(*given, **{**rest, "world": "noise"}),
    )
    by_chance = [judge(days("TSLA", seed, HashingEmbedder()), EQUAL)[0] for seed in (0, 1)]
    assert min(led) > 0.2
    assert abs(np.mean(by_chance)) < 0.15
