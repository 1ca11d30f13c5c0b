"""The lock that keeps a run to one writer."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from varve.backtests.record.folder import RunFolder
from varve.errors import StorageError, UsageError

if TYPE_CHECKING:
    pass


@contextmanager
def sole_writer(folder: RunFolder) -> Iterator[None]:
    """Keeps a second process from writing to the same run; let go when the process ends, however it ends.

    Raises:
        UsageError: if another process writes to the run now.
        StorageError: if the folder cannot be written.
    """
    path: Path = folder.path / "run.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(
            f"run folder {folder.path} cannot be written: {error}", mend="copy it to where it can be"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"run {folder.run_id} is being written by another process",
                mend="wait for it, or stop it, then resume",
            ) from error
        yield
    finally:
        os.close(handle)
