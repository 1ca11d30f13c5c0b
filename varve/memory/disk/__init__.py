"""Memory on disk: chromadb, and snapshots as Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.memory.disk.mirror import DiskCopy
    from varve.memory.disk.snapshot import Image, Kept, Snapshot, read_snapshot, take_snapshot, write_snapshot
    from varve.memory.disk.stored_vectors import with_stored

_HOMES = {
    "DiskCopy": "mirror",
    "Image": "snapshot",
    "Kept": "snapshot",
    "Snapshot": "snapshot",
    "read_snapshot": "snapshot",
    "take_snapshot": "snapshot",
    "with_stored": "stored_vectors",
    "write_snapshot": "snapshot",
}

__all__ = [
    "DiskCopy",
    "Image",
    "Kept",
    "Snapshot",
    "read_snapshot",
    "take_snapshot",
    "with_stored",
    "write_snapshot",
]


__getattr__ = lazy(__name__, _HOMES)
