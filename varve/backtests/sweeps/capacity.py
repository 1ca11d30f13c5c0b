"""How many runs fit into one process at once: by the files that it may hold open, and by memory."""

from __future__ import annotations

import resource
from pathlib import Path

from varve.finllm.engine.load import free_bytes

FILES_A_RUN = 9
"""Open files of a running backtest: journal and reply cache with their logs, locks; eight were measured."""
FILES_KEPT_FREE = 40
"""For what runs share: chromadb, fonts, the vector cache, weights."""
BYTES_A_RUN = 64 * 2**20
"""Memory of a running backtest; 12 MB were measured with the scripted model, 48 MB with nano."""
MEMORY_SHARE = 0.8
"""Of the free memory, so much is taken."""


def fitting_at_once(wanted: int) -> int:
    """Return how many of the wanted runs may go at once, at least 1."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    fitting = wanted
    if limit != resource.RLIM_INFINITY:
        fitting = min(fitting, (limit - _open_files() - FILES_KEPT_FREE) // FILES_A_RUN)
    free = free_bytes("cpu")
    if free is not None:
        fitting = min(fitting, int(MEMORY_SHARE * free) // BYTES_A_RUN)
    return max(1, fitting)


def _open_files() -> int:
    for folder in (Path("/proc/self/fd"), Path("/dev/fd")):
        try:
            return len(list(folder.iterdir()))
        except OSError:
            continue
    return 0
