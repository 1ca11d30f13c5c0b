"""What a command prints, where nobody may be reading: output never decides whether a run comes to its end."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, TextIO

from varve.errors import StorageError
from varve.harmless import hide


class LastingStream:
    """A text stream whose writing never fails: what cannot be written is dropped, and the reason kept.

    The user's key is never written.

    Args:
        inner: the stream of the process; None where it was closed before the start.
    """

    def __init__(self, inner: TextIO | None) -> None:
        self._inner = inner
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write as much as can be written."""
        with self._keeping_on():
            if self._inner is not None:
                self._inner.write(hide(text))
        return len(text)

    def flush(self) -> None:
        """Hand over what is buffered."""
        with self._keeping_on():
            if self._inner is not None:
                self._inner.flush()

    @contextlib.contextmanager
    def _keeping_on(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            self.lost = self.lost or (
                error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
            )
            self._inner = None

    def __getattr__(self, name: str) -> Any:
        # Encoding, file number, whether it is a terminal: of the stream itself, or of nothing.
        return getattr(self._inner if self._inner is not None else _nothing(), name)


@contextlib.contextmanager
def lasting_output() -> Iterator[LastingStream]:
    """Let a command go on whatever becomes of its terminal, its pipe or the disk behind it; gives its output.

    A terminal that is closed (SIGHUP) stops nothing. SIGTERM stops a run as Ctrl-C does, with a reason.
    """
    _open_what_is_closed()
    before = sys.stdout, sys.stderr
    for stream in before:
        # A stream that another program put in its place may not know how.
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors="backslashreplace")
    out, err = LastingStream(sys.stdout), LastingStream(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        with _signals({signal.SIGHUP: signal.SIG_IGN, signal.SIGTERM: _terminated}):
            yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
        _forget_what_failed(out, err)


def check_output(out: LastingStream) -> None:
    """Check that everything printed went somewhere, or that nobody wanted it (a pipe that was closed).

    Raises:
        StorageError: if standard output could not be written.
    """
    out.flush()
    if out.lost is not None and out.lost.errno != errno.EPIPE:
        raise StorageError(
            f"standard output cannot be written: {out.lost.strerror or out.lost}; what was done is kept",
            mend="let it go to a terminal, a pipe or a disk with room, and print it again",
        )


@contextlib.contextmanager
def _signals(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    # Python sets handlers in the main thread alone.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt("terminated (SIGTERM)")


def _open_what_is_closed() -> None:
    """A closed standard stream's number would go to the next file opened, and what is printed into it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _forget_what_failed(*streams: LastingStream) -> None:
    """Point what failed at nothing, or Python would complain of it while it ends."""
    for number, stream in enumerate(streams, start=1):
        if stream.lost is not None:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, number)
            os.close(nothing)


def _nothing() -> TextIO:
    global _null
    if _null is None:
        _null = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (open as long as the process is)
    return _null


_null: TextIO | None = None
