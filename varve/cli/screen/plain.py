"""What a command shows without rich: plain lines, and how wide a terminal can be."""

from __future__ import annotations

import json
import os
import sys

from varve.harmless import line

_SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
_SMALLEST, _LARGEST = 10, 10_000


def say(text: object = "") -> None:
    """Print a line to standard output."""
    sys.stdout.write(line(text) + "\n")


def say_json(values: object) -> None:
    """Print values as JSON, NaN being none; every character outside ASCII is written as an escape."""
    text = json.dumps(values, indent=2, allow_nan=False)
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")


def forget_impossible_sizes() -> None:
    """Forget a size of the terminal that the environment gives and no terminal can have (``COLUMNS=0``)."""
    for name in _SIZES:
        given = os.environ.get(name)
        if given is not None and not (
            given.isascii() and given.isdigit() and len(given) < 6 and _SMALLEST <= int(given) <= _LARGEST
        ):
            del os.environ[name]
