"""Layered memory: four tiers with their own clocks, exact recall, credit, and a log of every change.

FinMem's memory (Yu et al. 2023, arXiv 2311.13743, section 3.2) with the defects of its released code
mended; ``docs/memory.md`` lists each. Every change is an event first and is applied from it, so the
events of a run rebuild its memory exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from varve.clock import from_ns, iso, to_utc
from varve.errors import UsageError, VarveError
from varve.memory.checks import (
    check_instant,
    check_metadata,
    check_number,
    check_text,
    check_tiers,
)
from varve.memory.columns import Vector
from varve.memory.config import LADDER, MemoryConfig
from varve.memory.disk import DiskCopy
from varve.memory.embedders import Embedder, Vectors, checked_vectors
from varve.memory.reader import MemoryReader
from varve.memory.records import (
    CreditReport,
    NewMemory,
    SessionReport,
    normalised,
    text_key,
)
from varve.memory.state import Entry, id_of, own_changes
from varve.types import MemoryEvent, Trace


class LayeredMemory(MemoryReader):
    """What one agent remembers in one run.

    Args:
        config: a preset with any constant changed.
        embedder: turns texts into vectors; its fingerprint is stored with the memory.
        seed: of drawn importance; the draw follows from seed and content, not from order.
        trace: takes an event for every change and every recall.
        folder: of chromadb's files; None keeps the memory in this process only.
        run_id: names the run in the store; never enters a result.
        name: names the memory within the run.
    """

    def __init__(
        self,
        config: MemoryConfig,
        embedder: Embedder,
        *,
        seed: int = 0,
        trace: Trace | None = None,
        folder: Path | None = None,
        run_id: str = "run",
        name: str = "finmem",
    ) -> None:
        super().__init__(config, embedder, trace if trace is not None else Trace(), name)
        self.seed, self.run_id = seed, run_id
        self._disk: DiskCopy | None = None
        if folder is not None:
            self._disk = DiskCopy(folder, run_id, name, config, embedder)

    # -- storing ------------------------------------------------------------------------------

    def add(
        self,
        text: str,
        *,
        tier: str,
        ticker: str | None,
        event_time: datetime,
        available_at: datetime,
        now: datetime,
        kind: str,
        metadata: Mapping[str, Any] | None = None,
        importance: float | None = None,
        links: Sequence[str] = (),
        scope: str | None = None,
        vector: Vector | None = None,
    ) -> str:
        """Store a text; the id of its memory.

        A text that is there already (same ticker, same text up to white space, case and Unicode
        form) is merged: the id of the stored memory is given back, it counts as readable from the
        earlier of both times, its age does not start anew, and the links are kept with it.

        Args:
            text: what is remembered.
            tier: ``short``, ``mid``, ``long`` or ``reflection``.
            ticker: what it is about; None for what concerns every ticker.
            event_time: when it happened, UTC.
            available_at: from when a trader could have read it, UTC; recall obeys it.
            now: the present instant, UTC.
            kind: what it is: ``news``, ``10-Q``, ``rationale``, ``outcome`` ...
            metadata: anything that JSON can hold.
            importance: points from 0 to 100; given when, and only when, the setting is ``judged``.
            links: ids of memories that it follows from.
            scope: for the caller; ``instrument`` or ``market`` by the ticker when not given.
            vector: the embedder's vector of ``text``, where the caller has it already.

        Raises:
            UsageError: for text, times, tier, importance or links that cannot be used.
            DataError: for a vector of another shape or with NaN in it.
        """
        when = (event_time, available_at)
        item = NewMemory(text, tier, ticker, *when, kind, metadata or {}, importance, tuple(links), scope)
        vectors = None if vector is None else np.asarray(vector, np.float32)[None]
        return self.add_many([item], now=now, vectors=vectors)[0]

    def add_many(
        self, items: Sequence[NewMemory], *, now: datetime, vectors: Vectors | None = None
    ) -> list[str]:
        """Store several texts, all or none, embedded in one batch; their ids in order.

        ``vectors``: shape (len(items), dimension), what the embedder gives for the texts.

        Raises:
            UsageError, DataError: as :meth:`add`.
        """
        check_instant("now", now)
        moment = to_utc(now)
        prepared = [self._prepared(item) for item in items]
        keys = [text_key(item.text, item.ticker) for item in items]
        first: dict[str, int] = {}
        for index, key in enumerate(keys):
            if key not in self._state.by_key:
                first.setdefault(key, index)
        if vectors is None:
            made = self._vectors_of([items[index].text for index in first.values()])
        else:
            made = checked_vectors(vectors, len(items), self.embedder.dimension, "the caller")
            made = made[list(first.values())]
        place = {index: row for row, index in enumerate(first.values())}
        ids = []
        for index, (key, data) in enumerate(zip(keys, prepared, strict=True)):
            known = self._state.by_key.get(key)
            if known is None:
                known = id_of(self._state.next_number)
                self._do(MemoryEvent("added", known, moment, data), made[place[index]])
            else:
                names = ("tier", "kind", "event_time", "available_at", "metadata", "links")
                self._do(MemoryEvent("merged", known, moment, {part: data[part] for part in names}))
            ids.append(known)
        return ids

    def _prepared(self, item: NewMemory) -> dict[str, Any]:
        check_text("the text of a memory", item.text, self.config.max_text_chars)
        check_tiers(item.tier)
        for name in ("event_time", "available_at"):
            check_instant(name, getattr(item, name))
        if item.ticker is not None:
            check_text("ticker", item.ticker, 100)
        for link in item.links:
            self._live_or_purged(link)
        return {
            "tier": item.tier,
            "ticker": item.ticker,
            "scope": item.scope or ("market" if item.ticker is None else "instrument"),
            "kind": check_text("kind", item.kind, 100),
            "text": item.text,
            "event_time": iso(item.event_time),
            "available_at": iso(item.available_at),
            "importance": self._first_importance(item),
            "metadata": check_metadata(item.metadata),
            "links": list(item.links),
        }

    def _first_importance(self, item: NewMemory) -> float:
        how, tier = self.config.importance, self.config.tier(item.tier)
        if how == "judged":
            given = check_number("importance", item.importance)
            if not 0 <= given <= 100:
                raise UsageError(f"importance is {given:g}, expected 0 to 100 points", mend="judge it anew")
            return given
        if item.importance is not None:
            raise UsageError(
                f"importance {item.importance!r} was given, but this memory's importance is {how}",
                mend="set the memory's importance to 'judged', or give none",
            )
        if how == "constant":
            return tier.importance_constant
        return tier.drawn(f"{self.seed}\n{item.tier}\n{item.ticker}\n{normalised(item.text)}")

    # -- credit -------------------------------------------------------------------------------

    def credit(self, ids: Iterable[str], reward: float, at: datetime, *, share: float = 1.0) -> CreditReport:
        """Give each memory one credit where ``reward`` is above 0, one debit below; 0 changes nothing.

        Only the sign of ``reward`` counts. ``share`` makes parts of it, above 0 up to 1, where those
        that were shown have to share one credit.

        An id given twice counts once. Promoted memories are credited wherever they live now. A
        memory that was purged meanwhile is reported as missed, and noted as such.

        Raises:
            UsageError: for an id that was never given out (nothing is credited then), a reward that
                is no finite number, or a share that is no share.
        """
        check_instant("at", at)
        reward, share = check_number("reward", reward), check_number("share", share)
        if not 0 < share <= 1:
            raise UsageError(
                f"share is {share:g}, expected above 0 and up to 1", mend="give each its part of 1"
            )
        amount = share * ((reward > 0) - (reward < 0))
        wanted = list(dict.fromkeys(ids))
        for memory_id in wanted:
            self._live_or_purged(memory_id)
        if amount == 0.0:
            return CreditReport((), ())
        credited, missed = [], []
        for memory_id in wanted:
            entry = self._state.entries.get(memory_id)
            if entry is None:
                missed.append(memory_id)
                self._do(MemoryEvent("credit_missed", memory_id, to_utc(at), {"amount": amount}))
                continue
            credited.append(memory_id)
            data = {"amount": amount, "importance": self._credited_importance(entry, amount, at)}
            self._do(MemoryEvent("credited", memory_id, to_utc(at), data))
        return CreditReport(tuple(credited), tuple(missed))

    def _credited_importance(self, entry: Entry, amount: float, at: datetime) -> float:
        config = self.config
        times = amount
        if config.credit_cumulative:
            run = (entry.net_credits + amount) * (1 if amount > 0 else -1)
            times *= max(1.0, run)
        value = self._state.importance(entry, check_instant("at", at)) + config.credit_points * times
        if config.importance_min is not None:
            value = max(value, config.importance_min)
        return value if config.importance_max is None else min(value, config.importance_max)

    def close_session(self, now: datetime) -> SessionReport:
        """End a session: move what was credited since the last close, purge what is due, maybe write.

        Costs the same however much is stored, apart from one comparison per memory for the purge.

        Raises:
            StorageError: if this session writes to disk and that fails; the memory itself is whole.
        """
        now_ns = check_instant("now", now)
        moment = from_ns(now_ns)
        promoted: list[str] = []
        demoted: list[str] = []
        for memory_id in list(self._state.touched):
            event = self._jump(memory_id, now_ns)
            if event is not None:
                (promoted if event.kind == "promoted" else demoted).append(memory_id)
                self._do(event)
        purges = list(self._state.events_of_purge(now_ns))
        for event in purges:
            self._do(event)
        self._do(MemoryEvent("closed", "", moment, {}))
        if self._disk is not None and self._state.sessions % self.config.flush_every_sessions == 0:
            self.flush()
        return SessionReport(tuple(promoted), tuple(demoted), tuple(event.memory_id for event in purges))

    def _jump(self, memory_id: str, now_ns: int) -> MemoryEvent | None:
        """The move that a credited memory has earned, one tier at a time, if any."""
        entry, config = self._state.entries[memory_id], self.config
        if entry.tier not in LADDER:
            return None
        settings, place = config.tier(entry.tier), LADDER.index(entry.tier)
        importance = self._state.importance(entry, now_ns)
        rises = (
            settings.promote_at is not None
            and place + 1 < len(LADDER)
            and importance >= settings.promote_at
            and entry.tier_credits >= config.credits_to_promote
        )
        sinks = (
            place > 0
            and entry.tier_credits <= -config.credits_to_demote
            and (settings.demote_below is None or importance < settings.demote_below)
        )
        if not rises and not sinks:
            return None
        kind, place = ("promoted", place + 1) if rises else ("demoted", place - 1)
        data = {"from": entry.tier, "to": LADDER[place], "importance": importance}
        return MemoryEvent(kind, memory_id, from_ns(now_ns), data)

    # -- disk and journal ---------------------------------------------------------------------

    def flush(self) -> None:
        """Write what changed since the last write, in one batch; nothing to do without a folder.

        Raises:
            StorageError: if the folder cannot be written; a later flush tries again.
        """
        if self._disk is not None:
            self._disk.flush(self._state)

    def close(self) -> None:
        """Write what is held back and give the disk back; a second call does nothing.

        Raises:
            StorageError: as :meth:`flush`.
        """
        if self._disk is not None:
            self.flush()
            self._disk.close()
            self._disk = None

    @classmethod
    def replay(
        cls, events: Iterable[MemoryEvent], config: MemoryConfig, embedder: Embedder, **rest: Any
    ) -> Self:
        """The memory that wrote ``events``, rebuilt from them alone.

        ``rest`` as in the constructor; events of memories with another ``name`` are passed over. With
        a folder, what is stored there under this run and name is replaced at the next flush. The
        trace receives nothing of the past.

        Raises:
            IntegrityError: if the events do not fit together.
        """
        memory = cls(config, embedder, **rest)
        memory._redo(own_changes(events, memory.name))
        if memory._disk is not None:
            memory._disk.replace_all(memory._state)
        return memory

    @classmethod
    def resume(
        cls, events: Iterable[MemoryEvent], config: MemoryConfig, embedder: Embedder, **rest: Any
    ) -> Self:
        """The memory that wrote ``events``, from the store where that agrees with them.

        The events are the truth: the store is read, checked against them, and caught up; where it
        differs, is damaged or was cut short, the memory is rebuilt by :meth:`replay`.

        Raises:
            IntegrityError: if the events do not fit together, or the store was made with other settings
                or another embedder.
        """
        memory = cls(config, embedder, **rest)
        history = own_changes(events, memory.name)
        try:
            done = memory._disk.load(memory._state, history) if memory._disk is not None else None
        except VarveError:
            memory.abandon()
            raise
        if done is None:
            memory.abandon()
            return cls.replay(history, config, embedder, **rest)
        memory._redo(history[done:])
        return memory

    @classmethod
    def load(cls, config: MemoryConfig, embedder: Embedder, **rest: Any) -> Self:
        """The memory as it was last written to its folder, without any journal.

        Raises:
            NoDataError: if nothing is stored under this run and name.
            IntegrityError: if the last write was cut short, or other settings or another embedder
                made it.
            StorageError: if the folder cannot be read.
        """
        memory = cls(config, embedder, **rest)
        if memory._disk is None:
            raise UsageError("a memory without a folder has nothing to load", mend="give folder=")
        try:
            memory._disk.load_all(memory._state)
        except VarveError:
            memory.abandon()
            raise
        return memory

    def abandon(self) -> None:
        """Give the disk back without writing; what was not flushed is in the events alone."""
        if self._disk is not None:
            self._disk.close()
            self._disk = None

    def _redo(self, history: Sequence[MemoryEvent]) -> None:
        texts = [event.data["text"] for event in history if event.kind == "added"]
        made = iter(self._vectors_of(texts))
        for event in history:
            vector = next(made) if event.kind == "added" else None
            self._state.apply(event, vector)
            if self._disk is not None:
                self._disk.note(event)

    def _vectors_of(self, texts: Sequence[str]) -> Vectors:
        dimension = self.embedder.dimension
        if not texts:
            return np.zeros((0, dimension), np.float32)
        return checked_vectors(self.embedder.embed(texts), len(texts), dimension, "the embedder")

    def _do(self, event: MemoryEvent, vector: Vector | None = None) -> None:
        event = MemoryEvent(event.kind, event.memory_id, event.at, {"memory": self.name, **event.data})
        self._state.apply(event, vector)
        self.trace.memory_events.append(event)
        if self._disk is not None:
            self._disk.note(event)
