"""Let a chat template run for a time and no longer: it is a program that came with a model's folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from varve.clock import stopwatch

SECONDS = 5.0
"""The longest that a template may take over one prompt; real ones take milliseconds."""
GROWTH = 512 * 2**20
"""Bytes by which the process may grow meanwhile."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TEMPLATE = "<template>"


class TemplateTooLongError(Exception):
    """A template went on for longer, or took more memory, than a prompt can need."""


@contextmanager
def limited(seconds: float = SECONDS, growth: int = GROWTH) -> Iterator[None]:
    """Stop what this thread does in the block where it takes too long, or too much memory.

    Python says at each line of a template, and at each call of a function, that it goes on there.

    Raises:
        TemplateTooLongError: out of the line where it is stopped.
    """
    started, before, said = stopwatch(), _resident(), 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal said
        said += 1
        inside = frame.f_code.co_filename == _TEMPLATE
        if inside or said % 64 == 0:
            if stopwatch() - started > seconds:
                raise TemplateTooLongError(f"it takes longer than {seconds:g} seconds")
            if _resident() - before > growth:
                raise TemplateTooLongError(f"it takes more than {growth / 2**20:,.0f} MiB of memory")
        return trace if inside else None

    others = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(others)


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123 (asked for at each line)
            return int(file.read(64).split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
