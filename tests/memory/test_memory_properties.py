"""Properties of layered memory over random stores, times, tiers and weights."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_helpers import TableEmbedder, brute_force, day, make

from varve.memory import LayeredMemory, NewMemory
from varve.memory.config import PRESETS, TIERS
from varve.types import Trace

presets = st.sampled_from(sorted(PRESETS))
tickers = st.sampled_from(["TSLA", "MSFT", None])
facts = st.tuples(
    st.integers(0, 25),  # few texts, so that copies are common
    st.sampled_from(TIERS),
    tickers,
    st.integers(0, 40),
    st.integers(0, 100),
)
weights = st.sampled_from([0.0, 0.3, 1.0, 2.5])


def _item(fact, judged=True):
    number, tier, ticker, at, importance = fact
    when = day(at)
    return NewMemory(
        f"text {number}", tier, ticker, when, when, "news", importance=float(importance) if judged else None
    )


def _first_of_each(drawn):
    """One fact per text and ticker, so that the brute force needs no rule of merging."""
    seen = {}
    for fact in drawn:
        seen.setdefault((fact[0], fact[2]), fact)
    return list(seen.values())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(facts, max_size=60),
    st.integers(1, 12),
    st.integers(0, 60),
    tickers,
    presets,
    st.tuples(weights, weights, weights),
    st.integers(0, 3),
)
def test_recall_equals_brute_force(drawn, k, now, ticker, preset, parts, coarse):
    names = ("similarity_weight", "recency_weight", "importance_weight")
    memory = make(
        preset,
        importance="judged",
        score_tie=(1e-4, 1e-3, 1e-2, 0.2)[coarse],
        **dict(zip(names, parts, strict=True)),
    )
    drawn = _first_of_each(drawn)
    ids = memory.add_many([_item(fact) for fact in drawn], now=day(0))
    embedder = TableEmbedder()
    rows = [
        {
            "id": memory_id,
            "tier": fact[1],
            "ticker": fact[2],
            "available": day(fact[3]),
            "importance": float(fact[4]),
            "vector": embedder.embed([f"text {fact[0]}"])[0],
        }
        for memory_id, fact in zip(ids, drawn, strict=True)
    ]
    query = embedder.embed(["the query"])[0]
    found = memory.recall("the query", day(now), k, ticker=ticker)
    for tier in TIERS:
        expected = brute_force(rows, query, day(now), k, memory.config, tier, ticker)
        assert [hit.id for hit in found[tier]] == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(facts, min_size=1, max_size=40), st.data())
def test_recall_does_not_hang_on_how_insertions_were_batched(drawn, data):
    one, many = make(importance="judged"), make(importance="judged")
    items = [_item(fact) for fact in drawn]
    one.add_many(items, now=day(0))
    while items:
        size = data.draw(st.integers(1, len(items)))
        many.add_many(items[:size], now=day(0))
        items = items[size:]
    assert one.digest() == many.digest()
    for now in (0, 20, 50):
        assert one.recall("the query", day(now), 7) == many.recall("the query", day(now), 7)


@settings(max_examples=60, deadline=None)
@given(facts, presets, st.lists(st.integers(0, 2000), min_size=2, max_size=10))
def test_score_parts_only_fall_with_time(fact, preset, days):
    memory = make(preset, importance="judged")
    memory.add_many([_item(fact)], now=day(0))
    seen = []
    for n in sorted(days):
        for hits in memory.recall("the query", day(fact[3] + n), 1).values():
            seen += [(hit.recency, hit.importance, hit.similarity) for hit in hits]
    assert len(seen) == len(days)
    for before, after in itertools.pairwise(seen):
        assert after[0] <= before[0]
        assert after[1] <= before[1]
        assert after[2] == before[2]


actions = st.one_of(
    st.tuples(st.just("add"), facts),
    st.tuples(st.just("credit"), st.tuples(st.integers(0, 200), st.sampled_from([-0.02, 0.1, 1.0, 0.0]))),
    st.tuples(st.just("close"), st.integers(1, 30)),
)


def _live_through(memory, script):
    """Do as the script says; how many texts were handed in."""
    now, handed_in, ids = 0, 0, []
    for what, detail in script:
        if what == "add":
            number, tier, ticker, at, _ = detail
            item = _item((number, tier, ticker, now + at - 20 if now + at >= 20 else 0, 0), judged=False)
            ids += memory.add_many([item], now=day(now))
            handed_in += 1
        elif what == "credit" and ids:
            memory.credit([ids[detail[0] % len(ids)]], detail[1], day(now))
        elif what == "close":
            now += detail
            memory.close_session(day(now))
    return handed_in, now


@settings(max_examples=120, deadline=None)
@given(st.lists(actions, max_size=80), presets)
def test_every_memory_is_live_merged_or_purged_with_a_reason(script, preset):
    trace = Trace()
    memory = make(preset, importance="drawn", trace=trace)
    handed_in, _ = _live_through(memory, script)
    by_kind = {}
    for event in trace.memory_events:
        by_kind.setdefault(event.kind, []).append(event)
    added = [e.memory_id for e in by_kind.get("added", [])]
    purged = [e.memory_id for e in by_kind.get("purged", [])]
    assert len(added) + len(by_kind.get("merged", [])) == handed_in
    assert len(set(added)) == len(added)
    assert len(set(purged)) == len(purged)
    assert sorted(set(added) - set(purged)) == memory.ids()
    assert all(e.data["reason"] in ("age", "importance") for e in by_kind.get("purged", []))
    assert sum(memory.sizes().values()) == len(memory)


@settings(max_examples=80, deadline=None)
@given(st.lists(actions, max_size=80), presets)
def test_events_alone_rebuild_an_equal_memory(script, preset):
    trace = Trace()
    memory = make(preset, importance="drawn", trace=trace)
    _, now = _live_through(memory, script)
    again = LayeredMemory.replay(trace.memory_events, memory.config, TableEmbedder())
    assert again.digest() == memory.digest()
    assert again.sizes() == memory.sizes()
    for n in (now, now + 10):
        assert again.recall("the query", day(n), 6) == memory.recall("the query", day(n), 6)
    rest = [("close", 5), ("add", (99, "short", "TSLA", 20, 0)), ("close", 40)]
    for either in (memory, again):
        _live_through(either, rest)
    assert again.digest() == memory.digest()


def test_recall_is_exact_among_thousands_of_near_ties():
    rng = np.random.default_rng(5)
    centre = rng.normal(size=16)
    table = {f"t{i}": centre + 1e-4 * rng.normal(size=16) for i in range(3000)}
    embedder = TableEmbedder({**table, "q": centre})
    memory = make(embedder=embedder)
    whens = [day(int(n)) for n in rng.integers(0, 3, 3000)]
    items = [NewMemory(t, "short", None, w, w, "news") for t, w in zip(table, whens, strict=True)]
    ids = memory.add_many(items, now=day(0))
    rows = [
        {"id": i, "tier": "short", "ticker": None, "available": w, "importance": 50.0, "vector": v}
        for i, w, v in zip(ids, whens, embedder.embed(list(table)), strict=True)
    ]
    found = [hit.id for hit in memory.recall("q", day(3), 10, "short")["short"]]
    assert found == brute_force(rows, embedder.embed(["q"])[0], day(3), 10, memory.config, "short", None)
