"""The state of a memory, changed by events alone, so that the same events give the same state."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TypedDict

from varve.clock import iso, parse_iso, to_ns
from varve.config import canonical_json
from varve.errors import IntegrityError
from varve.memory.state.columns import DAY_NS, Columns, Vector
from varve.memory.state.config import TIERS, MemoryConfig
from varve.memory.state.records import LATEST_NS, MemoryRecord, text_key
from varve.types import EventData, JsonObject, MemoryEvent

TOLD_WHOLE = ("added", "imported")
"""Kinds of events that bring a memory in, text and all; its vector comes beside them."""

CHANGES = ("snapshot", *TOLD_WHOLE, "merged", "credited", "credit_missed", "promoted", "demoted", "purged",
           "closed")  # fmt: skip
"""Kinds of events that change a memory; ``recalled`` changes nothing."""


@dataclass(slots=True)
class Entry:
    """A live memory and what has become of it.

    ``tier_credits`` counts since it entered its tier, ``net_credits`` over its life.
    """

    record: MemoryRecord
    key: str
    tier: str
    row: int
    links: tuple[str, ...]
    promoted_ns: int | None = None
    net_credits: float = 0.0
    tier_credits: float = 0.0


class Life(TypedDict):
    """What has become of a memory, as plain values; instants in nanoseconds since 1970-01-01 UTC."""

    tier: str
    available_ns: int
    promoted_ns: int | None
    base: float
    base_ns: int
    net_credits: float
    tier_credits: float
    links: Sequence[str]


class Counters(TypedDict):
    """What goes on counting beside the memories, as plain values."""

    next_number: int
    sessions: int
    missed_credits: int
    touched: list[str]


def id_of(number: int) -> str:
    """The id of the memory with this number."""
    return f"m{number:06d}"


def number_of(memory_id: str) -> int | None:
    """The number of an id as :func:`id_of` writes it; None for anything else."""
    digits = memory_id[1:]
    if memory_id[:1] != "m" or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) if id_of(int(digits)) == memory_id else None


class State:
    """Live memories by tier, and the counters that go on."""

    def __init__(self, config: MemoryConfig, dimension: int) -> None:
        self.config = config
        self.tiers = {name: Columns(dimension) for name in TIERS}
        self.entries: dict[str, Entry] = {}
        self.by_key: dict[str, str] = {}
        self.touched: dict[str, None] = {}
        self.next_number = 1
        self.sessions = 0
        self.missed_credits = 0
        self.changes = 0
        self._tickers: dict[str, int] = {}
        self._log_factors = {name: config.tier(name).log_factor_per_day for name in TIERS}
        self._purge_after_ns = {
            name: int(config.purge_after_taus * config.tier(name).tau_days * DAY_NS) for name in TIERS
        }
        self._apply = {kind: getattr(self, f"_{kind}") for kind in CHANGES}

    def apply(self, event: MemoryEvent, vector: Vector | None = None) -> None:
        """Change the state by one event; ``vector`` is wanted for :data:`TOLD_WHOLE` alone.

        Raises:
            IntegrityError: if the event does not fit the state.
        """
        if event.kind == "recalled":
            return
        change = self._apply.get(event.kind)
        if change is None:
            raise IntegrityError(
                f"memory event of unknown kind {event.kind!r}", mend="use the version that wrote it"
            )
        if event.kind in TOLD_WHOLE:
            change(event, vector)
        else:
            change(event)
        self.changes += 1

    def entry(self, memory_id: str) -> Entry:
        """The live memory of an event.

        Raises:
            IntegrityError: if none has that id.
        """
        try:
            return self.entries[memory_id]
        except KeyError:
            raise IntegrityError(
                f"an event names memory {memory_id!r}, which is not stored at that point",
                mend="give the events of one memory, all of them, in the order in which they happened",
            ) from None

    def ticker_code(self, ticker: str | None) -> int:
        """A small number for a ticker, −1 for None."""
        return -1 if ticker is None else self._tickers.setdefault(ticker, len(self._tickers))

    def known_ticker(self, ticker: str) -> int:
        """Its code, −2 where no memory has it."""
        return self._tickers.get(ticker, -2)

    def importance(self, entry: Entry, at_ns: int) -> float:
        """Points at an instant: base × factor^days since the base was set, never more than the base."""
        columns = self.tiers[entry.tier]
        days = max(at_ns - int(columns.base_at[entry.row]), 0) / DAY_NS
        base = float(columns.base[entry.row])
        return base * math.exp(days * self._log_factors[entry.tier])

    def digest(self) -> str:
        """SHA-256 (hex) of everything but the vectors; equal states have equal digests."""
        rows = []
        for memory_id in sorted(self.entries):
            record = self.entries[memory_id].record
            rows.append([memory_id, iso(record.created_at), data_of(record), self.life(memory_id)])
        counters = [self.next_number, self.sessions, self.missed_credits, self.changes, list(self.touched)]
        return hashlib.sha256(canonical_json([rows, counters]).encode()).hexdigest()

    def life(self, memory_id: str) -> Life:
        """What has become of a memory, as plain values for the store."""
        entry = self.entries[memory_id]
        columns, row = self.tiers[entry.tier], entry.row
        return {
            "tier": entry.tier,
            "available_ns": int(columns.available[row]),
            "promoted_ns": entry.promoted_ns,
            "base": float(columns.base[row]),
            "base_ns": int(columns.base_at[row]),
            "net_credits": entry.net_credits,
            "tier_credits": entry.tier_credits,
            "links": list(entry.links),
        }

    def insert(self, record: MemoryRecord, life: Life, vector: Vector) -> Entry:
        """Put a memory with a known life back where it was (from the store)."""
        number = number_of(record.id)
        if number is None or record.id in self.entries:
            raise IntegrityError(
                f"memory id {record.id!r} is malformed or stored twice", mend="rebuild the memory"
            )
        key = text_key(record.text, record.ticker)
        columns = self.tiers[life["tier"]]
        row = columns.append(record.id, number, self.ticker_code(record.ticker), vector)
        entry = Entry(record, key, life["tier"], row, tuple(life["links"]), life["promoted_ns"])
        entry.net_credits, entry.tier_credits = life["net_credits"], life["tier_credits"]
        self.entries[record.id] = entry
        self.by_key[key] = record.id
        columns.available[row] = life["available_ns"]
        columns.base[row], columns.base_at[row] = life["base"], life["base_ns"]
        self._settle(entry)
        return entry

    def _added(self, event: MemoryEvent, vector: Vector | None) -> None:
        data = event.data
        if vector is None or event.memory_id != id_of(self.next_number):
            raise IntegrityError(
                f"memory {event.memory_id!r} was added out of turn; the next is {id_of(self.next_number)}",
                mend="give the events of one memory, all of them, in the order in which they happened",
            )
        record = record_of(event.memory_id, data, event.at)
        available = to_ns(record.available_at)
        life: Life = {
            "tier": data["tier"],
            "available_ns": available,
            "promoted_ns": None,
            "base": data["importance"],
            "base_ns": available,
            "net_credits": 0.0,
            "tier_credits": 0.0,
            "links": record.links,
        }
        self.insert(record, life, vector)
        self.next_number += 1

    def _snapshot(self, event: MemoryEvent) -> None:
        """A memory begins with what another one knew; its memories follow, each in an event."""
        if self.changes:
            raise IntegrityError(
                "a snapshot was taken in after the memory had begun",
                mend="give the events of one memory, all of them, in the order in which they happened",
            )
        data = event.data
        self.next_number, self.sessions = data["next_number"], data["sessions"]
        self.missed_credits = data["missed_credits"]
        self.touched = dict.fromkeys(data["touched"])

    def _imported(self, event: MemoryEvent, vector: Vector | None) -> None:
        data, number = event.data, number_of(event.memory_id)
        if vector is None or number is None or not 1 <= number < self.next_number:
            raise IntegrityError(
                f"imported memory {event.memory_id!r} is none of its snapshot's",
                mend="take the snapshot anew",
            )
        record = record_of(event.memory_id, data, parse_iso(data["created_at"]))
        self.insert(record, data["life"], vector)

    def counters(self) -> Counters:
        """What goes on counting beside the memories, as plain values for a snapshot."""
        return {
            "next_number": self.next_number,
            "sessions": self.sessions,
            "missed_credits": self.missed_credits,
            "touched": list(self.touched),
        }

    def _merged(self, event: MemoryEvent) -> None:
        """The same text again: the earliest moment at which either copy could be read counts."""
        entry = self.entry(event.memory_id)
        columns, row = self.tiers[entry.tier], entry.row
        available = to_ns(parse_iso(event.data["available_at"]))
        before = int(columns.available[row])
        if available < before:
            columns.available[row] = available
            if int(columns.base_at[row]) == before:
                columns.base_at[row] = available
        new = tuple(link for link in event.data["links"] if link not in entry.links)
        entry.links += new
        self._settle(entry)

    def _credited(self, event: MemoryEvent) -> None:
        entry = self.entry(event.memory_id)
        entry.net_credits += event.data["amount"]
        entry.tier_credits += event.data["amount"]
        self._set_importance(entry, event)
        self.touched[event.memory_id] = None

    def _credit_missed(self, event: MemoryEvent) -> None:
        self.missed_credits += 1

    def _promoted(self, event: MemoryEvent) -> None:
        """Into the tier above: Δ starts again, and the tier's credits too."""
        self._move(event, renewed_at=to_ns(event.at))

    def _demoted(self, event: MemoryEvent) -> None:
        """Into the tier below: Δ goes on, so that what was discredited does not rise by it.

        Events of before rules 2 do not say so, and there Δ starts again.
        """
        renewed_at = None if event.data.get("keeps_age") else to_ns(event.at)
        self._move(event, renewed_at=renewed_at)

    def _move(self, event: MemoryEvent, *, renewed_at: int | None) -> None:
        entry = self.entry(event.memory_id)
        old, new = self.tiers[entry.tier], self.tiers[event.data["to"]]
        row = entry.row
        new_row = new.append(event.memory_id, int(old.number[row]), int(old.ticker[row]), old.vectors[row])
        new.available[new_row], new.base_at[new_row] = old.available[row], old.base_at[row]
        self._remove_row(entry)
        entry.tier, entry.row = event.data["to"], new_row
        entry.tier_credits = 0.0
        if renewed_at is not None:
            entry.promoted_ns = renewed_at
        self._set_importance(entry, event)

    def _purged(self, event: MemoryEvent) -> None:
        entry = self.entry(event.memory_id)
        self._remove_row(entry)
        del self.entries[event.memory_id], self.by_key[entry.key]
        self.touched.pop(event.memory_id, None)

    def _closed(self, event: MemoryEvent) -> None:
        self.sessions += 1
        self.touched.clear()

    def _remove_row(self, entry: Entry) -> None:
        moved = self.tiers[entry.tier].remove(entry.row)
        if moved is not None:
            self.entries[moved].row = entry.row

    def _set_importance(self, entry: Entry, event: MemoryEvent) -> None:
        columns, row = self.tiers[entry.tier], entry.row
        columns.base[row] = event.data["importance"]
        columns.base_at[row] = max(int(columns.base_at[row]), to_ns(event.at))
        self._settle(entry)

    def _settle(self, entry: Entry) -> None:
        """Set from when a memory ages and after when it is purged; both follow from its life."""
        config, log_factor = self.config, self._log_factors[entry.tier]
        columns, row = self.tiers[entry.tier], entry.row
        since = max(int(columns.available[row]), entry.promoted_ns or 0)
        columns.since[row] = since
        expires = since + self._purge_after_ns[entry.tier]
        floor = config.purge_importance_below
        if floor is not None and (entry.net_credits < 0 or not config.purge_needs_debit):
            base, base_at = float(columns.base[row]), int(columns.base_at[row])
            if base < floor:
                # Below it already at ``base_at``: due at a close of that very instant.
                expires = min(expires, base_at - 1)
            elif log_factor < 0:
                days = math.log(floor / base) / log_factor if floor > 0 else math.inf
                expires = min(expires, base_at + int(min(days, 1e5) * DAY_NS))
        columns.expires[row] = min(expires, LATEST_NS)

    def due(self, now_ns: int, *, debited_now: bool = True) -> Iterator[tuple[str, EventData]]:
        """What has to go at ``now_ns``, tier by tier: ids, and the data of a ``purged`` event.

        Without ``debited_now`` (rules 1) what sank below the limit at this very instant stays until the next
        close.
        """
        for tier in TIERS:
            columns, settings = self.tiers[tier], self.config.tier(tier)
            for memory_id in columns.expired(now_ns):
                entry = self.entries[memory_id]
                sank_at = int(columns.base_at[entry.row])
                if not debited_now and sank_at == now_ns and int(columns.expires[entry.row]) == sank_at - 1:
                    continue
                age_days = (now_ns - int(columns.since[entry.row])) / DAY_NS
                old = age_days > self.config.purge_after_taus * settings.tau_days
                data = {
                    "tier": tier,
                    "reason": "age" if old else "importance",
                    "age_days": age_days,
                    "importance": self.importance(entry, now_ns),
                }
                yield memory_id, data


def record_of(memory_id: str, data: EventData, created_at: datetime) -> MemoryRecord:
    """The record that an ``added`` event tells of."""
    return MemoryRecord(
        id=memory_id,
        ticker=data["ticker"],
        scope=data["scope"],
        tier=data["tier"],
        text=data["text"],
        kind=data["kind"],
        event_time=parse_iso(data["event_time"]),
        available_at=parse_iso(data["available_at"]),
        created_at=created_at,
        metadata=MappingProxyType(dict(data["metadata"])),
        links=tuple(data["links"]),
    )


def data_of(record: MemoryRecord) -> JsonObject:
    """The inverse of :func:`record_of`, as plain values."""
    return {
        "tier": record.tier,
        "ticker": record.ticker,
        "scope": record.scope,
        "kind": record.kind,
        "text": record.text,
        "event_time": iso(record.event_time),
        "available_at": iso(record.available_at),
        "metadata": dict(record.metadata),
        "links": list(record.links),
    }


def own_changes(events: Iterable[MemoryEvent], name: str) -> list[MemoryEvent]:
    """The events that changed the memory called ``name``, in order."""
    return [event for event in events if event.kind in CHANGES and event.data.get("memory", name) == name]
