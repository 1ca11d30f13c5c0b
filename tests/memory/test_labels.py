"""Questions by label, filters by metadata, and several memories in one run."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.memory_helpers import TableEmbedder, brute_force, day, make, put
from varve.errors import UsageError
from varve.memory import LabelledQuery, LayeredMemory, MemoryConfig, NewMemory, citation, of_citation
from varve.memory.disk.snapshot import read_snapshot, take_snapshot, write_snapshot
from varve.memory.history import Told, lives, names, timeline
from varve.memory.labels import merged
from varve.memory.state.config import TIERS
from varve.types import Trace

HORIZONS = ("short", "medium", "long")

facts = st.tuples(
    st.sampled_from(TIERS), st.sampled_from(["TSLA", None]), st.integers(0, 30), st.sampled_from(HORIZONS)
)


@settings(max_examples=100, deadline=None)
@given(st.lists(facts, max_size=50), st.integers(1, 6), st.integers(0, 40), st.booleans())
def test_each_label_finds_the_true_best_of_what_its_filter_lets_through(drawn, k, now, filtered):
    trace, embedder = Trace(), TableEmbedder()
    memory = make(embedder=embedder, trace=trace)
    items = [
        NewMemory(f"text {n}", tier, ticker, day(at), day(at), "news", {"horizon": horizon, "n": n})
        for n, (tier, ticker, at, horizon) in enumerate(drawn)
    ]
    ids = memory.add_many(items, now=day(0))
    rows = [
        {
            "id": memory_id,
            "tier": item.tier,
            "ticker": item.ticker,
            "available": item.available_at,
            "importance": memory.config.tier(item.tier).importance_constant,
            "vector": embedder.embed([item.text])[0],
            "horizon": item.metadata["horizon"],
        }
        for memory_id, item in zip(ids, items, strict=True)
    ]
    queries = [LabelledQuery(h, f"asked for {h}", {"horizon": h} if filtered else None) for h in HORIZONS]
    embedder.calls.clear()
    found = memory.recall_labelled(queries, day(now), k, ticker="TSLA")
    assert embedder.calls == [[f"asked for {h}" for h in HORIZONS]]  # one batch
    for tier in TIERS:
        expected = {
            h: brute_force(
                [row for row in rows if not filtered or row["horizon"] == h],
                embedder.one(f"asked for {h}"),
                day(now),
                k,
                memory.config,
                tier,
                "TSLA",
            )
            for h in HORIZONS
        }
        got = {hit.id: hit.labels for hit in found[tier]}
        assert len(got) == len(found[tier])
        for h in HORIZONS:
            assert [one for one in got if h in got[one]] == sorted(expected[h], key=list(got).index)
        assert set(got) == {one for ids in expected.values() for one in ids}
        asked = [e for e in trace.memory_events if e.kind == "recalled"]
        assert [[hit[0] for hit in e.data["found"][tier]] for e in asked] == [expected[h] for h in HORIZONS]
    assert [(e.data["label"], e.data.get("where")) for e in asked] == [
        (h, {"horizon": h} if filtered else None) for h in HORIZONS
    ]


def test_a_memory_under_two_labels_comes_once_with_both_and_first_places_come_first():
    table = {"a": [1, 0, 0], "b": [0.8, 0.6, 0], "c": [0, 1, 0], "d": [0, 0, 1]}
    pad = [0] * 13
    memory = make(embedder=TableEmbedder({text: [*v, *pad] for text, v in table.items()}))
    for text in "abcd":
        put(memory, text)
    queries = [LabelledQuery("one", "a"), LabelledQuery("two", "c"), LabelledQuery("three", "b")]
    hits = memory.recall_labelled(queries, day(0), 2, "short")["short"]
    assert [(hit.text, hit.labels) for hit in hits] == [
        ("a", ("one", "three")),
        ("c", ("two",)),
        ("b", ("one", "two", "three")),
    ]
    assert hits[2].hit.similarity == pytest.approx(1.0)  # as its best place has it: first for "three"
    assert hits[1].record == memory.get(hits[1].id)
    again = memory.recall_labelled(queries[:1], day(0), 2)["short"]
    assert [hit.hit for hit in again] == memory.recall("a", day(0), 2)["short"]


def test_a_filter_wants_every_key_with_an_equal_value_and_true_is_not_one():
    memory = make()
    kinds = ({"a": 1}, {"a": True}, {"a": 1.0, "b": None}, {"a": "1"}, {"b": "x"}, {})
    for n, metadata in enumerate(kinds):
        put(memory, f"text {n}", metadata=metadata)

    def found(where):
        return sorted(hit.text[-1] for hit in memory.recall("text", day(0), 9, "short", None, where)["short"])

    assert found({"a": 1}) == ["0", "2"]
    assert found({"a": True}) == ["1"]
    assert found({"a": "1"}) == ["3"]
    assert found({"b": None}) == ["2"]
    assert found({"a": 1, "b": None}) == ["2"]
    assert found({"c": None}) == []
    assert len(found({})) == len(found(None)) == 6


@pytest.mark.parametrize("where", ["horizon", {1: "x"}, {"a": [1]}, {"a": float("nan")}, {"a": {"b": 1}}])
def test_a_filter_by_anything_but_plain_values_is_refused(where):
    with pytest.raises(UsageError, match="metadata filter"):
        make().recall("text", day(0), 1, where=where)


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        ([], "no labelled query"),
        ([LabelledQuery("short", "a"), LabelledQuery("short", "b")], "'short' was given twice"),
        ([LabelledQuery(" ", "a")], "label of a query is empty"),
        ([LabelledQuery("short", " ")], "the query is empty"),
        ([LabelledQuery("short", "a"), LabelledQuery("long", 7)], "the query is a int"),
    ],
)
def test_labelled_questions_that_cannot_be_asked_are_refused_and_leave_no_event(queries, said):
    trace = Trace()
    with pytest.raises(UsageError, match=said):
        make(trace=trace).recall_labelled(queries, day(0), 1)
    assert trace.memory_events == []


def test_nothing_found_is_an_empty_list_for_every_tier_asked_for():
    assert make().recall_labelled([LabelledQuery("short", "a")], day(0), 3, ("long", "mid")) == {
        "mid": [],
        "long": [],
    }
    assert merged({}) == {}


NAMES = ("market_intelligence", "low_level", "high_level")


def _three(folder, trace, how, *events, run_id="run"):
    config = MemoryConfig.build(flush_every_sessions=2)
    rest = {"trace": trace, "folder": folder, "run_id": run_id}
    return {name: how(*events, config, TableEmbedder(), name=name, **rest) for name in NAMES}


def _live(memories, trace, first, last):
    """What a journal would tell of these days, three memories taking turns."""
    told = []
    for n in range(first, last):
        cited = []
        for memory in memories.values():
            for horizon in HORIZONS:
                # the same texts in each memory: they must not meet
                put(memory, f"{horizon} news {n}", at=n, tier="short", metadata={"horizon": horizon})
        for name, memory in memories.items():
            queries = [LabelledQuery(h, f"{h} news {n - 1}", {"horizon": h}) for h in HORIZONS]
            found = memory.recall_labelled(queries, day(n), 1)["short"]
            if name != "high_level":
                memory.credit([found[0].id], 1.0, day(n))
                cited.append(citation(name, found[0].id))
            memory.close_session(day(n))
        told.append(Told(day(n).date(), day(n), tuple(trace.drain()[1]), tuple(cited)))
    return told


def test_three_memories_of_one_run_share_folder_and_journal_and_never_meet(tmp_path):
    trace = Trace()
    memories = _three(tmp_path / "store", trace, LayeredMemory)
    told = _live(memories, trace, 0, 9)
    events = [event for step in told for event in step.events]
    digests = {name: memory.digest() for name, memory in memories.items()}
    assert len(set(digests.values())) > 1  # the uncredited one differs
    assert all(len(memory) == 27 for memory in memories.values())
    for memory in memories.values():
        memory.abandon()  # as if killed: the last session was not flushed
    for how in (LayeredMemory.resume, LayeredMemory.replay):
        again = _three(tmp_path / "store", Trace(), how, events)
        assert {name: memory.digest() for name, memory in again.items()} == digests
        for memory in again.values():
            memory.close()
    loaded = _three(tmp_path / "store", Trace(), LayeredMemory.load)
    assert {name: memory.digest() for name, memory in loaded.items()} == digests
    queries = [LabelledQuery(h, "news", {"horizon": h}) for h in HORIZONS]
    for name in NAMES:
        asked = [memory[name].recall_labelled(queries, day(9), 3) for memory in (loaded, memories)]
        assert asked[0] == asked[1]
        loaded[name].close()


def test_lives_and_timelines_keep_three_memories_apart():
    trace = Trace()
    told = _live(_three(None, trace, LayeredMemory), trace, 0, 6)
    assert names(told) == list(NAMES)
    found = lives(told)
    assert len(found) == 3 * 18
    for name in NAMES:
        days = timeline(told, name)
        assert [sum(tally.sizes.values()) for tally in days] == [3 * n for n in range(1, 7)]
        assert sum(tally.cited for tally in days) == (0 if name == "high_level" else 6)
        cited = sum(life.cited for life in found.values() if life.memory == name)
        assert cited == (0 if name == "high_level" else 6)
    alone = [told[0]._replace(events=tuple(e for e in told[0].events if e.data["memory"] == NAMES[0]))]
    assert sum(life.cited for life in lives(alone).values()) == 1  # only one has acted; it is cited by name


def test_a_snapshot_carries_every_memory_of_a_run(tmp_path):
    trace = Trace()
    memories = _three(None, trace, LayeredMemory)
    _live(memories, trace, 0, 5)
    snapshot = take_snapshot(
        [memory.image() for memory in memories.values()], TableEmbedder(), day(5), synthetic=True, source={}
    )
    write_snapshot(tmp_path / "m.parquet", snapshot)
    kept = read_snapshot(tmp_path / "m.parquet")
    for name, memory in memories.items():
        begun = LayeredMemory(memory.config, TableEmbedder(), name=name, snapshot=kept)
        queries = [LabelledQuery(h, "news", {"horizon": h}) for h in HORIZONS]
        one, other = (each.recall_labelled(queries, day(6), 2) for each in (begun, memory))
        assert one == other
        assert one["short"]


def test_a_citation_names_memory_and_id():
    assert of_citation(citation("low_level", "m000001")) == ("low_level", "m000001")
    for wrong in ("m000001", "/m000001"):
        with pytest.raises(UsageError, match="names no memory"):
            of_citation(wrong)
