"""Layered memory: four tiers with their own clocks, exact recall, credit, and a log of every change.

FinMem's memory (Yu et al. 2023, arXiv 2311.13743, section 3.2) with the defects of its released code
mended; ``docs/memory.md`` lists each. Every change is an event first and is applied from it, so the
events of a run rebuild its memory exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

import numpy as np

from varve.clock import from_ns, iso, to_utc
from varve.errors import UsageError
from varve.memory.embed.base import Vectors, checked_vectors
from varve.memory.event_log import MemoryKeeper
from varve.memory.protocol import Opening
from varve.memory.state.columns import Vector
from varve.memory.state.config import LADDER, MemoryConfig
from varve.memory.state.records import CreditReport, NewMemory, SessionReport, normalised, text_key
from varve.memory.state.tiers import Entry, id_of
from varve.memory.state.validation import (
    check_instant,
    check_metadata,
    check_number,
    check_share,
    check_text,
    check_tiers,
)
from varve.types import EventData, Json, JsonObject


class LayeredMemory(MemoryKeeper):
    """What one agent remembers in one run.

    Args:
        config: a preset with any constant changed.
        embedder: turns texts into vectors; its fingerprint is stored with the memory.
        seed: of drawn importance; the draw follows from seed and content, not from order.
        trace: takes an event for every change and every recall.
        folder: of chromadb's files; None keeps the memory in this process only.
        run_id: names the run in the store; never enters a result.
        name: names the memory within the run.
        snapshot: what it begins with; nothing when None.
        judge: gives new texts their importance where the setting is ``judged``, each one once; None from
            it gives the constant, and the ``added`` event says ``unjudged``. Without a judge callers do.
        rules: see :data:`varve.types.RULES`.

    Raises:
        UsageError: if the snapshot has no memory of that name, or another embedder made it.
    """

    Config: ClassVar[type[MemoryConfig]] = MemoryConfig

    @classmethod
    def open(cls, opening: Opening) -> LayeredMemory:
        """Open a memory of a run; see :class:`varve.memory.protocol.MemoryKind`."""
        assert isinstance(opening.settings, MemoryConfig)
        return cls(
            opening.settings,
            opening.embedder,
            seed=opening.seed,
            trace=opening.trace,
            folder=opening.folder,
            run_id=opening.run_id,
            name=opening.name,
            snapshot=opening.snapshot,
            judge=opening.judge,
            rules=opening.rules,
        )

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
        metadata: Mapping[str, Json] | None = None,
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
            importance: points from 0 to 100, where the setting is ``judged`` and the memory has no judge.
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
        for index in first.values():
            prepared[index] |= self._judged(items[index])
        place = {index: row for row, index in enumerate(first.values())}
        ids = []
        for index, (key, data) in enumerate(zip(keys, prepared, strict=True)):
            known = self._state.by_key.get(key)
            if known is None:
                known = id_of(self._state.next_number)
                self._do("added", known, moment, data, made[place[index]])
            else:
                names = ("tier", "kind", "event_time", "available_at", "metadata", "links")
                self._do("merged", known, moment, {part: data[part] for part in names})
            ids.append(known)
        return ids

    def _prepared(self, item: NewMemory) -> JsonObject:
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
        if self._is_for_judge(item):
            return tier.importance_constant  # until it is judged
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

    def _is_for_judge(self, item: NewMemory) -> bool:
        judged = self.config.importance == "judged" and self._judge is not None
        return judged and item.importance is None

    def _judged(self, item: NewMemory) -> JsonObject:
        """What the judge says of a text that is new; nothing where it is not asked."""
        if self._judge is None or not self._is_for_judge(item):
            return {}
        points = self._judge(item)
        if points is None:
            return {"unjudged": True}
        return {"importance": self._first_importance(replace(item, importance=points))}

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
        at_ns, moment = check_instant("at", at), to_utc(at)
        reward, share = check_number("reward", reward), check_share(share)
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
                self._do("credit_missed", memory_id, moment, {"amount": amount})
                continue
            credited.append(memory_id)
            data = {"amount": amount, "importance": self._credited_importance(entry, amount, at_ns)}
            self._do("credited", memory_id, moment, data)
        return CreditReport(tuple(credited), tuple(missed))

    def _credited_importance(self, entry: Entry, amount: float, at_ns: int) -> float:
        config = self.config
        times = amount
        if config.credit_cumulative:
            run = (entry.net_credits + amount) * (1 if amount > 0 else -1)
            times *= max(1.0, run)
        value = self._state.importance(entry, at_ns) + config.credit_points * times
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
            jump = self._jump(memory_id, now_ns)
            if jump is not None:
                kind, data = jump
                (promoted if kind == "promoted" else demoted).append(memory_id)
                self._do(kind, memory_id, moment, data)
        purged = list(self._state.due(now_ns, debited_now=self._rules >= 2))
        for memory_id, data in purged:
            self._do("purged", memory_id, moment, data)
        self._do("closed", "", moment, {})
        if self._disk is not None and self._state.sessions % self.config.flush_every_sessions == 0:
            self.flush()
        return SessionReport(tuple(promoted), tuple(demoted), tuple(memory_id for memory_id, _ in purged))

    def _jump(self, memory_id: str, now_ns: int) -> tuple[str, EventData] | None:
        """The move that a credited memory has earned, one tier at a time, if any: its kind and data."""
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
        if kind == "demoted" and self._rules >= 2:
            # The event says so: a journal is rebuilt by the rule under which it was written.
            data["keeps_age"] = True
        return kind, data
