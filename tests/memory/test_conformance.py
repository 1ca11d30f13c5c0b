"""check_memory: every shipped memory passes it, and each defect is caught by what it is."""

import itertools
import random
from collections import deque
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.memory_helpers import TableEmbedder, day
from varve.errors import IntegrityError, UsageError
from varve.memory import FlatWindow, HashingEmbedder, LayeredMemory, MemoryConfig, NewMemory, check_memory
from varve.memory.state.config import TIERS
from varve.memory.state.validation import check_where, passes


@pytest.mark.parametrize("preset", ["varve", "finmem-code", "finmem-paper"])
def test_layered_memory_passes_and_so_does_its_replay(preset):
    config, embedder = MemoryConfig.build(preset=preset), HashingEmbedder()
    check_memory(
        lambda: LayeredMemory(config, embedder),
        replay=lambda events: LayeredMemory.replay(events, config, embedder),
    )


def test_layered_memory_passes_with_other_vectors_weights_and_drawn_importance():
    config = MemoryConfig.build(importance="drawn", similarity_weight=3.0, recency_weight=0.0)
    check_memory(lambda: LayeredMemory(config, TableEmbedder(), seed=4))


@pytest.mark.parametrize("items", [1, 7, 10_000])
def test_the_flat_window_passes_at_any_size(items):
    check_memory(lambda: FlatWindow(items))


class LooksAhead(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return super().recall(query, day(4000), k, tiers, ticker, where)


class LooksAMomentAhead(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return super().recall(query, now + timedelta(microseconds=1), k, tiers, ticker, where)


class FuturePushesOut(FlatWindow):
    """A window over what was stored, readable or not."""

    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        found = super().recall(query, now, k, tiers, ticker, where)
        last = deque(self._records, maxlen=12)
        return {tier: [hit for hit in hits if hit.id in last] for tier, hits in found.items()}


class CountsTheFuture(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        found = super().recall(query, now, k, tiers, ticker, where)
        size = sum(len(record.text) for record in self._records.values())
        return {t: [hit._replace(score=hit.score + size * 1e-9) for hit in hits] for t, hits in found.items()}


class OneTooMany(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return super().recall(query, now, k + 1, tiers, ticker, where)


class KeepsCopies(FlatWindow):
    def add_many(self, items, *, now):
        ids = []
        for item in items:
            self._by_key.clear()
            ids += super().add_many([item], now=now)
        return ids


class SameTwice(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        found = super().recall(query, now, k, tiers, ticker, where)
        return {tier: (hits[:1] * 2 if k > 1 else hits) for tier, hits in found.items()}


class OneIdForAll(FlatWindow):
    def add_many(self, items, *, now):
        return ["f000001" for _ in super().add_many(items, now=now)]


class ForgetsIds(FlatWindow):
    def add_many(self, items, *, now):
        return super().add_many(items, now=now)[:1]


class Shuffles(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        found = super().recall(query, now, k, tiers, ticker, where)
        for hits in found.values():
            random.Random(id(self)).shuffle(hits)
        return {tier: [hit._replace(score=0.0) for hit in hits] for tier, hits in found.items()}


class TiresOfQuestions(FlatWindow):
    asked = 0

    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        self.asked += 1
        found = super().recall(query, now, k, tiers, ticker, where)
        return {t: [hit._replace(score=hit.score - self.asked) for hit in hits] for t, hits in found.items()}


class HangsOnTheProcess(FlatWindow):
    made = itertools.count()

    def __init__(self):
        super().__init__()
        self.number = next(self.made)

    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        found = super().recall(query, now, k, tiers, ticker, where)
        return {t: [hit._replace(score=hit.score - self.number) for hit in hits] for t, hits in found.items()}


class HangsOnTheBatch(FlatWindow):
    def add_many(self, items, *, now):
        return super().add_many(items[:1], now=now) + super().add_many(items[1:][::-1], now=now)[::-1]


class Empty(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return {tier: [] for tier in super().recall(query, now, k, tiers, ticker, where)}


class MissesTheLast(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return (
            super().recall(query, now, k, tiers, ticker, where) if len(self) > 1 else {t: [] for t in TIERS}
        )


class AnyTicker(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return super().recall(query, now, k, tiers, None, where)


class AllTiers(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return {
            tier: hits for tier, hits in super().recall(query, now, k, tiers, ticker, where).items() if hits
        }


class FiltersAfterTheCut(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        wanted = check_where(where)
        found = super().recall(query, now, k, tiers, ticker)
        return {
            tier: [hit for hit in hits if passes(hit.record.metadata, wanted)] for tier, hits in found.items()
        }


class OneLabelEach(FlatWindow):
    def recall_labelled(self, queries, now, k, tiers=None, ticker=None):
        found = super().recall_labelled(queries, now, k, tiers, ticker)
        return {tier: [hit._replace(labels=hit.labels[:1]) for hit in hits] for tier, hits in found.items()}


class TakesNoQuestion(FlatWindow):
    def recall_labelled(self, queries, now, k, tiers=None, ticker=None):
        return super().recall_labelled(queries, now, k, tiers, ticker) if queries else {}


class WrongDrawer(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        found = super().recall(query, now, k, tiers, ticker, where)
        return {tier: [hit._replace(tier="short") for hit in hits] for tier, hits in found.items()}


class WorstFirst(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return {
            tier: hits[::-1] for tier, hits in super().recall(query, now, k, tiers, ticker, where).items()
        }


class Embellishes(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        def better(hit):
            return hit._replace(record=replace(hit.record, metadata={**hit.record.metadata, "paid": 1}))

        found = super().recall(query, now, k, tiers, ticker, where)
        return {tier: [better(hit) for hit in hits] for tier, hits in found.items()}


class TakesAnyQuestion(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return super().recall(query, now, max(k, 1), tiers, ticker, where)


class TakesEmptyQueries(FlatWindow):
    def recall(self, query, now, k, tiers=None, ticker=None, where=None):
        return super().recall(query or "all", now, k, tiers, ticker, where) if query.strip() else {}


class TakesAnyCredit(FlatWindow):
    def credit(self, ids, reward, at, *, share=1.0):
        return super().credit([], reward, at, share=share)


class TakesAnyShare(FlatWindow):
    def credit(self, ids, reward, at, *, share=1.0):
        return super().credit(ids, reward, at)


class GetsAnother(FlatWindow):
    def get(self, memory_id):
        super().get(memory_id)
        return super().get("f000001")


class GetsAnything(FlatWindow):
    def get(self, memory_id):
        return self._records.get(memory_id)

    def credit(self, ids, reward, at, *, share=1.0):
        wanted = list(ids)
        if any(one not in self._records for one in wanted):
            raise UsageError("unknown id")
        return super().credit(wanted, reward, at, share=share)


class CountsTooMany(FlatWindow):
    def __len__(self):
        return 10_000


class ClosesOnce(FlatWindow):
    def close(self):
        if self.name == "closed":
            raise IntegrityError("closed already")
        self.name = "closed"


class StoresHalf(FlatWindow):
    def add_many(self, items, *, now):
        return [one for item in items for one in super(StoresHalf, self).add_many([item], now=now)]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (LooksAhead, "before it could be read"),
        (LooksAMomentAhead, "came back for the only item"),
        (FuturePushesOut, "other items that cannot be read yet"),
        (CountsTheFuture, "other items that cannot be read yet"),
        (OneTooMany, "k was 1"),
        (KeepsCopies, "came back twice"),
        (SameTwice, "came back twice"),
        (OneIdForAll, "two different texts"),
        (ForgetsIds, "4 items got 1 ids"),
        (Shuffles, "two equal memories"),
        (TiresOfQuestions, "the same question got another answer"),
        (HangsOnTheProcess, "two equal memories"),
        (HangsOnTheBatch, "one batch and one by one"),
        (Empty, "nothing is recalled"),
        (MissesTheLast, "came back for the only item"),
        (AnyTicker, "about AAA came back for BBB"),
        (FiltersAfterTheCut, "than the first with {'horizon': 'short'}"),
        (OneLabelEach, "than each found alone"),
        (TakesNoQuestion, "it took no labelled query"),
        (AllTiers, "were asked for"),
        (WrongDrawer, "and says short"),
        (WorstFirst, "best first"),
        (Embellishes, "other than it was stored"),
        (TakesAnyQuestion, "it took k of 0"),
        (TakesEmptyQueries, "it took an empty query"),
        (TakesAnyCredit, "it took credit to an unknown id"),
        (TakesAnyShare, "it took a share of 0"),
        (GetsAnother, "gave the record of 'f000001'"),
        (GetsAnything, "it took an unknown id to get"),
        (CountsTooMany, "it says that it holds 10000"),
        (ClosesOnce, "closing it twice"),
        (StoresHalf, "a part of it stored"),
    ],
)
def test_a_broken_memory_is_caught(broken, said):
    with pytest.raises(IntegrityError, match=f"memory '{broken.__name__}' breaks the contract.*{said}"):
        check_memory(broken)


def test_a_replay_that_lost_something_is_caught():
    config, embedder = MemoryConfig.build(), HashingEmbedder()

    def forgetful(events):
        kept = [event for event in events if event.kind != "credited"]
        return LayeredMemory.replay(kept, config, embedder)

    with pytest.raises(IntegrityError, match="a memory and its replay"):
        check_memory(lambda: LayeredMemory(config, embedder), replay=forgetful)


def test_the_window_is_the_last_items_that_could_be_read():
    window = FlatWindow(3)
    items = [NewMemory(f"news {n}", "short", "AAA", day(n), day(n), "news") for n in range(6)]
    ids = window.add_many([*items, replace(items[1], text=" NEWS 1")], now=day(0))
    assert len(window) == 6
    assert ids[6] == ids[1]
    at_4 = window.recall("anything", day(4), 5)
    assert [hit.text for hit in at_4["short"]] == ["news 4", "news 3", "news 2"]
    assert at_4["mid"] == []
    assert [hit.score for hit in at_4["short"]] == [1, 1 / 2, 1 / 3]
    assert [hit.text for hit in window.recall("x", day(9), 1, "short")["short"]] == ["news 5"]
    assert window.recall("x", day(9), 3, ticker="BBB")["short"] == []
    assert window.credit(ids, 1.0, day(9)) == window.close_session(day(9))[:2] == ((), ())
    with pytest.raises(UsageError, match="k is 0"):
        FlatWindow(0)
