"""What FinMem's released code breaks, one test each, for the default preset and for the mended one."""

import itertools
import math

import numpy as np
import pytest

from tests.support.memory_helpers import MENDED, TableEmbedder, day, make, put
from varve.errors import UsageError
from varve.types import Trace

both = pytest.mark.parametrize("preset", MENDED)


@both
def test_recall_is_the_true_top_k_not_the_best_of_two_short_lists(preset):
    """FinMem takes the k nearest and k of the *lowest* partial scores, so the best compound can be lost."""
    query = np.eye(16)[0]
    table = {"q": query}
    for i in range(10):  # nearest to the query, but old
        table[f"near {i}"] = query + 0.05 * np.eye(16)[i + 1]
    for i in range(4):  # newest, but far from the query
        table[f"far {i}"] = -query + np.eye(16)[i + 1]
    table["best"] = 0.9 * query + 0.6 * np.eye(16)[15]
    memory = make(preset, TableEmbedder(table), importance="constant")
    for i in range(10):
        put(memory, f"near {i}", at=0)
    for i in range(4):
        put(memory, f"far {i}", at=9)
    put(memory, "best", at=8)
    top = memory.recall("q", day(9), 1, ["short"])["short"]
    assert [hit.text for hit in top] == ["best"]


@both
def test_recall_comes_back_in_order_of_score(preset):
    """FinMem shuffles what it found."""
    memory = make(preset)
    for i in range(30):
        put(memory, f"item {i}", at=i / 10)
    scores = [hit.score for hit in memory.recall("anything", day(4), 20, "short")["short"]]
    assert len(scores) == 20
    assert all(a >= b - 1e-4 for a, b in itertools.pairwise(scores))


@both
def test_never_fewer_than_k_when_k_exist(preset):
    """FinMem drops duplicates after the cut and returns fewer."""
    memory = make(preset)
    for i in range(6):
        for copy in (f"headline {i}", f"  HEADLINE   {i} ", f"Headline {i}\n"):
            put(memory, copy, at=1)
    hits = memory.recall("headline", day(2), 6, "short")["short"]
    assert len(hits) == 6
    assert len({hit.text.split()[-1] for hit in hits}) == 6


@both
def test_ties_go_to_the_newest_then_to_the_id(preset):
    same = np.ones(16)
    table = dict.fromkeys(("q", "old", "new a", "new b"), same)
    flat = {"recency_weight": 0.0, "importance_weight": 0.0}
    memory = make(preset, TableEmbedder(table), **flat)
    ids = {text: put(memory, text, at=at) for text, at in (("old", 0), ("new a", 1), ("new b", 1))}
    hits = memory.recall("q", day(2), 3, "short")["short"]
    assert [hit.id for hit in hits] == [ids["new a"], ids["new b"], ids["old"]]


@both
@pytest.mark.parametrize("tier", ["short", "mid", "long", "reflection"])
def test_no_tier_empties_by_decay_within_two_of_its_tau(preset, tier):
    memory = make(preset)
    for i in range(40):
        put(memory, f"fact {i}", tier=tier)
    tau = memory.config.tier(tier).tau_days
    for n in range(1, int(2 * tau) + 1, max(1, int(tau / 20))):
        memory.close_session(day(n))
    assert memory.sizes()[tier] == 40
    memory.close_session(day(3.01 * tau))
    assert memory.sizes()[tier] == 0


@both
def test_a_10k_filed_in_january_is_recallable_in_december(preset):
    memory = make(preset)
    filed = put(memory, "annual report of the year", tier="long")
    for n in range(1, 340):
        memory.close_session(day(n))
    for i in range(3):
        put(memory, f"other report {i}", at=300, tier="long")
    hits = memory.recall("annual report of the year", day(340), 4, "long")["long"]
    assert filed in [hit.id for hit in hits]


@both
def test_nothing_jumps_without_credit(preset):
    """FinMem promotes news on the day it is stored, when its drawn importance is above the threshold."""
    memory = make(preset, importance="drawn")
    for tier in ("short", "mid", "long"):
        for i in range(60):
            put(memory, f"{tier} {i}", tier=tier)
    for n in range(9):
        report = memory.close_session(day(n))
        assert not report.promoted
        assert not report.demoted
    assert [memory.sizes()[tier] for tier in ("short", "mid", "long")] == [60, 60, 60]


@both
def test_one_credit_is_one_move_at_most(preset):
    memory = make(preset, importance="judged")
    memory_id = put(memory, "very good news", importance=100.0)
    memory.credit([memory_id], 1, day(1))
    memory.credit([memory_id], 1, day(1))
    assert memory.close_session(day(1)).promoted == (memory_id,)
    for n in range(2, 6):
        assert memory.close_session(day(n)).promoted == ()
    assert memory.tier_of(memory_id) == "mid"


@both
def test_promoted_memories_still_receive_credit_and_recall(preset):
    """FinMem looks a promoted memory up where it no longer is."""
    memory = make(preset, importance="judged")
    memory_id = put(memory, "good news", importance=95.0)
    for n in (1, 1):
        memory.credit([memory_id], 1, day(n))
    memory.close_session(day(1))
    assert memory.tier_of(memory_id) == "mid"
    before = memory.importance_of(memory_id, day(2))
    assert memory.credit([memory_id], -1, day(2)).credited == (memory_id,)
    assert memory.importance_of(memory_id, day(2)) < before
    found = memory.recall("good news", day(2), 5)
    assert [hit.id for hit in found["mid"]] == [memory_id]
    assert found["mid"][0].tier == "mid"
    assert found["short"] == []


@both
def test_a_promotion_renews_recency_and_a_demotion_keeps_the_age(preset):
    memory = make(preset, importance="judged")
    memory_id = put(memory, "news", importance=90.0)
    for _ in range(2):
        memory.credit([memory_id], 1, day(8))
    memory.close_session(day(8))
    assert memory.tier_of(memory_id) == "mid"
    assert memory.recall("news", day(8), 1, "mid")["mid"][0].recency == pytest.approx(1.0)
    for _ in range(2):
        memory.credit([memory_id], -1, day(9))
    assert memory.close_session(day(10)).demoted == (memory_id,)
    tau = memory.config.tier("short").tau_days
    (hit,) = memory.recall("news", day(10), 1, "short")["short"]
    assert hit.recency == pytest.approx(math.exp(-2 / tau))  # two days since its promotion, not since now
    assert memory.tier_of(memory_id) == "short"


@both
def test_ids_are_unique_across_tiers_and_reloads(preset, tmp_path):
    memory = make(preset, folder=tmp_path)
    ids = [put(memory, f"{tier} {i}", tier=tier) for i in range(5) for tier in ("short", "mid", "long")]
    memory.close_session(day(200))  # purges the short ones
    memory.close()
    again = type(memory).load(memory.config, memory.embedder, folder=tmp_path)
    ids += [put(again, f"later {i}", at=200) for i in range(5)]
    again.close()
    assert len(set(ids)) == len(ids) == 20
    assert ids == sorted(ids)


@both
def test_decay_hangs_on_timestamps_not_on_how_often_a_session_closed(preset):
    daily, once = make(preset), make(preset)
    for memory in (daily, once):
        put(memory, "a fact", tier="mid")
    for n in range(1, 31):
        daily.close_session(day(n))
    once.close_session(day(30))
    assert daily.importance_of("m000001", day(30)) == once.importance_of("m000001", day(30))
    start = once.importance_of("m000001", day(0))
    assert once.importance_of("m000001", day(365)) == pytest.approx(start * 0.967**252)


@both
def test_closing_a_session_touches_only_what_was_credited(preset):
    """FinMem walks every memory every day; here a close looks up the credited ones alone."""
    memory = make(preset)
    ids = [put(memory, f"fact {i}", tier="long") for i in range(500)]
    memory.credit(ids[:3], 1, day(1))
    looked = []
    entries = memory._state.entries

    class Watched(dict):
        def __getitem__(self, key):
            looked.append(key)
            return super().__getitem__(key)

    memory._state.entries = Watched(entries)
    memory.close_session(day(2))
    assert set(looked) <= set(ids[:3])
    assert looked


@both
def test_records_are_immutable_and_an_outcome_is_a_second_linked_record(preset):
    memory = make(preset)
    rationale = put(memory, "bought because of deliveries", tier="reflection", metadata={"step": 3})
    record = memory.get(rationale)
    with pytest.raises(AttributeError):
        record.text = "sold"
    with pytest.raises(TypeError):
        record.metadata["step"] = 4
    outcome = put(memory, "it paid 2 %", at=7, now=0, tier="reflection", links=(rationale,))
    assert memory.links_of(outcome) == (rationale,)
    assert memory.get(rationale) == record
    early = memory.recall("it paid", day(6.9), 9, "reflection")["reflection"]
    late = memory.recall("it paid", day(7), 9, "reflection")["reflection"]
    assert [hit.id for hit in early] == [rationale]
    assert {hit.id for hit in late} == {rationale, outcome}


@both
def test_the_query_decides_what_comes_back(preset):
    """FinMem asks with the same sentence every day; the same store must answer other questions otherwise."""
    memory = make(preset)
    for i in range(40):
        put(memory, f"fact {i}")
    first = memory.recall("fact 7", day(1), 1, "short")["short"][0]
    second = memory.recall("fact 8", day(1), 1, "short")["short"][0]
    assert (first.text, second.text) == ("fact 7", "fact 8")


@both
def test_credit_to_a_purged_memory_is_counted_and_to_an_unknown_one_refused(preset):
    trace = Trace()
    memory = make(preset, trace=trace)
    gone = put(memory, "old news")
    kept = put(memory, "annual report", tier="long")
    assert memory.close_session(day(100)).purged == (gone,)
    report = memory.credit([gone, kept], 1, day(101))
    assert report.missed == (gone,)
    assert report.credited == (kept,)
    assert memory.missed_credits == 1
    assert [e.memory_id for e in trace.memory_events if e.kind == "credit_missed"] == [gone]
    before = memory.digest()
    for bad in ("m000099", "m1", "news", "", "m٣٣٣٣٣٣"):
        with pytest.raises(UsageError, match="unknown memory id"):
            memory.credit([kept, bad], 1, day(101))
    assert memory.digest() == before
