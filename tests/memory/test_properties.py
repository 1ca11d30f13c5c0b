"""Properties of layered memory over random stores, times, tiers and weights."""

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.memory_helpers import MENDED, TableEmbedder, brute_force, day, make, put
from varve.clock import parse_iso, to_ns
from varve.memory import LayeredMemory, NewMemory
from varve.memory.state.columns import DAY_NS
from varve.memory.state.config import PRESETS, TIERS
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
            seen += [(hit.recency, hit.importance, hit.score, hit.similarity) for hit in hits]
    assert len(seen) == len(days)
    for before, after in itertools.pairwise(seen):
        assert all(later <= earlier for later, earlier in zip(after[:3], before[:3], strict=True))
        assert after[3] == before[3]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(MENDED),
    st.sampled_from(TIERS),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100)), min_size=1, max_size=12),
    st.lists(st.floats(0, 2), max_size=12),
)
def test_no_tier_empties_within_two_of_its_taus_by_decay_alone(preset, tier, stored, closes):
    memory = make(preset, importance="judged")
    for number, (at, importance) in enumerate(stored):
        put(memory, f"text {number}", at=at, tier=tier, now=0, importance=float(importance))
    tau = memory.config.tier(tier).tau_days
    first = min(at for at, _ in stored)
    for taus in sorted(closes):
        assert memory.close_session(day(first + taus * tau)) == ((), (), ())
    assert memory.sizes()[tier] == len(stored)
    last = max(at for at, _ in stored)
    found = memory.recall("the query", day(last + 2 * tau), len(stored), tier)
    assert len(found[tier]) == len(stored)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(PRESETS)), facts)
def test_a_memory_that_nobody_credits_never_changes_its_tier_and_goes_by_its_age_or_importance(preset, fact):
    trace = Trace()
    memory = make(preset, importance="judged", trace=trace)
    memory.add_many([_item(fact)], now=day(0))
    tier = memory.config.tier(fact[1])
    for taus in (0.5, 1.0, 2.0, 2.9, 3.1):
        memory.close_session(day(fact[3] + taus * tier.tau_days))
    moved = [event for event in trace.memory_events if event.kind in ("promoted", "demoted")]
    (purged,) = [event for event in trace.memory_events if event.kind == "purged"]
    assert moved == []
    if preset == "finmem-paper":
        assert purged.data["reason"] in ("age", "importance")
    else:
        assert purged.data["reason"] == "age"


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
            memory.credit([ids[-1 - detail[0] % min(len(ids), 3)]], detail[1], day(now))
        elif what == "close":
            now += detail
            memory.close_session(day(now))
    return handed_in, now


def _by_the_book(memory, query, now, k, tier, ticker):
    """Ids of the best ``k``, each live memory scored by itself from what its events and its life tell."""
    config, embedder, scored = memory.config, memory.embedder, []
    settings = config.tier(tier)
    told = [event for event in memory.trace.memory_events if event.kind != "recalled"]
    for memory_id in memory.ids(tier):
        record, life = memory.get(memory_id), memory._state.life(memory_id)
        mine = [event for event in told if event.memory_id == memory_id]
        copies = [parse_iso(e.data["available_at"]) for e in mine if e.kind in ("added", "merged")]
        moves = [to_ns(e.at) for e in mine if e.kind == "promoted"]  # a demotion keeps the age
        readable, moved = to_ns(min(copies)), max(moves, default=0)
        if readable > to_ns(now) or (ticker not in (None, record.ticker) and record.ticker):
            continue
        days = (to_ns(now) - max(readable, moved)) / DAY_NS
        since_base = max(to_ns(now) - life["base_ns"], 0) / DAY_NS
        importance = life["base"] * settings.importance_factor ** (since_base * 252 / 365)
        pairs = zip(embedder.one(record.text), embedder.one(query), strict=True)
        score = (
            config.similarity_weight
            * math.fsum(float(np.float32(a)) * float(np.float32(b)) for a, b in pairs)
            + config.recency_weight * math.exp(-days / settings.tau_days)
            + config.importance_weight * min(importance, 100.0) / 100.0
        )
        step = math.floor(score / config.score_tie + 0.5)
        scored.append((-step, -readable, memory_id))
    return [memory_id for _, _, memory_id in sorted(scored)[:k]]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(facts, st.sampled_from([-1.0, 0.0, 1.0, 1.0]), st.integers(0, 9)), max_size=40),
    presets,
    st.integers(1, 8),
    tickers,
    st.integers(0, 40),
)
def test_recall_is_exact_after_credits_moves_merges_and_purges(days, preset, k, ticker, later):
    moves_soon = {"promote_at": 1.0, "demote_below": None}
    memory = make(preset, importance="drawn", score_tie=1e-3, credits_to_promote=1.0, credits_to_demote=1.0,
                  short=moves_soon, mid=moves_soon, long={"demote_below": None})  # fmt: skip
    script = [
        step
        for number, (fact, reward, gap) in enumerate(days)
        for step in (("add", fact), ("credit", (number, reward)), ("close", gap))
    ]
    _, now = _live_through(memory, script)
    for at in (day(now), day(now + later)):
        found = memory.recall("the query", at, k, ticker=ticker)
        for tier in TIERS:
            expected = _by_the_book(memory, "the query", at, k, tier, ticker)
            assert [hit.id for hit in found[tier]] == expected


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
    where = {event.memory_id: event.data["tier"] for event in by_kind.get("added", [])}
    for event in trace.memory_events:  # each move begins where the one before ended
        if event.kind in ("promoted", "demoted"):
            assert event.data["from"] == where[event.memory_id]
            where[event.memory_id] = event.data["to"]
        elif event.kind == "purged":
            assert event.data["tier"] == where.pop(event.memory_id)
    assert where == {memory_id: memory.tier_of(memory_id) for memory_id in memory.ids()}


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
