"""The lock that keeps a run to one writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from varve.backtests.record.folder import COPY_AGAIN, LOCK, RunFolder
from varve.errors import StorageError, UsageError
from varve.files import refuse_links


@contextmanager
def sole_writer(folder: RunFolder) -> Iterator[None]:
    """Keep a second process from writing to the same run; let go when the process ends, however it ends.

    Raises:
        UsageError: if another process writes to the run now.
        StorageError: if the folder cannot be written.
    """
    refuse_links([folder.path, folder.path / LOCK], mend=COPY_AGAIN)
    lock = FileLock(folder.path / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError(
            f"run {folder.run_id} is being written by another process",
            mend="wait for it, or stop it, then resume",
        ) from error
    except OSError as error:
        raise StorageError(
            f"run folder {folder.path} cannot be written: {error}", mend="copy it to where it can be"
        ) from error
    try:
        yield
    finally:
        lock.release()
