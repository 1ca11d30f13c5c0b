"""A memory from its events: the journal is the truth, the store only keeps it at hand."""

from __future__ import annotations

from collections.abc import Iterable

from varve.clock import parse_iso, to_ns
from varve.memory.config import MemoryConfig
from varve.memory.embedders import Embedder
from varve.memory.layered import LayeredMemory
from varve.memory.records import record_of, text_key
from varve.types import MemoryEvent


def replay(
    events: Iterable[MemoryEvent], config: MemoryConfig, embedder: Embedder, *, seed: int = 0, scope: str = ""
) -> LayeredMemory:
    """The memory that these events lead to; equal, scalar by scalar, to the one that wrote them."""
    memory = LayeredMemory(config, embedder, seed=seed, scope=scope)
    for event in events:
        _apply(memory, event)
    memory._trace.memory_events.clear()
    return memory


def _apply(memory: LayeredMemory, event: MemoryEvent) -> None:
    if event.kind in ("recalled", "credit_missed"):
        return
    number, at_ns, data = int(event.memory_id[1:]), to_ns(event.at), event.data
    if event.kind == "added":
        record = record_of(event.memory_id, data)
        vector = memory.embedder.embed([record.text])[0]
        memory._insert(number, record, text_key(record.text, record.ticker, record.scope), vector)
        memory._next = number + 1
        return
    tier = memory._home(number)
    row = tier.row(number)
    if event.kind == "merged":
        memory._merge(number, to_ns(parse_iso(data["available_at"])), at_ns, data["kind"])
    elif event.kind == "credited":
        credits = row.credits + data["sign"]
        memory._put(tier, row._replace(importance=data["importance"], anchor_ns=at_ns, credits=credits))
    elif event.kind in ("promoted", "demoted"):
        memory._rehome(event.kind, tier, data["to"], row, data["importance"], at_ns)
    elif event.kind == "purged":
        memory._purge(tier, number, at_ns, data["reason"])
