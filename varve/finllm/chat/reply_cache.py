"""The reply cache: replies of language models by everything that decided them, shared between runs.

One SQLite file in write-ahead mode, ``VARVE_HOME/cache/replies.db``; any number of processes may use
it. Only replies that could be used are kept: a bad one is asked anew in the next run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

from varve.bounded import UNREADABLE, parse_json, read_text
from varve.clock import Clock, iso, wall_clock
from varve.config import canonical_json, home
from varve.errors import BadFileError, IntegrityError, StorageError
from varve.finllm.chat.reply_records import message_of
from varve.finllm.chat.reply_source import Answered, Asked, Identity
from varve.sqlite import Kind, SqliteFile
from varve.types import Json, Usage

_SCHEMA = """
CREATE TABLE replies (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, fingerprint TEXT NOT NULL, created_at TEXT NOT NULL,
    reply TEXT NOT NULL, usage TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""
_OF_ROW = ", ".join(f"CAST({name} AS BLOB)" for name in ("key", "model", "fingerprint", "reply", "usage"))
"""As bytes: what a fault of the disk left may be no text any more, and must be readable as what it is."""
_HASHED = f"""
ALTER TABLE replies ADD COLUMN sha256 TEXT NOT NULL DEFAULT '';
UPDATE replies SET sha256 = entry_hash({_OF_ROW});
"""
"""From schema 2 on: a hash of each entry. It finds damage, not forgery; old entries are believed once."""


def _entry_hash(*columns: bytes) -> str:
    """SHA-256 (hex) over the columns of an entry, each with its length."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(len(column).to_bytes(8, "big") + column)
    return digest.hexdigest()


_KIND = Kind(
    name="the reply cache",
    migrations=(_SCHEMA, _HASHED),
    functions={"entry_hash": _entry_hash},
    mend_open="check VARVE_HOME and the free disk space, or run with --no-cache",
    mend_damaged="move the file away, or run with --no-cache; runs keep their replies in their journals",
    mend_newer="use the newer Varve that wrote it, or run with --no-cache",
)
_COLUMNS = ("key", "model", "fingerprint", "created_at", "reply", "usage")
_INTO = "INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)"


MAX_EXPORT_BYTES = 2**30
"""The largest exported file that is read."""


class CacheStats(NamedTuple):
    """What a model's replies in the cache cost when they were made."""

    model: str
    replies: int
    input_tokens: int
    output_tokens: int


class Imported(NamedTuple):
    """What became of the replies of an imported file."""

    added: int
    known: int
    differing: int


def cache_path() -> Path:
    """The cache of this ``VARVE_HOME``."""
    return home() / "cache" / "replies.db"


def reply_key(identity: Identity, asked: Asked) -> str:
    """SHA-256 (hex) over all that decides a reply.

    That is: the model's name and identifying settings (weights and adapter where it states them,
    sampling, backend), the messages and the tools. Above temperature 0 also the seed and the
    attempt: below, they decide nothing.

    Args:
        identity: as :func:`varve.finllm.chat.open_model.model_identity` gives it.
    """
    settings = dict(identity["settings"])
    drawn: list[Json] = []
    if settings.get("temperature"):
        drawn = [settings.get("seed"), asked.attempt]
    settings.pop("seed", None)
    parts = [identity["name"], settings, drawn, list(asked.messages), list(asked.tools)]
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


class ReplyCache:
    """The cache file; made where it is not there.

    Raises:
        StorageError: if it cannot be opened, read or written.
        IntegrityError: if it was written by a newer schema, or is no cache.
    """

    def __init__(self, path: Path | None = None, *, clock: Clock = wall_clock) -> None:
        self.path = cache_path() if path is None else path
        self._clock = clock
        self._file = SqliteFile(self.path, _KIND, make_folder=True)
        self.damaged: list[str] = []
        """Keys that were found damaged, in order; each counts as not there, and is replaced by the next."""

    def get(self, key: str) -> Answered | None:
        """Return the reply of that key; None where there is none, or a damaged one."""
        for entry in self._entries("WHERE key = ?", [key]):
            return entry.answered
        return None

    def _entries(self, where: str = "", given: Sequence[str] = ()) -> Iterator[_Entry]:
        """Give entries in order of key, those that are damaged without a reply; these are noted."""
        query = f"SELECT {_OF_ROW}, CAST(created_at AS BLOB), sha256 FROM replies {where} ORDER BY key"
        with self._file.failing("read"):
            rows = self._file.db.execute(query, given).fetchall()
        for *given_columns, sha256 in rows:
            # A damaged row may lack what its table says that every row has.
            *columns, created_at = [column or b"" for column in given_columns]
            texts = [column.decode("utf-8", "replace") for column in (*columns, created_at)]
            whole = sha256 == _entry_hash(*columns)
            key, model, fingerprint, reply, usage, made = texts
            entry = _Entry(key, model, fingerprint, made, _answered(reply, usage) if whole else None)
            if entry.answered is None and entry.key not in self.damaged:
                self.damaged.append(entry.key)
            yield entry

    def put(self, key: str, identity: Identity, answered: Answered) -> None:
        """Keep a reply; the first of a key stays, unless it is damaged."""
        row = (
            key,
            identity["name"],
            identity["fingerprint"],
            iso(self._clock()),
            canonical_json(answered.reply),
            canonical_json(asdict(answered.usage)),
        )
        way = "REPLACE" if key in self.damaged else "IGNORE"
        with self._file.failing("written"):
            self._file.db.execute(f"INSERT OR {way} {_INTO}", _hashed(row))

    def stats(self) -> list[CacheStats]:
        """Return replies and tokens by model, by name; damaged entries are noted and not counted."""
        found: dict[str, CacheStats] = {}
        for entry in self._entries():
            if entry.answered is not None:
                before = found.get(entry.model, CacheStats(entry.model, 0, 0, 0))
                usage = entry.answered.usage
                found[entry.model] = CacheStats(
                    entry.model,
                    before.replies + 1,
                    before.input_tokens + usage.input_tokens,
                    before.output_tokens + usage.output_tokens,
                )
        return [found[model] for model in sorted(found)]

    def prune(self, *, model: str | None = None, before: datetime | None = None) -> int:
        """Delete the replies of a model, or made before an instant, or both together; how many went."""
        where: list[str] = ["1"]
        given: list[str] = []
        if model is not None:
            where, given = [*where, "model = ?"], [*given, model]
        if before is not None:
            where, given = [*where, "created_at < ?"], [*given, iso(before)]
        with self._file.failing("written"):
            gone = self._file.db.execute(f"DELETE FROM replies WHERE {' AND '.join(where)}", given).rowcount
            self._file.db.execute("VACUUM")
        return gone

    def export(self, path: Path, keys: Iterable[str] | None = None) -> int:
        """Write all replies, or those of some keys, as JSON lines in order of key; return how many.

        Damaged entries are noted and left out.
        """
        wanted = None if keys is None else set(keys)
        entries = (entry for entry in self._entries() if wanted is None or entry.key in wanted)
        lines = [_line(entry, entry.answered) for entry in entries if entry.answered is not None]
        try:
            path.write_text("".join(lines), encoding="utf-8", newline="\n")
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written: {error}", mend="give a file that can be"
            ) from error
        return len(lines)

    def import_(self, path: Path) -> Imported:
        """Add the replies of an exported file; what is there stays, also where the file differs.

        Raises:
            BadFileError: if a line is no exported reply; nothing of the file is then added.
        """
        rows = list(_read_lines(path))
        added = differing = 0
        with self._file.writing():
            for row in rows:
                there = self.get(row[0])
                way = "REPLACE" if row[0] in self.damaged else "IGNORE"
                added += self._file.db.execute(f"INSERT OR {way} {_INTO}", _hashed(row)).rowcount
                differing += there is not None and canonical_json(there.reply) != row[4]
        return Imported(added, len(rows) - added - differing, differing)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CachedReplies:
    """The cache as one model's :class:`~varve.finllm.chat.reply_source.ReplySource`."""

    def __init__(self, cache: ReplyCache, identity: Identity) -> None:
        self._cache, self._identity = cache, identity

    @property
    def damaged(self) -> list[str]:
        """Keys of entries that were found damaged, in order."""
        return self._cache.damaged

    def find(self, asked: Asked) -> Answered | None:
        """The kept reply to that call."""
        return self._cache.get(reply_key(self._identity, asked))

    def keep(self, asked: Asked, answered: Answered) -> None:
        """Keep a usable reply for other runs."""
        self._cache.put(reply_key(self._identity, asked), self._identity, answered)


class _Entry(NamedTuple):
    """A row of the cache; ``answered`` is None where it is damaged."""

    key: str
    model: str
    fingerprint: str
    created_at: str
    answered: Answered | None


def _hashed(row: tuple[str, ...]) -> tuple[str, ...]:
    """A row in the order of the table's columns, with its hash behind it."""
    key, model, fingerprint, _, reply, usage = row
    return (*row, _entry_hash(*(text.encode() for text in (key, model, fingerprint, reply, usage))))


def _answered(reply: str, usage: str) -> Answered | None:
    """The reply of a row; None where it is none."""
    try:
        answered = Answered(parse_json(reply), usage_of(parse_json(usage)))
        message_of(answered)
    except (IntegrityError, *UNREADABLE):
        return None
    return answered


def usage_of(raw: object) -> Usage:
    """Tokens and calls as they were written.

    Raises:
        ValueError: if they are no counts.
    """
    if not isinstance(raw, dict) or not all(
        type(count) is int and 0 <= count < 2**53 for count in raw.values()
    ):
        raise ValueError(f"usage cannot be {raw!r}")
    return Usage(**raw)


def _line(entry: _Entry, answered: Answered) -> str:
    told = {"key": entry.key, "model": entry.model, "fingerprint": entry.fingerprint}
    values = {"created_at": entry.created_at, "reply": answered.reply, "usage": asdict(answered.usage)}
    return canonical_json({**told, **values}) + "\n"


def _read_lines(path: Path) -> Iterator[tuple[str, ...]]:
    try:
        # Not splitlines(): U+2028 and its like may stand inside a reply.
        lines = read_text(path, MAX_EXPORT_BYTES).removesuffix("\n").split("\n")
    except (OSError, ValueError) as error:
        raise BadFileError(
            f"{path} cannot be read: {error}", mend="give a file made by: backtest cache export"
        ) from error
    for number, line in enumerate(lines, start=1):
        try:
            entry = parse_json(line)
            usage = usage_of(entry["usage"])
            message_of(Answered(entry["reply"], usage))
            key, texts = bytes.fromhex(entry["key"]), [str(entry[name]) for name in _COLUMNS[1:4]]
            if len(key) != 32:
                raise ValueError("key is no SHA-256")
        except (IntegrityError, *UNREADABLE) as error:
            raise BadFileError(
                f"line {number} of {path} is no exported reply: {type(error).__name__}: {error}",
                mend="export the cache again; nothing of this file was added",
            ) from error
        yield (key.hex(), *texts, canonical_json(entry["reply"]), canonical_json(asdict(usage)))
