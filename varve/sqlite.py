"""SQLite files in write-ahead mode with a versioned schema, and one clear error for each way to fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from varve import files
from varve.errors import IntegrityError, StorageError

MAX_VALUE_BYTES = 256 * 2**20
"""The largest text or blob that is read or written."""

PATIENCE_S = 30.0
"""How long another process may hold the file before it counts as unusable."""


@dataclass(frozen=True)
class Kind:
    """What a kind of file is called, how it is made, and what mends it.

    Args:
        name: for messages, with its article: ``the reply cache``.
        migrations: statements that bring a file from schema i to i + 1; the version is their number.
        functions: what statements may call beside SQLite's own functions, by name.
        mend_open: what to do where the file cannot be opened, read or written.
        mend_damaged: what to do where it is damaged.
        mend_newer: what to do where a newer version wrote it.
    """

    name: str
    migrations: Sequence[str]
    mend_open: str
    mend_damaged: str
    mend_newer: str
    functions: Mapping[str, Callable[..., str | bytes]] = field(default_factory=dict)


class SqliteFile:
    """An open file of a kind; made where it is not there. May be used from several threads.

    Args:
        path: the file.
        kind: what it is.
        read_only: change nothing, not even beside the file; the file must exist.
        make_folder: make the folder that the file is in.

    Raises:
        StorageError: if it cannot be opened, read or written.
        IntegrityError: if a newer version wrote it, or it is damaged.
    """

    def __init__(self, path: Path, kind: Kind, *, read_only: bool = False, make_folder: bool = False) -> None:
        self.path, self.kind, self._lock = path, kind, RLock()
        if make_folder:
            files.make_folder(self.path.parent, mend=kind.mend_open)
        # SQLite itself follows links, also those of the files that it keeps beside.
        beside = [path.with_name(f"{path.name}{ending}") for ending in ("", "-wal", "-shm", "-journal")]
        files.refuse_links(beside, mend="put the file itself there, not a link to it")
        with self.failing("opened"):
            self.db = self._connect(read_only)
            for name, function in kind.functions.items():
                self.db.create_function(name, -1, function, deterministic=True)
        try:
            with self.failing("opened"):
                self._distrust()
                if not read_only:
                    _in_wal_mode(self.db)
                self._bring_up(read_only)
        except BaseException:
            self.db.close()
            raise

    def _connect(self, read_only: bool) -> sqlite3.Connection:
        if read_only:
            # Without a log beside it the file is whole; "immutable" then leaves no new files there.
            whole = not self.path.with_name(f"{self.path.name}-wal").exists()
            options = "mode=ro&immutable=1" if whole else "mode=ro"
            address = f"{self.path.resolve().as_uri()}?{options}"
            return sqlite3.connect(address, uri=True, timeout=PATIENCE_S, check_same_thread=False)
        return sqlite3.connect(self.path, isolation_level=None, timeout=PATIENCE_S, check_same_thread=False)

    def _distrust(self) -> None:
        """Let nothing that the file itself says be run: it may come from someone else.

        Raises:
            IntegrityError: if there is anything in it but tables and their indexes.
        """
        self.db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self.db.execute("PRAGMA trusted_schema = OFF")
        self.db.execute("PRAGMA cell_size_check = ON")
        self.db.execute("PRAGMA mmap_size = 0")
        found = self.db.execute(
            "SELECT type, substr(CAST(name AS TEXT), 1, 40) FROM sqlite_master"
            " WHERE type NOT IN ('table', 'index')"
            " OR (type = 'table' AND CAST(sql AS TEXT) LIKE 'CREATE VIRTUAL%')"
            " OR (type = 'index' AND sql IS NOT NULL)"
        ).fetchall()
        if found:
            raise self.damaged(f"it holds the {found[0][0]} {found[0][1]!r}, which no Varve makes")

    def _bring_up(self, read_only: bool) -> None:
        newest = len(self.kind.migrations)
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version < newest and not read_only:
            # Under the write lock: two processes may make the file at the same moment.
            self.db.execute("BEGIN IMMEDIATE")
            version = self.db.execute("PRAGMA user_version").fetchone()[0]
            for statements in self.kind.migrations[version:]:
                for statement in filter(str.strip, statements.split(";")):
                    self.db.execute(statement)
            version = max(version, newest)
            self.db.execute(f"PRAGMA user_version = {version}")
            self.db.execute("COMMIT")
        if version > newest:
            raise IntegrityError(
                f"{self.kind.name} {self.path} has schema {version}; this Varve reads up to {newest}",
                mend=self.kind.mend_newer,
            )

    @contextmanager
    def failing(self, verb: str) -> Iterator[None]:
        """Turn what SQLite raises into an error of Varve; ``verb`` says what was tried, in the passive."""
        with self._lock:
            try:
                yield
            except UnicodeDecodeError as error:  # a message of SQLite's own that quotes what is no text
                raise self.damaged("it holds what is no text") from error
            except sqlite3.DatabaseError as error:
                # A table that is there already is no trouble of the disk: another program made this file.
                if isinstance(error, sqlite3.OperationalError) and "already exists" not in str(error):
                    raise StorageError(
                        f"{self.kind.name} {self.path} cannot be {verb}: {error}", mend=self.kind.mend_open
                    ) from error
                raise self.damaged(str(error)) from error

    def damaged(self, what: str) -> IntegrityError:
        """The error of a file that does not hold what it should."""
        return IntegrityError(f"{self.kind.name} {self.path} is damaged: {what}", mend=self.kind.mend_damaged)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: everything in it is written, or nothing."""
        with self.failing("written"):
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self.db.close()


def _in_wal_mode(db: sqlite3.Connection) -> None:
    """Switch to write-ahead mode; SQLite itself does not wait for another process here."""
    for attempt in Retrying(
        retry=retry_if_exception(lambda error: "locked" in str(error)),
        stop=stop_after_delay(PATIENCE_S),
        wait=wait_fixed(0.02),
        reraise=True,
    ):
        with attempt:
            db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
