"""Lives and timelines told from events, beside the memory that wrote them."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.memory_helpers import day, make, put
from varve.memory.history import Told, by_month, lives, names, timeline
from varve.types import MemoryEvent, Trace


class Diary:
    """A memory with what its journal would tell, step by step, and its sizes after each."""

    def __init__(self, preset="varve"):
        self.trace = Trace()
        self.memory = make(preset, trace=self.trace)
        self.told, self.sizes = [], []

    def end(self, n, cited=()):
        self.memory.close_session(day(n))
        _, events = self.trace.drain()
        self.told.append(Told(day(n).date(), day(n), events, tuple(cited)))
        self.sizes.append(self.memory.sizes())


sessions = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 4), st.sampled_from([-1, 0, 1])), min_size=1, max_size=25
)


@settings(max_examples=60, deadline=None)
@given(sessions, st.sampled_from(["varve", "finmem-code", "finmem-paper"]))
def test_timeline_and_lives_agree_with_the_memory_after_every_session(drawn, preset):
    diary, now, credits, recalls, ids = Diary(preset), 0, 0.0, {}, []
    memory = diary.memory
    for gap, news, reward in drawn:
        now += gap
        ids += [put(memory, f"news {now} {i}", at=now) for i in range(news)]
        recalled = {hit.id for hits in memory.recall("news", day(now), 3).values() for hit in hits}
        for one in recalled:
            recalls[one] = recalls.get(one, 0) + 1
        report = memory.credit(ids[-3:], reward, day(now))
        credits += reward * len(report.credited)
        diary.end(now, cited=ids[-1:])
    days = timeline(diary.told, "finmem")
    assert [tally.sizes for tally in days] == diary.sizes
    assert sum(tally.credits - tally.debits for tally in days) == credits
    assert sum(tally.recalled for tally in days) == sum(recalls.values())
    found = lives(diary.told)
    assert sorted(found) == sorted(set(ids))
    assert {one: life.recalled for one, life in found.items() if life.recalled} == recalls
    for one, life in found.items():
        assert (life.purged_at is None) == (one in memory.ids())
        if life.purged_at is None:
            assert life.tier == memory.tier_of(one)


def test_the_life_of_one_memory():
    diary = Diary()
    memory = diary.memory
    fact = put(memory, "fact", at=0)
    memory.recall("fact", day(0), 1)
    diary.end(0, cited=(fact,))
    put(memory, "FACT", at=1)
    memory.credit([fact], 1, day(1))
    memory.credit([fact], 1, day(1))
    memory.recall("fact", day(1), 1)
    memory.recall("fact again", day(1), 1)
    diary.end(1)
    memory.credit([fact], -1, day(2))
    diary.end(2, cited=(fact,))
    diary.end(400)
    memory.credit([fact], 1, day(401))
    diary.end(401)
    life = lives(diary.told)[fact]
    assert [(m.what, m.tier, m.amount) for m in life.moments] == [
        ("added", "short", 0), ("merged", "short", 0), ("credited", "short", 1), ("credited", "short", 1),
        ("promoted", "mid", 0), ("credited", "mid", -1), ("purged", "mid", 0), ("credit_missed", "mid", 1),
    ]  # fmt: skip
    assert [move.tier for move in life.path] == ["short", "mid"]
    assert (life.recalled, life.cited, life.credits) == (2, 2, (2.0, 1.0))
    assert life.purged_at == day(400)
    assert next(m.reason for m in life.moments if m.what == "purged") == "age"


def test_the_hit_rate_is_the_share_of_recalled_memories_that_the_step_cited():
    diary = Diary()
    ids = [put(diary.memory, f"fact {i}") for i in range(4)]
    diary.memory.recall("fact 0", day(0), 4)
    diary.memory.recall("fact 1", day(0), 4)  # a second question of one step counts its memories once
    unseen = put(diary.memory, "fact of a later hour")
    diary.end(0, cited=(ids[2], unseen))
    (tally,) = timeline(diary.told, "finmem")
    assert (tally.recalled, tally.used, tally.cited) == (4, 1, 2)
    assert tally.hit_rate == 0.25
    diary.end(1)
    assert timeline(diary.told, "finmem")[1].hit_rate is None


def test_months_have_the_last_sizes_and_the_sums():
    diary = Diary()
    for n in (0, 20, 26, 27, 60):
        put(diary.memory, f"news {n}", at=n)
        diary.end(n)
    months = by_month(timeline(diary.told, "finmem"))
    assert [month.session for month in months] == [date(2021, 1, 31), date(2021, 3, 5)]
    assert [month.stored for month in months] == [4, 1]
    assert [month.purged for month in months] == [0, 1]  # the news of day 0 is older than 42 days
    assert [month.sizes["short"] for month in months] == [4, 4]


def test_memories_of_several_names_are_told_apart():
    def added(name, text):
        data = {"memory": name, "text": text, "tier": "short", "kind": "news", "ticker": None}
        return MemoryEvent("added", "m000001", day(0), {**data, "available_at": "2021-01-04T14:00:00Z"})

    told = [Told(date(2021, 1, 4), day(0), (added("low", "a"), added("high", "b")), ("high/m000001",))]
    assert names(told) == ["low", "high"]
    found = lives(told)
    assert {key: (life.text, life.cited) for key, life in found.items()} == {
        "low/m000001": ("a", 0), "high/m000001": ("b", 1),
    }  # fmt: skip
    assert timeline(told, "high")[0].sizes["short"] == 1
    assert timeline(told, "high")[0].cited == 1
    assert timeline(told, "low")[0].cited == 0


@pytest.mark.parametrize("kind", ["added", "credited", "promoted"])
def test_events_of_another_memory_s_making_do_no_harm(kind):
    event = MemoryEvent(kind, "x1", day(0), {"text": "said", "to": "attic", "amount": 1.0})
    told = [Told(date(2021, 1, 4), day(0), (event,), ("x1", "nowhere"))]
    assert len(lives(told)) == (kind == "added")
    assert len(timeline(told, "finmem")) == 1
