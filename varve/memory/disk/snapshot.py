"""A memory as a file: everything it knows at an instant, as Parquet, named by a hash of what is in it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from varve.bounded import UNREADABLE, parse_json, read_parquet
from varve.clock import from_ns, iso, parse_iso, to_ns
from varve.config import canonical_json
from varve.errors import BadFileError, UsageError, VarveError
from varve.files import replace_file
from varve.harmless import shortened
from varve.memory.embed.base import Embedder, checked_vectors
from varve.memory.state.columns import Vector
from varve.memory.state.records import MemoryRecord
from varve.memory.state.tiers import Counters, Life, data_of
from varve.types import Json

SCHEMA = 1
"""Version of the file; one of a newer version is refused."""

_KEY = b"varve-memory"
_Read = dict[str, Any]
"""A row of the file, or its header, as it is read; what does not fit raises on the way to a snapshot."""


class Kept(NamedTuple):
    """One memory: its record, what has become of it (as :meth:`State.life` tells it), its vector."""

    record: MemoryRecord
    life: Life
    vector: Vector


@dataclass(frozen=True)
class Image:
    """All of one named memory: its live memories, and the counters that go on."""

    name: str
    config: Mapping[str, Json]
    counters: Counters
    rows: tuple[Kept, ...]


@dataclass(frozen=True)
class Snapshot:
    """The memories of a run at an instant.

    ``last_available_at`` (UTC) is the last instant from which anything in them comes: no run that
    starts before it may use them. ``source`` says where they come from and is no part of the content.
    """

    embedder: str
    dimension: int
    last_available_at: datetime
    synthetic: bool
    images: Mapping[str, Image]
    source: Mapping[str, Json] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the content: equal memories have equal ids, wherever they come from."""
        digest = hashlib.sha256(canonical_json(self._header()).encode())
        for name in sorted(self.images):
            for kept in self.images[name].rows:
                told = [kept.record.id, iso(kept.record.created_at), data_of(kept.record), dict(kept.life)]
                digest.update(canonical_json(told).encode())
                digest.update(kept.vector.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return sum(len(image.rows) for image in self.images.values())

    def image(self, name: str, embedder: Embedder) -> Image:
        """The memory called ``name``.

        Raises:
            UsageError: if there is none of that name, or another embedder made it.
        """
        self.check_embedder(embedder)
        if name not in self.images:
            raise UsageError(
                f"snapshot {self.id[:12]} holds no memory {name!r}, but {', '.join(sorted(self.images))}",
                mend="give a snapshot of a run of the same agent",
            )
        return self.images[name]

    def check_embedder(self, embedder: Embedder) -> None:
        """That ``embedder`` made the vectors.

        Raises:
            UsageError: otherwise.
        """
        mine = (embedder.fingerprint, embedder.dimension)
        if mine != (self.embedder, self.dimension):
            made = self.source.get("embedder", self.embedder)
            raise UsageError(
                f"snapshot {self.id[:12]} was made with embedder {self.embedder!r} of dimension "
                f"{self.dimension}, this run has {mine[0]!r} of dimension {mine[1]}",
                mend=f"run with the embedder that it was made with: --embedder {made}",
            )

    def _header(self) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "embedder": self.embedder,
            "dimension": self.dimension,
            "last_available_at": iso(self.last_available_at),
            "synthetic": self.synthetic,
            "memories": {
                name: {"config": dict(image.config), "counters": dict(image.counters)}
                for name, image in self.images.items()
            },
        }


def take_snapshot(
    images: Iterable[Image],
    embedder: Embedder,
    now: datetime,
    *,
    synthetic: bool,
    source: Mapping[str, Json],
) -> Snapshot:
    """All that the memories of one run know at ``now`` (UTC), from the image of each.

    Raises:
        UsageError: if there is none.
    """
    by_name = {image.name: image for image in images}
    if not by_name:
        raise UsageError("a snapshot needs a memory, none given", mend="give the memories of a run")
    readable = [row.life["available_ns"] for image in by_name.values() for row in image.rows]
    return Snapshot(
        embedder=embedder.fingerprint,
        dimension=embedder.dimension,
        last_available_at=from_ns(max([to_ns(now), *readable])),
        synthetic=synthetic,
        images=by_name,
        source=dict(source),
    )


_TEXTS = ("memory", "id", "tier", "filed_tier", "ticker", "scope", "kind", "text", "metadata")
_INSTANTS = ("event_time", "available_at", "created_at", "readable_at", "promoted_at", "importance_at")
_NUMBERS = ("importance", "net_credits", "tier_credits")
_LISTS = ("filed_links", "links")


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write it whole or not at all. Instants are columns of nanoseconds since 1970-01-01 UTC.

    Raises:
        StorageError: if the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_row(image.name, kept) for image in snapshot.images.values() for kept in image.rows]
    schema = pa.schema(
        [
            *((name, pa.string()) for name in _TEXTS),
            *((f"{name}_ns", pa.int64()) for name in _INSTANTS),
            *((name, pa.float64()) for name in _NUMBERS),
            *((name, pa.list_(pa.string())) for name in _LISTS),
            ("vector", pa.list_(pa.float32(), snapshot.dimension)),
        ]
    )
    told = {**snapshot._header(), "id": snapshot.id, "source": dict(snapshot.source)}
    table = pa.Table.from_pylist(rows, schema=schema.with_metadata({_KEY: canonical_json(told).encode()}))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    replace_file(path, buffer.getvalue())


def read_snapshot(path: Path) -> Snapshot:
    """The inverse of :func:`write_snapshot`, equal to the bit.

    Raises:
        BadFileError: if the file is missing, no snapshot, damaged, or of a newer version.
    """
    import pyarrow as pa

    mend = "give a file that was made by: backtest memory export RUN FILE.parquet"
    try:
        table = read_parquet(path)
        told = parse_json((table.schema.metadata or {})[_KEY])
        if told["schema"] > SCHEMA:
            raise BadFileError(
                f"{path} is a snapshot of schema {told['schema']}, this version reads up to {SCHEMA}",
                mend="use the version that wrote it",
            )
        snapshot = _snapshot(table.to_pylist(), told)
        changed = snapshot.id != told["id"]
    except BadFileError:
        raise
    except (OSError, pa.ArrowException, VarveError, *UNREADABLE) as error:
        why = shortened(str(error) or type(error).__name__, 300)
        raise BadFileError(f"{path} cannot be read as a memory snapshot: {why}", mend=mend) from error
    if changed:
        raise BadFileError(
            f"{path} was changed: its content is {snapshot.id[:12]}, it says {str(told['id'])[:12]}",
            mend="copy it again from where it is whole",
        )
    return snapshot


def _row(name: str, kept: Kept) -> dict[str, object]:
    record, life = kept.record, kept.life
    return {
        "memory": name,
        "id": record.id,
        "tier": life["tier"],
        "filed_tier": record.tier,
        "ticker": record.ticker,
        "scope": record.scope,
        "kind": record.kind,
        "text": record.text,
        "metadata": canonical_json(dict(record.metadata)),
        "event_time_ns": to_ns(record.event_time),
        "available_at_ns": to_ns(record.available_at),
        "created_at_ns": to_ns(record.created_at),
        "readable_at_ns": life["available_ns"],
        "promoted_at_ns": life["promoted_ns"],
        "importance_at_ns": life["base_ns"],
        "importance": life["base"],
        "net_credits": life["net_credits"],
        "tier_credits": life["tier_credits"],
        "filed_links": list(record.links),
        "links": life["links"],
        "vector": kept.vector,
    }


def _snapshot(rows: list[_Read], told: _Read) -> Snapshot:
    dimension = told["dimension"]
    vectors = np.array([row["vector"] for row in rows], np.float32).reshape(len(rows), dimension)
    vectors = checked_vectors(vectors, len(rows), dimension, "the snapshot")
    by_name: dict[str, list[Kept]] = {name: [] for name in told["memories"]}
    for row, vector in zip(rows, vectors, strict=True):
        by_name[row["memory"]].append(_kept(row, vector))
    return Snapshot(
        embedder=told["embedder"],
        dimension=dimension,
        last_available_at=parse_iso(told["last_available_at"]),
        synthetic=told["synthetic"],
        images={
            name: Image(name, part["config"], part["counters"], tuple(by_name[name]))
            for name, part in told["memories"].items()
        },
        source=told["source"],
    )


def _kept(row: _Read, vector: Vector) -> Kept:
    record = MemoryRecord(
        id=row["id"],
        ticker=row["ticker"],
        scope=row["scope"],
        tier=row["filed_tier"],
        text=row["text"],
        kind=row["kind"],
        event_time=from_ns(row["event_time_ns"]),
        available_at=from_ns(row["available_at_ns"]),
        created_at=from_ns(row["created_at_ns"]),
        metadata=parse_json(row["metadata"]),
        links=tuple(row["filed_links"]),
    )
    life: Life = {
        "tier": row["tier"],
        "available_ns": row["readable_at_ns"],
        "promoted_ns": row["promoted_at_ns"],
        "base": row["importance"],
        "base_ns": row["importance_at_ns"],
        "net_credits": row["net_credits"],
        "tier_credits": row["tier_credits"],
        "links": row["links"],
    }
    return Kept(record, life, vector)
