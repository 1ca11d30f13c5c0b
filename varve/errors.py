"""Every failure that Varve expects, as one tree.

::

    VarveError                       exit code 1
    ├── UsageError                   exit code 2   what was asked for does not exist or does not fit
    │   ├── UnknownNameError             no agent, ticker, model, setting ... of that name
    │   └── SettingError                 a setting with a value that cannot be used
    ├── DataError                    exit code 3   prices, news or files that cannot be used
    │   ├── NoDataError                  nothing there for that ticker or those dates
    │   ├── BadFileError                 a file that is not what it should be
    │   └── StorageError                 a folder that cannot be written or read
    ├── ModelError                   exit code 4   the language model
    │   ├── ModelTransportError          away, too slow, or answering with an error
    │   └── TooManyFailuresError         too many replies that were no decision
    └── IntegrityError               exit code 5   two accounts of one fact differ

A message says what was given, what was expected, and what mends it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VarveError(Exception):
    """Base of every expected failure.

    Args:
        message: what was given and what was expected, in one or two sentences.
        mend: the command or change that mends it.
    """

    exit_code = 1

    def __init__(self, message: str, *, mend: str | None = None) -> None:
        self.message = message
        self.mend = mend
        super().__init__(message)

    def __str__(self) -> str:
        return self.message if self.mend is None else f"{self.message}\n  → {self.mend}"


class UsageError(VarveError):
    """What was asked for does not exist or does not fit together."""

    exit_code = 2


class UnknownNameError(UsageError):
    """No thing of this kind has the given name; near names are suggested."""

    def __init__(self, kind: str, given: str, known: Iterable[str], *, mend: str | None = None) -> None:
        self.kind, self.given = kind, given
        self.known = tuple(sorted(known))
        close = near_names(given, self.known)
        names = ", ".join(self.known) or "none"
        if mend is None and close:
            mend = f"did you mean {' or '.join(repr(name) for name in close)}?"
        super().__init__(f"unknown {kind} {given!r}; known: {names}", mend=mend)


class SettingError(UsageError):
    """A setting has a value that cannot be used."""


class DataError(VarveError):
    """Prices, news or files that cannot be used."""

    exit_code = 3


class NoDataError(DataError):
    """Nothing is there for that ticker or those dates."""


class BadFileError(DataError):
    """A file is not what it should be; nothing of it was stored."""


class StorageError(DataError):
    """A folder or file cannot be written or read."""


class ModelError(VarveError):
    """The language model cannot be used."""

    exit_code = 4


class ModelTransportError(ModelError):
    """The model's server is away, too slow, or answers with an error. No decision was recorded."""


class TooManyFailuresError(ModelError):
    """More replies were no decision than a believable run can hold."""


class IntegrityError(VarveError):
    """Two accounts of one fact differ; the result cannot be believed."""

    exit_code = 5


def near_names(given: str, known: Iterable[str]) -> list[str]:
    """The up to three known names most like ``given``, best first, ignoring case."""
    by_lower = {name.lower(): name for name in known}
    hits = difflib.get_close_matches(given.lower(), list(by_lower), n=3, cutoff=0.5)
    return [by_lower[hit] for hit in hits]
