"""The seam of sources: one request, one answer, and a declared kind.

A source is a class that satisfies :class:`Source`, registered in the entry-point group
``varve.sources``. ``backtest data import`` takes those of kind ``file``, ``backtest data pull`` those of
kind ``pull``.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from varve import registry
from varve.errors import BadFileError, UnknownNameError, UsageError
from varve.market.data import InstrumentData
from varve.market.frequency import check_frequency, with_frequency
from varve.market.sanity import check_prices, moves_sentence, split_like_moves

Kind = Literal["file", "pull", "world"]

FLAGS = {
    "calendar": "--calendar",
    "columns": "--column",
    "header": "--columns",
    "adjustment": "--adjustment",
    "currency": "--currency",
    "lot_size": "--lot-size",
    "date_format": "--date-format",
    "decimal": "--decimal",
    "events": "--events",
    "frequency": "--frequency",
}
"""The option of the command line that gives each part of a :class:`Request`."""


@dataclass(frozen=True)
class Request:
    """What is asked of a source.

    Args:
        ticker: the name to give the instrument.
        path: the file to read; for sources of kind ``file``.
        start: first session wanted; for sources of kind ``pull``.
        end: last session wanted; None asks for everything up to the present.
        calendar: of the instrument; None lets the source decide.
        columns: what Varve calls a column, to what the file calls it.
        frequency: ``daily``, ``weekly`` or ``monthly``; None for daily bars of usual density. Sources need
            not look at it: :func:`read_checked` does.
        header: what each column of a file without a header is, in order; ``-`` for one to leave out.
        adjustment: of the prices: ``raw``, ``split_adjusted`` or ``back_adjusted``; None lets the file say.
        currency: of the prices, as ``USD``; None lets the file say.
        lot_size: smallest tradable quantity, in shares or coins; None takes the usual one.
        date_format: how dates are written, as ``strptime`` has it: ``%d/%m/%Y``.
        decimal: the decimal mark, ``.`` or ``,``.
        events: a file of splits and dividends.
    """

    ticker: str
    path: Path | None = None
    start: date | None = None
    end: date | None = None
    calendar: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    frequency: str | None = None
    header: tuple[str, ...] = ()
    adjustment: str | None = None
    currency: str | None = None
    lot_size: float | None = None
    date_format: str | None = None
    decimal: str | None = None
    events: Path | None = None

    def command(self, **changes: Any) -> str:
        """Return the import of this request with changes, as it is typed in a shell: for a mend."""
        asked = replace(self, **changes)
        words = ["backtest", "data", "import", str(asked.file), "--ticker", asked.ticker]
        for name, flag in FLAGS.items():
            value = getattr(asked, name)
            if name == "header":
                words += [flag, ",".join(value)] if value else []
            elif value is not None and name != "columns":
                words += [flag, repr(value) if isinstance(value, float) else str(value)]
        said = " ".join(shlex.quote(word) for word in words)
        mapped = [f"--column {name}={shlex.quote(text)}" for name, text in asked.columns.items()]
        return " ".join([said, *mapped])

    @property
    def file(self) -> Path:
        """The file to read.

        Raises:
            UsageError: if none was given.
        """
        if self.path is None:
            raise UsageError("no file given to a source that reads one", mend="give a file")
        return self.path


class Source(Protocol):
    """Where an instrument comes from.

    ``kind``: ``file`` reads a file, ``pull`` asks the network, ``world`` makes data up. ``endings`` are
    those of a file source's files, with the dot; ``holds`` says what they hold. ``options`` names the
    parts of a :class:`Request`, of :data:`FLAGS` without ``frequency``, that the source obeys.
    """

    kind: ClassVar[Kind]
    endings: ClassVar[tuple[str, ...]]
    holds: ClassVar[str]
    options: ClassVar[frozenset[str]]

    def accepts(self, path: Path) -> bool:
        """Whether a file with one of its endings is for this source."""
        ...

    def read(self, request: Request) -> InstrumentData:
        """Return the instrument that is to be stored; store nothing.

        Raises:
            DataError: if nothing came, or not what was expected.
        """
        ...


def source_names(kind: Kind) -> list[str]:
    """The registered sources of a kind, by name."""
    return [name for name in registry.names("sources") if registry.load("sources", name).kind == kind]


def open_source(name: str, kind: Kind) -> Source:
    """Return the source of that name and kind.

    Raises:
        UnknownNameError: if there is none of that kind; near names are suggested.
    """
    known = source_names(kind)
    if name not in known:
        raise UnknownNameError("source to pull from" if kind == "pull" else f"{kind} source", name, known)
    source: Source = registry.load("sources", name)()
    return source


def source_of_file(path: Path, name: str | None = None) -> Source:
    """Return the source that reads a file: the one named, else the one that accepts it.

    Raises:
        BadFileError: if no source accepts it.
        UsageError: if several do, and none is named.
    """
    if name is not None:
        return open_source(name, "file")
    sources = {one: open_source(one, "file") for one in source_names("file")}
    found = [
        one
        for one, source in sources.items()
        if path.name.lower().endswith(source.endings) and source.accepts(path)
    ]
    if len(found) > 1:
        raise UsageError(
            f"{path} can be read by several sources: {', '.join(found)}", mend=f"add --source {found[0]}"
        )
    if not found:
        known = sorted(
            f"{ending} ({source.holds})" for source in sources.values() for ending in source.endings
        )
        raise BadFileError(
            f"{path} has the ending {path.suffix!r}; expected {' or '.join(known)}",
            mend="rename it to what it is, or name a source: --source NAME",
        )
    return sources[found[0]]


def read_checked(source: Source, request: Request) -> InstrumentData:
    """What the source reads, with the frequency of its bars found or as declared: the door to the store.

    Raises:
        DataError: if nothing came, not what was expected, prices that no market has, or bars of a
            frequency that nobody declared.
        UsageError: if the source does not obey an option of the request.
        UnknownNameError: for a frequency that there is not.
    """
    check_options(source, request)
    check_frequency(request.frequency)
    data = source.read(request)
    if source.holds == "guidance":
        return data  # it stands beside prices that came through here before
    check_prices(data)
    data = with_frequency(data, request.frequency)
    return with_note(data, moves_sentence(split_like_moves(data)))


def with_note(data: InstrumentData, said: str) -> InstrumentData:
    """The data with a sentence behind the note of its provenance; the same data for an empty one."""
    if not said or said in data.provenance.note:
        return data
    note = "; ".join(part for part in (data.provenance.note, said) if part)
    return replace(data, provenance=replace(data.provenance, note=note))


def check_options(source: Source, request: Request) -> None:
    """Raise unless the source obeys every option of the request.

    Raises:
        UsageError: naming the options that it does not know.
    """
    idle = [
        flag
        for name, flag in FLAGS.items()
        if name != "frequency" and getattr(request, name) not in (None, (), {}) and name not in source.options
    ]
    if request.frequency is not None and source.holds == "guidance":
        idle.append("--frequency")
    if idle:
        raise UsageError(
            f"{' and '.join(idle)} mean nothing for files of {source.holds}", mend="leave them out"
        )
