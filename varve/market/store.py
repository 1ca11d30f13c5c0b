"""The point-in-time store: one folder of Parquet files per ticker, written whole or not at all.

::

    <VARVE_HOME>/data/TSLA/bars.parquet  documents.parquet  events.parquet  provenance.json

A write fills a hidden folder beside and swaps it in by rename under a lock. A crash between the two
renames leaves the old folder under its hidden name; the next use puts it back.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from varve.bounded import UNREADABLE, parse_json, read_text
from varve.config import home
from varve.errors import DataError, IntegrityError, NoDataError, SettingError, StorageError, near_names
from varve.files import make_folder
from varve.files import sync_files as _sync
from varve.files import sync_folder as _sync_folder
from varve.market.data import InstrumentData, Provenance, instrument_json, instrument_of, provenance_of
from varve.market.frequency import density
from varve.market.parquet import read_tables, write_tables
from varve.types import Instrument, JsonObject

SCHEMA_VERSION = 1
"""Of the files in a ticker's folder; a store with a higher one is refused, not guessed at."""

ProvenanceTable = dict[str, Any]
"""What the store keeps of a ticker's data beside the tables, as it is read."""
_PROVENANCE = "provenance.json"
_TICKER = re.compile(r"[A-Za-z0-9^][A-Za-z0-9^=_-]*(\.[A-Za-z0-9^=_-]+)*")


def check_ticker(ticker: str) -> str:
    """``ticker`` itself, where it can be the name of a folder.

    Raises:
        SettingError: if it is empty, longer than 32 characters, or holds anything but letters,
            digits, ``^ = _ -`` and inner dots.
    """
    if len(ticker) > 32 or not _TICKER.fullmatch(ticker):
        raise SettingError(
            f"ticker {ticker!r} cannot be used: it names a folder of the store",
            mend="use letters, digits, '^', '=', '_', '-' and inner dots, at most 32, as in BRK-B or VOD.L",
        )
    return ticker


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One line of the store's list, from ``provenance.json`` alone; prices are not read.

    Sessions are ISO dates; ``missing`` counts sessions (weeks, months) without a bar. It and ``frequency``
    are None where an older Varve stored. ``problem`` says why an entry cannot be read; the others are empty.
    """

    ticker: str
    source: str = ""
    adjustment: str = ""
    fill_rule: str = ""
    calendar: str = ""
    currency: str = ""
    pulled_at: str | None = None
    first_session: str = ""
    last_session: str = ""
    bars: int = 0
    documents: int = 0
    events: int = 0
    content_hash: str = ""
    note: str = ""
    frequency: str | None = None
    missing: int | None = None
    problem: str | None = None


class Store:
    """Instruments kept on disk.

    Args:
        folder: where the tickers' folders are; ``<VARVE_HOME>/data`` when None. It is made at the
            first write.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = home() / "data" if folder is None else Path(folder)

    def tickers(self) -> tuple[str, ...]:
        """The stored tickers, sorted.

        Raises:
            StorageError: if the store's folder cannot be read.
        """
        self._put_back_interrupted()
        return self._listed()

    def has(self, ticker: str) -> bool:
        """Whether the store holds the ticker.

        Raises:
            SettingError: if the ticker cannot be a folder's name.
        """
        return check_ticker(ticker) in self.tickers()

    def list(self) -> list[StoreEntry]:
        """Every ticker with its provenance, sorted; a damaged one has its ``problem`` filled in."""
        entries = []
        for ticker in self.tickers():
            try:
                entries.append(self.entry(ticker))
            except (StorageError, IntegrityError) as error:
                entries.append(StoreEntry(ticker, problem=error.message))
        return entries

    def entry(self, ticker: str) -> StoreEntry:
        """One ticker's line of :meth:`list`.

        Raises:
            NoDataError: if the store does not hold the ticker.
            StorageError: if its provenance cannot be read.
        """
        folder = self._existing(ticker)
        with self._locked(exclusive=False):
            return _entry(ticker, _read_provenance(ticker, folder))

    def read(self, ticker: str) -> InstrumentData:
        """Everything stored on a ticker.

        Raises:
            NoDataError: if the store does not hold it; near names are given.
            StorageError: if a file is damaged, or written by a newer Varve.
            IntegrityError: if the content is not what was written.
        """
        folder = self._existing(ticker)
        with self._locked(exclusive=False):
            raw = _read_provenance(ticker, folder)
            data = _read_data(ticker, folder, raw)
        if data.content_hash != raw["content_hash"]:
            raise IntegrityError(
                f"stored data of {ticker!r} is not what was written: its content hash is "
                f"{data.content_hash[:12]}…, provenance.json says {str(raw['content_hash'])[:12]}…",
                mend=_again(ticker, str(raw["source"])),
            )
        return data

    def write(self, data: InstrumentData) -> StoreEntry:
        """Store an instrument under its symbol; what was there before is replaced whole.

        Raises:
            SettingError: if the symbol cannot be a folder's name.
            StorageError: if the store cannot be written; what was there before is unharmed.
        """
        ticker = check_ticker(data.instrument.symbol)
        raw = _provenance_json(data)
        try:
            make_folder(self.folder)
            self._refuse_other_spelling(ticker)
            target = self._folder(ticker)
            fresh = Path(tempfile.mkdtemp(prefix=f".new-{ticker}-", dir=self.folder))
            try:
                write_tables(fresh, data)
                (fresh / _PROVENANCE).write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
                _sync(fresh)
                self._swap_in(fresh, target)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return _entry(ticker, raw)

    def remove(self, ticker: str) -> None:
        """Forget a ticker.

        Raises:
            NoDataError: if the store does not hold it.
            StorageError: if it cannot be removed.
        """
        folder = self._existing(ticker)
        try:
            gone = Path(tempfile.mkdtemp(prefix=f".gone-{ticker}-", dir=self.folder))
            with self._locked(exclusive=True):
                folder.rename(gone / ticker)
            shutil.rmtree(gone, ignore_errors=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _listed(self) -> tuple[str, ...]:
        try:
            names = sorted(path.name for path in self.folder.iterdir() if path.is_dir() or path.is_symlink())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StorageError(
                f"the store {self.folder} cannot be read: {error.strerror or error}",
                mend="set VARVE_HOME to a folder you can read and write",
            ) from error
        return tuple(name for name in names if _TICKER.fullmatch(name))

    def _folder(self, ticker: str) -> Path:
        folder = self.folder / ticker
        inside = [folder, *(folder / name for name in (*_FILES, _PROVENANCE))]
        for path in inside:
            if path.is_symlink():
                raise StorageError(
                    f"{path} is a symbolic link; the store only follows folders and files of its own",
                    mend=f"remove the link and import {ticker} again",
                )
        return folder

    def _existing(self, ticker: str) -> Path:
        known = self.tickers() if check_ticker(ticker) else ()
        if ticker in known:
            return self._folder(ticker)
        close = near_names(ticker, known)
        near = f"; near names: {', '.join(close)}" if close else ""
        raise NoDataError(
            f"the store {self.folder} holds nothing on {ticker!r}; "
            f"it holds {', '.join(known) or 'no ticker yet'}{near}",
            mend=_again(ticker, ""),
        )

    def _refuse_other_spelling(self, ticker: str) -> None:
        """Names that differ in case only are one folder on some systems, and confusing on all."""
        for name in self._listed():
            if name != ticker and name.lower() == ticker.lower():
                raise SettingError(
                    f"the store already holds {name!r}; {ticker!r} would differ in upper and lower case only",
                    mend=f"use --ticker {name}",
                )

    def _swap_in(self, fresh: Path, target: Path) -> None:
        previous = target.with_name(f".previous-{target.name}")
        with self._locked(exclusive=True):
            self._settle(previous)
            if target.exists():
                target.rename(previous)
            try:
                fresh.rename(target)
            except OSError:
                if previous.exists():
                    previous.rename(target)
                raise
            _sync_folder(self.folder)
        shutil.rmtree(previous, ignore_errors=True)

    def _settle(self, previous: Path) -> None:
        """End what a crash interrupted: put the old folder back, or drop it where the new one is in."""
        target = previous.with_name(previous.name.removeprefix(".previous-"))
        if not previous.exists():
            return
        if target.exists():
            shutil.rmtree(previous)
        else:
            previous.rename(target)

    def _put_back_interrupted(self) -> None:
        if not any(self.folder.glob(".previous-*")):
            return
        try:
            with self._locked(exclusive=True):
                for previous in sorted(self.folder.glob(".previous-*")):
                    self._settle(previous)
        except OSError as error:
            raise self._unwritable(error) from error

    @contextmanager
    def _locked(self, *, exclusive: bool) -> Iterator[None]:
        """Hold the store against a swap by another process; held for renames and reads only."""
        path = self.folder / ".lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC if exclusive else os.O_RDONLY | os.O_CLOEXEC
        try:
            handle = os.open(path, flags, 0o644)
        except OSError:
            if exclusive:
                raise
            yield  # nobody has ever written here through a lock, or it may only be read
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(
            f"the store {self.folder} cannot be written: {error.strerror or error}; what it held is unharmed",
            mend="set VARVE_HOME to a folder you can write, with room on its disk",
        )


_FILES = ("bars.parquet", "documents.parquet", "events.parquet")
_NOT_ALWAYS_KEPT = {"frequency", "missing"}
_MAY_BE_NONE = {"frequency", "missing", "pulled_at"}


def _again(ticker: str, source: str) -> str:
    pull = f"backtest data pull {ticker} --source yahoo --start YYYY-MM-DD"
    load = f"backtest data import FILE --ticker {ticker}"
    if source.startswith("yahoo"):
        return pull
    return load if source else f"{load}, or {pull}"


def _provenance_json(data: InstrumentData) -> JsonObject:
    bars = data.bars
    missing = density(data, frequency=data.provenance.frequency or "daily").missing if len(bars) else 0
    return {
        "schema_version": SCHEMA_VERSION,
        "instrument": instrument_json(data.instrument),
        **asdict(data.provenance),
        "content_hash": data.content_hash,
        "first_session": bars.session(0).isoformat() if len(bars) else "",
        "last_session": bars.session(len(bars) - 1).isoformat() if len(bars) else "",
        "bars": len(bars),
        "missing": missing,
        "documents": len(data.documents),
        "events": len(data.events),
    }


def _read_provenance(ticker: str, folder: Path) -> ProvenanceTable:
    path = folder / _PROVENANCE
    try:
        raw = parse_json(read_text(path))
        version = raw["schema_version"]
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        whole = newer or _names_of_provenance() <= set(raw)
    except (OSError, *UNREADABLE) as error:
        raise StorageError(
            f"stored data of {ticker!r} has a {_PROVENANCE} that cannot be read: {error!r}",
            mend=_again(ticker, ""),
        ) from error
    if newer:
        raise StorageError(
            f"stored data of {ticker!r} was written by a newer Varve: its schema is {version}, "
            f"this Varve reads up to {SCHEMA_VERSION}",
            mend="install the newer Varve, or import the data again into another VARVE_HOME",
        )
    if not whole:
        missing = ", ".join(sorted(_names_of_provenance() - set(raw)))
        raise StorageError(
            f"stored data of {ticker!r} has a {_PROVENANCE} without {missing}", mend=_again(ticker, "")
        )
    return dict(raw)


def _names_of_provenance() -> set[str]:
    of_entry = {"first_session", "last_session", "bars", "documents", "events", "content_hash"}
    return {"instrument", *Provenance.__dataclass_fields__, *of_entry} - _NOT_ALWAYS_KEPT


def _read_data(ticker: str, folder: Path, raw: ProvenanceTable) -> InstrumentData:
    import pyarrow

    try:
        instrument, provenance = _described(raw)
        bars, documents, events = read_tables(folder)
    except (OSError, pyarrow.ArrowException, *UNREADABLE) as error:
        raise StorageError(
            f"stored data of {ticker!r} is damaged: {error}", mend=_again(ticker, str(raw["source"]))
        ) from error
    if instrument.symbol != ticker:
        raise IntegrityError(
            f"the folder of {ticker!r} holds data of {instrument.symbol!r}",
            mend=_again(ticker, str(raw["source"])),
        )
    try:
        return InstrumentData(instrument, bars, provenance, documents, events)
    except DataError as error:
        raise StorageError(
            f"stored data of {ticker!r} cannot be used: {error.message}",
            mend=_again(ticker, str(raw["source"])),
        ) from error


def _entry(ticker: str, raw: ProvenanceTable) -> StoreEntry:
    names = set(StoreEntry.__dataclass_fields__) - {"ticker", "calendar", "currency", "problem"}
    try:
        instrument, _ = _described(raw)
        kept: ProvenanceTable = {name: raw.get(name) for name in sorted(names)}
        _check_entry(kept)
    except UNREADABLE as error:
        raise StorageError(
            f"stored data of {ticker!r} has a {_PROVENANCE} that cannot be used: {error}",
            mend=_again(ticker, str(raw["source"])),
        ) from error
    return StoreEntry(ticker, calendar=instrument.calendar, currency=instrument.currency, **kept)


def _described(raw: ProvenanceTable) -> tuple[Instrument, Provenance]:
    kept = {name: raw.get(name) for name in Provenance.__dataclass_fields__}
    return instrument_of(raw["instrument"]), provenance_of(kept)


def _check_entry(kept: ProvenanceTable) -> None:
    for name, value in kept.items():
        kind = int if name in ("bars", "documents", "events", "missing") else str
        if not isinstance(value, kind) and not (value is None and name in _MAY_BE_NONE):
            raise ValueError(f"{name} cannot be {value!r}")
