"""From when importance decays, how far it counts, and near ties at the edge of the best."""

import math

import numpy as np
import pytest

from tests.support.memory_helpers import START, day, make, put
from varve.clock import to_ns
from varve.memory.state.columns import DAY_NS, Columns, Weights
from varve.memory.state.records import text_key

PER_DAY = 0.92 ** (252 / 365)


def test_a_credit_before_a_text_can_be_read_does_not_begin_its_decay():
    memory = make(importance="judged")
    early = put(memory, "early", at=5, now=0, importance=40.0)
    memory.credit([early], 1, day(1))
    credited = memory.importance_of(early, day(5))
    assert credited == memory.importance_of(early, day(1)) > 40.0
    assert memory.importance_of(early, day(7)) == pytest.approx(credited * PER_DAY**2)
    assert memory._state.life(early)["base_ns"] == to_ns(day(5))


def test_a_credit_after_it_could_be_read_begins_its_decay_anew():
    memory = make(importance="judged")
    fact = put(memory, "a fact", at=0, importance=40.0)
    memory.credit([fact], 1, day(3))
    credited = memory.importance_of(fact, day(3))
    assert memory.importance_of(fact, day(5)) == pytest.approx(credited * PER_DAY**2)


def test_a_copy_that_could_be_read_earlier_decays_from_then():
    memory = make(importance="judged")
    fact = put(memory, "a fact", at=5, now=0, importance=40.0)
    assert put(memory, "A fact", at=2, now=1, importance=40.0) == fact
    assert memory.importance_of(fact, day(2)) == pytest.approx(40.0)
    assert memory.importance_of(fact, day(6)) == pytest.approx(40.0 * PER_DAY**4)


def test_an_earlier_copy_does_not_undo_a_credit():
    memory = make(importance="judged")
    fact = put(memory, "a fact", at=5, now=0, importance=40.0)
    memory.credit([fact], 1, day(6))
    credited = memory.importance_of(fact, day(6))
    put(memory, "A fact", at=2, now=7, importance=40.0)
    assert memory.importance_of(fact, day(8)) == pytest.approx(credited * PER_DAY**2)
    life = memory._state.life(fact)
    assert (life["available_ns"], life["base_ns"]) == (to_ns(day(2)), to_ns(day(6)))


def test_a_later_copy_changes_no_time():
    memory = make(importance="judged")
    fact = put(memory, "a fact", at=2, now=0, importance=40.0)
    before = memory._state.life(fact)
    put(memory, "A fact", at=5, now=1, importance=40.0)
    assert memory._state.life(fact) == before


def columns(vectors, *, base=0.0, available=None):
    made, now = Columns(len(vectors[0])), to_ns(START)
    for number, vector in enumerate(vectors):
        row = made.append(f"m{number}", number, -1, np.asarray(vector, np.float32))
        made.base[row] = base if np.isscalar(base) else base[number]
        at = now - (0 if available is None else available[number])
        made.available[row] = made.since[row] = made.base_at[row] = at
    return made


def top(made, query, k, *, tie=1e-9, similarity=1.0, recency=0.0, importance=0.0):
    weights = Weights(similarity, recency, importance, tie)
    return made.top(
        np.asarray(query, np.float32), to_ns(START), k,
        tau_days=14.0, log_factor=0.0, weights=weights, ticker=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("base", "counts"), [(50.0, 0.5), (99.0, 0.99), (100.0, 1.0), (101.0, 1.0), (300.0, 1.0)]
)
def test_importance_counts_up_to_a_hundred_points_and_is_told_whole(base, counts):
    (hit,) = top(columns([[1.0, 0.0]], base=base), [1.0, 0.0], 1, importance=0.25)
    assert hit.score == pytest.approx(1.0 + 0.25 * counts, rel=1e-12)
    assert hit.importance == base


def test_beyond_a_hundred_points_the_newer_goes_first():
    made = columns([[1.0, 0.0]] * 3, base=[300.0, 100.0, 99.0], available=[2 * DAY_NS, DAY_NS, 0])
    assert [hit.row for hit in top(made, [1.0, 0.0], 3, importance=1.0)] == [1, 0, 2]


@pytest.mark.parametrize("gap", [0.1, 0.5, 0.9])
def test_among_equals_by_the_tie_rule_the_newest_is_never_cut_off_before_it_is_compared(gap):
    tie = 0.01
    lower = 0.5 - 0.49 * tie  # both are in the step around 0.5
    vectors = [[lower + gap * tie, math.sqrt(1 - (lower + gap * tie) ** 2)], [lower, math.sqrt(1 - lower**2)]]
    made = columns([*vectors, [0.1, math.sqrt(0.99)]], available=[DAY_NS, 0, 0])
    assert [hit.row for hit in top(made, [1.0, 0.0], 1, tie=tie)] == [1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("similarity", [1.0, 5000.0])
def test_what_float32_cannot_tell_apart_is_ranked_exactly(seed, similarity):
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=64)
    vectors = centre / np.linalg.norm(centre) + 1e-7 * rng.normal(size=(2000, 64))
    made = columns(vectors)
    query = np.asarray(vectors[0], np.float32)
    exact = made.vectors[:2000].astype(np.float64) @ query.astype(np.float64)
    found = top(made, query, 5, tie=1e-13 * similarity, similarity=similarity)
    assert sorted((exact[hit.row] for hit in found), reverse=True) == pytest.approx(
        np.sort(exact)[::-1][:5], abs=1e-14
    )


@pytest.mark.parametrize(("importance", "stays"), [(5.0, True), (4.99, False)])
def test_what_does_not_sink_and_is_not_below_the_floor_is_kept(importance, stays):
    memory = make("finmem-paper", importance="judged", short={"importance_factor": 1.0})
    fact = put(memory, "a fact", importance=importance)
    assert memory.close_session(day(1)).purged == (() if stays else (fact,))


def test_a_text_in_full_width_letters_is_the_same_text():
    assert text_key("ＡＢＣ rose", "TSLA") == text_key("abc rose", "TSLA")
    assert text_key("ＡＢＤ rose", "TSLA") != text_key("abc rose", "TSLA")
