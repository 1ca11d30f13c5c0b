"""Memories made worse on purpose: tiers that recall passes over, and recall by lot."""

import pytest

from tests.support.memory_helpers import day, make, put
from varve.errors import SettingError
from varve.memory import MemoryConfig
from varve.memory.state.config import TIERS


def filled(**settings):
    memory = make(**settings)
    for number in range(24):
        put(memory, f"text {number}", at=number % 3, tier=TIERS[number % 4], now=3)
    put(memory, "not yet", at=50, now=50)
    return memory


def ids(memory, at=4, k=3, **rest):
    return {
        tier: [h.record.id for h in hits]
        for tier, hits in memory.recall("text 0", day(at), k, **rest).items()
    }


@pytest.mark.parametrize("dropped", TIERS)
def test_a_dropped_tier_is_kept_and_not_shown(dropped):
    whole = ids(filled())
    memory = filled(recalled_tiers=[tier for tier in TIERS if tier != dropped])
    assert len(memory) == 25
    assert ids(memory) == {**whole, dropped: []}
    assert ids(memory, tiers=dropped) == {dropped: []}


def test_no_tier_at_all():
    assert ids(filled(recalled_tiers=[])) == {tier: [] for tier in TIERS}


def test_recall_by_lot_draws_from_all_that_was_readable():
    drawn = [ids(filled(recall="random", seed=seed))["short"] for seed in range(40)]
    assert all(len(set(found)) == 3 for found in drawn)
    counts = {i: sum(i in found for found in drawn) for i in {i for found in drawn for i in found}}
    # six were readable; each comes up in about half of the draws of three
    assert len(counts) == 6
    assert all(10 <= count <= 30 for count in counts.values())


def test_lots_hang_on_seed_and_instant_alone():
    one, other = filled(recall="random", seed=5), filled(recall="random", seed=5)
    ids(other, at=5)
    assert ids(one) == ids(other)
    assert ids(one) != ids(one, at=9)
    put(other, "one more", at=60, now=60)
    assert ids(one) == ids(other)
    assert ids(one, k=1)["short"] == ids(one)["short"][:1]


def test_names_are_checked():
    with pytest.raises(SettingError, match="recalled_tiers"):
        MemoryConfig.build(recalled_tiers=["shrt"])
    with pytest.raises(SettingError, match="recall"):
        MemoryConfig.build(recall="lottery")
