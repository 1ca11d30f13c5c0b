"""Blank what chromadb writes of its index without having written anything there.

chromadb allocates room for vectors to come and saves it as it is, also when it only reads. Room that was
never used holds what the process had in memory before: texts, requests, keys. A run folder is passed on, so
nothing of that may stand in it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

_HEADER = struct.Struct("<i4q")
"""Of ``header.bin``: version, offset, room for so many vectors, how many there are, bytes of each."""
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


def blank_unwritten(folder: Path) -> None:
    """Write zeros over what no vector stands in, in every index of a chromadb folder.

    Of ``data_level0.bin`` that is what lies behind the last vector. ``length.bin``, a number for each, is
    written for another kind of distance than Varve's; all of it is chance.

    Raises:
        OSError: if a file cannot be read or written.
    """
    for header in folder.glob("*/header.bin"):
        start = header.read_bytes()[: _HEADER.size]
        if len(start) == _HEADER.size:
            _, _, _, used, size = _HEADER.unpack(start)
            _blank(header.with_name("data_level0.bin"), max(0, used * size))
            _blank(header.with_name("length.bin"), 0)


def _blank(path: Path, first: int) -> None:
    """Write zeros from byte ``first`` on, where there is anything else."""
    if not path.is_file():
        return
    with os.fdopen(os.open(path, os.O_RDONLY | _FLAGS), "rb") as file:
        file.seek(first)
        rest = file.read()
    if any(rest):
        with os.fdopen(os.open(path, os.O_WRONLY | _FLAGS), "wb") as file:
            file.seek(first)
            file.write(bytes(len(rest)))
