"""A file of JSON lines that only grows, each line hashed over itself and the one before it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from varve.bounded import parse_json
from varve.config import canonical_json
from varve.errors import IntegrityError, StorageError
from varve.files import make_folder
from varve.types import JsonObject

Line = JsonObject


class Salvaged(NamedTuple):
    """What can be read of a damaged file: lines whose chain holds, readable lines after, lines lost."""

    whole: list[Line]
    rest: list[Line]
    lost: int


class ChainedFile:
    """Such a file; processes that write take turns by a lock beside it.

    Args:
        path: the file; made at the first :meth:`append`.
        name: what it is, for messages.
        mend: the command that mends a damaged one.
    """

    def __init__(self, path: Path, *, name: str, mend: str) -> None:
        self.path, self._name, self._mend = path, name, mend

    @contextmanager
    def locked(self, *, to_write: bool = True) -> Iterator[None]:
        """Keeps every other process out until it ends, however it ends.

        Args:
            to_write: False reads on where the lock cannot be made: nobody can write there either.

        Raises:
            StorageError: if the lock cannot be had.
        """
        lock = FileLock(self.path.with_suffix(".lock"))
        try:
            if to_write:
                make_folder(self.path.parent)
            lock.acquire()
        except OSError as error:
            if to_write:
                raise self._unwritable(error) from error
        try:
            yield
        finally:
            if lock.is_locked:
                lock.release()

    def read(self) -> list[Line]:
        """All lines, without their hashes; none where there is no file. To be called under :meth:`locked`.

        Raises:
            IntegrityError: at the first line that is not what was written.
            StorageError: if it cannot be read.
        """
        lines, last = [], ""
        for number, text in enumerate(self._texts(), start=1):
            line = _parsed(text, last)
            if line is None:
                raise IntegrityError(
                    f"the {self._name} {self.path} is damaged: line {number} is not what was written there",
                    mend=self._mend,
                )
            last = str(line.pop("hash"))
            lines.append(line)
        return lines

    def append(self, lines: Sequence[Line]) -> None:
        """Write lines at the end, all or none. To be called under :meth:`locked`, after :meth:`read`.

        Raises:
            StorageError: if it cannot be written.
        """
        texts = self._texts()
        last = json.loads(texts[-1])["hash"] if texts else ""
        data = "".join(chained(lines, last)).encode()
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            _write_whole(handle, data)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            os.close(handle)

    def salvage(self) -> Salvaged:
        """What can still be read.

        Raises:
            StorageError: if nothing can.
        """
        whole: list[Line] = []
        rest: list[Line] = []
        lost, last = 0, ""
        for text in self._texts():
            line = None if rest or lost else _parsed(text, last)
            if line is not None:
                last = str(line.pop("hash"))
                whole.append(line)
                continue
            loose = _object(text)
            if loose is None:
                lost += 1
            else:
                rest.append({name: value for name, value in loose.items() if name != "hash"})
        return Salvaged(whole, rest, lost)

    def _texts(self) -> list[str]:
        try:
            text = self.path.read_bytes().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(
                f"the {self._name} {self.path} cannot be read: {error}",
                mend="check the folder and its rights",
            ) from error
        # Not splitlines(): U+2028 and its like may stand inside a line.
        *whole, rest = text.split("\n")
        return [f"{line}\n" for line in whole] + ([rest] if rest else [])

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(
            f"the {self._name} {self.path} cannot be written: {error}",
            mend="free disk space, or set VARVE_HOME to a folder that can be written",
        )


def chained(lines: Iterable[Line], last: str = "") -> Iterator[str]:
    """Lines of text for the file, each with its hash; ``last`` is the hash of the line before them."""
    for line in lines:
        last = _hash(last, line)
        yield canonical_json({**line, "hash": last}) + "\n"


def _hash(last: str, line: Line) -> str:
    return hashlib.sha256((last + canonical_json(line)).encode()).hexdigest()


def _parsed(text: str, last: str) -> Line | None:
    """A line with its hash, where it follows on ``last``."""
    line = _object(text)
    if line is None or not text.endswith("\n"):
        return None
    body = {name: value for name, value in line.items() if name != "hash"}
    return line if line.get("hash") == _hash(last, body) else None


def _object(text: str) -> Line | None:
    try:
        value = parse_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _write_whole(handle: int, data: bytes) -> None:
    """Write and flush to disk, or leave the file as it was."""
    before = os.fstat(handle).st_size
    try:
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, before)
        raise
