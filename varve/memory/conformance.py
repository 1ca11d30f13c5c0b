"""Conformance of a memory: what an agent may rely on whichever memory it has.

:func:`check_memory` lets a memory live through some weeks of made-up news, with copies, items of other
tickers and items that cannot be read yet, and raises at the first thing that does not hold.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from varve.errors import IntegrityError, UsageError
from varve.memory.labels import LabelledQuery, merged
from varve.memory.protocol import Memory
from varve.memory.state.config import TIERS
from varve.memory.state.records import NewMemory, Recalled, text_key
from varve.memory.state.validation import check_where, passes
from varve.types import MemoryEvent

Factory = Callable[[], Memory]
Replay = Callable[[Sequence[MemoryEvent]], Memory]
Answer = dict[str, list[Recalled]]

DAYS, ITEMS_A_DAY, SEED = 30, 4, 20210104
_START = datetime(2021, 1, 4, 14, 30, tzinfo=UTC)
_TICKERS = ("AAA", "BBB", None)
_HORIZONS = ("short", "medium", "long")
_CUTS = (4, 15, 26)
_SLACK = 1e-3
"""Scores nearer than this count as equal when it is checked that the best comes first."""


class _Day(NamedTuple):
    now: datetime
    items: tuple[NewMemory, ...]
    query: str


def check_memory(factory: Factory, *, replay: Replay | None = None) -> None:
    """Raise unless the memories that ``factory`` makes hold the contract.

    Checked: nothing is recalled before it could be read, and what cannot be read yet changes no answer;
    at most ``k`` come back, of the tiers and the ticker asked for, best first, no text and no id twice; a
    filter by metadata counts before the cut to ``k``; labelled questions find what each finds alone;
    what is stored is found; ids are unique, records stay as they were stored; equal memories
    answer equally, asking changes nothing, nor does the batching of what is stored; input that cannot
    be used is refused with a :class:`~varve.errors.UsageError` and leaves nothing behind; what is recalled
    can be got by its id, credit comes in shares, and closing twice does no harm.

    Args:
        factory: makes a fresh, empty memory whose importance nobody has to judge.
        replay: makes a memory from events; those in ``memory.trace`` must then give an equal one.

    Raises:
        IntegrityError: naming the memory, the day and what does not hold.
    """
    days = _days()
    lived = _Life(factory())
    answers = lived.live(days)
    again = _Life(factory())
    _compare(lived, "two equal memories", answers, again.live(days))
    singly = _Life(factory(), singly=True).live(days)
    _compare(lived, "storing in one batch and one by one", _by_id(answers), _by_id(singly))
    for cut in _CUTS:
        now = days[cut].now
        other = [day._replace(items=tuple(_otherwise(item, now) for item in day.items)) for day in days]
        changed = _Life(factory()).live(other[: cut + 1])[-1]
        _compare(lived, "other items that cannot be read yet", [_texts(answers[cut])], [_texts(changed)])
    _check_first(factory, days[0])
    _check_refusals(factory)
    for day in (days[DAYS // 2], days[-1]):
        _check_filters(lived, day)
    _check_close(factory, days[0])
    if replay is not None:
        events = tuple(lived.memory.trace.memory_events)  # type: ignore[attr-defined]
        rebuilt = replay(events)
        for day in (days[-1], days[DAYS // 2]):
            one, other_answer = (lived.ask(memory, day) for memory in (lived.memory, rebuilt))
            _compare(lived, "a memory and its replay", one, other_answer)


class _Life:
    """One memory living through the days, every answer checked."""

    def __init__(self, memory: Memory, *, singly: bool = False) -> None:
        self.memory, self.singly = memory, singly
        self.name = type(memory).__name__
        self.stored: dict[str, list[NewMemory]] = {}
        self.readable: dict[str, datetime] = {}

    def live(self, days: Sequence[_Day]) -> list[list[Answer]]:
        """The answers of each day."""
        told = []
        for number, day in enumerate(days):
            batches = [[item] for item in day.items] if self.singly else [list(day.items)]
            ids = [one for batch in batches for one in self.memory.add_many(batch, now=day.now)]
            self.note(day, ids)
            answers = self.ask(self.memory, day)
            if self.ask(self.memory, day) != answers:
                raise self.broken(day.now, "the same question got another answer")
            told.append(answers)
            shown = [hit.id for hits in answers[0].values() for hit in hits]
            if not shown:
                raise self.broken(day.now, "nothing is recalled of all that can be read")
            self.memory.credit(shown[:3], 1.0 if number % 3 else -1.0, day.now, share=1.0 / (1 + number % 2))
            self.check_held(day.now, shown)
            self.memory.close_session(day.now)
        return told

    def check_held(self, now: datetime, shown: Sequence[str]) -> None:
        """What was recalled is held, under its id; there are as many memories as texts at most."""
        for one in shown:
            if self.memory.get(one).id != one:
                raise self.broken(now, f"get({one!r}) gave the record of {self.memory.get(one).id!r}")
        if not 0 < len(self.memory) <= len(self.stored):
            raise self.broken(now, f"it says that it holds {len(self.memory)} of {len(self.stored)} texts")

    def note(self, day: _Day, ids: Sequence[str]) -> None:
        """Which id stands for what."""
        if len(ids) != len(day.items):
            raise self.broken(day.now, f"{len(day.items)} items got {len(ids)} ids")
        for item, one in zip(day.items, ids, strict=True):
            key = text_key(item.text, item.ticker)
            copies = self.stored.setdefault(one, [])
            if any(text_key(copy.text, copy.ticker) != key for copy in copies):
                raise self.broken(day.now, f"id {one!r} was given to two different texts")
            copies.append(item)
            self.readable[key] = min(self.readable.get(key, item.available_at), item.available_at)

    def ask(self, memory: Memory, day: _Day) -> list[Answer]:
        """Some questions, each answer checked; what was readable in the past is asked for too."""
        earlier = day.now - timedelta(days=6)
        return [
            self.asked(memory, day.query, now, k, tiers, ticker)
            for now, k, tiers, ticker in (
                (day.now, 5, None, None),
                (day.now, 1, None, "AAA"),
                (day.now, 3, ("short", "long"), "BBB"),
                (day.now, 10_000, None, "no such ticker"),
                (earlier, 10_000, None, None),
            )
        ]

    def asked(
        self,
        memory: Memory,
        query: str,
        now: datetime,
        k: int,
        tiers: tuple[str, ...] | None,
        ticker: str | None,
    ) -> Answer:
        found = memory.recall(query, now, k, tiers, ticker)
        if set(found) != set(tiers or TIERS):
            raise self.broken(now, f"tiers {tiers or TIERS} were asked for, {tuple(found)} came")
        for tier, hits in found.items():
            if len(hits) > k:
                raise self.broken(now, f"{len(hits)} memories of tier {tier} came back, k was {k}")
            if any(one.score < two.score - _SLACK for one, two in itertools.pairwise(hits)):
                raise self.broken(now, f"the memories of tier {tier} do not come best first")
        every = [(tier, hit) for tier, hits in found.items() for hit in hits]
        for tier, hit in every:
            self.check_hit(now, hit, tier, ticker)
        for what in (
            [hit.id for _, hit in every],
            [text_key(hit.text, hit.record.ticker) for _, hit in every],
        ):
            if len(set(what)) < len(what):
                raise self.broken(now, "a memory came back twice")
        return found

    def check_hit(self, now: datetime, hit: Recalled, tier: str, ticker: str | None) -> None:
        """One recalled memory: as it was stored, readable, and what was asked for."""
        record = hit.record
        asked = (record.text, record.ticker, record.tier, record.kind, record.event_time, record.available_at)
        given = [
            (item.text, item.ticker, item.tier, item.kind, item.event_time, item.available_at)
            for item in self.stored.get(hit.id, ())
        ]
        if asked not in given or dict(record.metadata) not in [
            dict(item.metadata) for item in self.stored[hit.id]
        ]:
            raise self.broken(now, f"{hit.id!r} came back other than it was stored")
        if self.readable[text_key(record.text, record.ticker)] > now:
            raise self.broken(now, f"{hit.id!r} was recalled before it could be read")
        if ticker is not None and record.ticker not in (ticker, None):
            raise self.broken(now, f"{hit.id!r} about {record.ticker} came back for {ticker}")
        if hit.tier != tier:
            raise self.broken(now, f"{hit.id!r} came back under tier {tier} and says {hit.tier}")

    def broken(self, at: datetime | str, wrong: str) -> IntegrityError:
        when = at if isinstance(at, str) else f"on {at:%Y-%m-%d}"
        return IntegrityError(
            f"memory {self.name!r} breaks the contract {when}: {wrong}",
            mend="see varve.memory.protocol.Memory for what a memory must hold",
        )


def _check_filters(life: _Life, day: _Day) -> None:
    """Questions by label, with a filter by metadata each, beside all that there is."""
    memory = life.memory
    for ticker in ("AAA", None):
        everything = memory.recall(day.query, day.now, 10_000, None, ticker)
        queries = [LabelledQuery(horizon, day.query, {"horizon": horizon}) for horizon in _HORIZONS]
        queries.append(LabelledQuery("any", day.query))
        alone = {}
        for label, query, where in queries:
            alone[label] = memory.recall(query, day.now, 2, None, ticker, where)
            wanted = check_where(where)
            for tier, hits in everything.items():
                best = [hit.id for hit in hits if passes(hit.record.metadata, wanted)][:2]
                if [hit.id for hit in alone[label].get(tier, ())] != best:
                    raise life.broken(
                        day.now, f"of tier {tier} other memories came back than the first with {where}"
                    )
        if memory.recall_labelled(queries, day.now, 2, None, ticker) != merged(alone):
            raise life.broken(day.now, "labelled questions found other memories than each found alone")


def _days() -> list[_Day]:
    """Made-up news: each fifth item is a copy, each sixth can be read only days later."""
    draw = random.Random(SEED)
    days, known = list[_Day](), list[NewMemory]()
    for number in range(DAYS):
        now = _START + timedelta(days=number)
        items = []
        for place in range(ITEMS_A_DAY):
            count = number * ITEMS_A_DAY + place
            ticker, tier = draw.choice(_TICKERS), draw.choice(TIERS)
            text = f"{ticker or 'The market'} {draw.choice(_DID)} {draw.choice(_WHAT)}, note {count}"
            late = timedelta(days=draw.randint(1, 9)) if count % 6 == 5 else timedelta(0)
            if count % 5 == 4:
                copied = draw.choice([one for one in known if one.available_at <= now])
                text, ticker, tier = f"  {copied.text.upper()}\n", copied.ticker, copied.tier
            at = now - timedelta(hours=draw.randint(0, 20)) + late
            item = NewMemory(
                text, tier, ticker, at, at, "news", {"count": count, "horizon": _HORIZONS[count % 3]}
            )
            items.append(item)
            known.append(item)
        days.append(_Day(now, tuple(items), f"{draw.choice(_DID)} {draw.choice(_WHAT)}"))
    return days


_DID = ("raises", "cuts", "confirms", "delays", "sells", "buys back")
_WHAT = ("its outlook", "a factory", "the dividend", "ten thousand jobs", "its bonds", "a rival")


def _otherwise(item: NewMemory, now: datetime) -> NewMemory:
    return replace(item, text=f"{item.text} otherwise") if item.available_at > now else item


def _check_first(factory: Factory, day: _Day) -> None:
    """A memory that holds one item finds it from when it can be read, and not before."""
    life = _Life(factory())
    item = day.items[0]
    ids = life.memory.add_many([item], now=day.now)
    for now, expected in ((item.available_at, ids), (item.available_at - timedelta(microseconds=1), [])):
        found = life.memory.recall(day.query, now, 1, item.tier, item.ticker)
        if [hit.id for hit in found.get(item.tier, [])] != expected:
            raise life.broken(f"at {now}", f"{found} came back for the only item, expected {expected}")


def _check_close(factory: Factory, day: _Day) -> None:
    """A memory can be closed, and closed again, with what it holds and with nothing."""
    for items in (list(day.items), []):
        life = _Life(factory())
        life.memory.add_many(items, now=day.now)
        life.memory.close()
        try:
            life.memory.close()
        except Exception as error:
            raise life.broken("at its end", f"closing it twice raised {error!r}") from error


@dataclass(frozen=True)
class _Refusal:
    """Something that a memory must not take."""

    what: str
    act: Callable[[Memory, NewMemory, datetime], object]


_REFUSALS = (
    _Refusal("k of 0", lambda memory, item, now: memory.recall("news", now, 0)),
    _Refusal("an empty query", lambda memory, item, now: memory.recall(" ", now, 1)),
    _Refusal("an unknown tier", lambda memory, item, now: memory.recall("news", now, 1, ("middle",))),
    _Refusal(
        "a time without zone", lambda memory, item, now: memory.recall("news", now.replace(tzinfo=None), 1)
    ),
    _Refusal(
        "a filter that is no table",
        lambda memory, item, now: memory.recall("news", now, 1, where="short"),  # type: ignore[arg-type]
    ),
    _Refusal("no labelled query", lambda memory, item, now: memory.recall_labelled([], now, 1)),
    _Refusal(
        "a label given twice",
        lambda memory, item, now: memory.recall_labelled([LabelledQuery("short", "news")] * 2, now, 1),
    ),
    _Refusal("credit to an unknown id", lambda memory, item, now: memory.credit(["no such id"], 1.0, now)),
    _Refusal("a share of 0", lambda memory, item, now: memory.credit([], 1.0, now, share=0.0)),
    _Refusal("an unknown id to get", lambda memory, item, now: memory.get("no such id")),
    _Refusal("a reward of NaN", lambda memory, item, now: memory.credit([], float("nan"), now)),
    _Refusal(
        "an empty text",
        lambda memory, item, now: memory.add_many([item, replace(item, text=" ")], now=now),
    ),
    _Refusal(
        "an item of an unknown tier",
        lambda memory, item, now: memory.add_many([item, replace(item, tier="middle")], now=now),
    ),
    _Refusal(
        "an item without zone",
        lambda memory, item, now: memory.add_many(
            [item, replace(item, available_at=now.replace(tzinfo=None))], now=now
        ),
    ),
)


def _check_refusals(factory: Factory) -> None:
    item = NewMemory("AAA raises its outlook", "short", "AAA", _START, _START, "news")
    for refusal in _REFUSALS:
        life = _Life(factory())
        try:
            refusal.act(life.memory, item, _START)
        except UsageError:
            pass
        else:
            raise life.broken("on bad input", f"it took {refusal.what}, a UsageError expected")
        if any(life.memory.recall("outlook", _START, 5).values()):
            raise life.broken("on bad input", f"{refusal.what} was refused, and a part of it stored")


def _by_id(answers: Sequence[Sequence[Answer]]) -> list[list[dict[str, list[str]]]]:
    return [
        [{tier: [hit.id for hit in hits] for tier, hits in answer.items()} for answer in of_day]
        for of_day in answers
    ]


def _texts(answers: Sequence[Answer]) -> list[dict[str, list[tuple[str, float]]]]:
    return [
        {tier: [(hit.text, hit.score) for hit in hits] for tier, hits in answer.items()} for answer in answers
    ]


def _compare(life: _Life, between: str, one: Sequence[object], other: Sequence[object]) -> None:
    for number, (first, second) in enumerate(zip(one, other, strict=True)):
        if first != second:
            raise life.broken(f"at answer {number}", f"answers differ between {between}")
