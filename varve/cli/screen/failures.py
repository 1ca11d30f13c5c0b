"""How a command that cannot be done ends: one message on standard error, and an exit code."""

from __future__ import annotations

import sys
import traceback

from varve.errors import VarveError
from varve.harmless import hide, shortened, visible

CRASHED = 1
"""The exit code of what Varve did not expect: a defect."""


def show_failure(error: VarveError, *, debug: bool) -> int:
    """Print an expected failure; return its exit code."""
    if debug:
        _print(_trace(error))
    _print(_message(error.message, error.mend))
    return error.exit_code


def show_usage_error(message: str, command: str | None) -> None:
    """Print what was wrong with the words of a command."""
    _print(_message(message.rstrip("."), f"{command} --help" if command else None))


def show_crash(error: Exception, *, debug: bool) -> int:
    """Print a failure that nobody expected; return the exit code."""
    if debug:
        _print(_trace(error))
    mend = "this is a defect of Varve's: please report it with what the same command says with --debug"
    _print(_message(f"{type(error).__name__}: {error}", mend))
    return CRASHED


def _message(message: str, mend: str | None) -> str:
    # A line end in a foreign text begins no line that looks like one of ours.
    lines = [f"error: {_indented(shortened(message))}"]
    if mend is not None:
        lines.append(f"  → {_indented(shortened(mend))}")
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n    ".join(text.split("\n"))


def _trace(error: BaseException) -> str:
    return "  " + _indented("".join(traceback.format_exception(error)).rstrip())


def _print(text: str) -> None:
    print(visible(hide(text)), file=sys.stderr)
