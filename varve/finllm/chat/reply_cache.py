"""The reply cache: replies of language models by everything that decided them, shared between runs.

One SQLite file in write-ahead mode, ``VARVE_HOME/cache/replies.db``; any number of processes may use
it. Only replies that could be used are kept: a bad one is asked anew in the next run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

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
_KIND = Kind(
    name="the reply cache",
    migrations=(_SCHEMA,),
    mend_open="check VARVE_HOME and the free disk space, or run with --no-cache",
    mend_damaged="move the file away, or run with --no-cache; runs keep their replies in their journals",
    mend_newer="use the newer Varve that wrote it, or run with --no-cache",
)
_COLUMNS = ("key", "model", "fingerprint", "created_at", "reply", "usage")


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

    def get(self, key: str) -> Answered | None:
        """The reply of that key."""
        with self._file.failing("read"):
            row = self._file.db.execute("SELECT reply, usage FROM replies WHERE key = ?", [key]).fetchone()
        return None if row is None else Answered(json.loads(row[0]), Usage(**json.loads(row[1])))

    def put(self, key: str, identity: Identity, answered: Answered) -> None:
        """Keep a reply; the first of a key stays."""
        row = (
            key,
            identity["name"],
            identity["fingerprint"],
            iso(self._clock()),
            canonical_json(answered.reply),
            canonical_json(asdict(answered.usage)),
        )
        with self._file.failing("written"):
            self._file.db.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)", row)

    def stats(self) -> list[CacheStats]:
        """Replies and tokens by model, by name."""
        query = """SELECT model, count(*), sum(usage ->> 'input_tokens'), sum(usage ->> 'output_tokens')
                   FROM replies GROUP BY model ORDER BY model"""
        with self._file.failing("read"):
            return [CacheStats(*row) for row in self._file.db.execute(query)]

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
        """Write all replies, or those of some keys, as JSON lines in order of key; how many."""
        with self._file.failing("read"):
            rows = self._file.db.execute(f"SELECT {', '.join(_COLUMNS)} FROM replies ORDER BY key").fetchall()
        wanted = None if keys is None else set(keys)
        lines = [_line(row) for row in rows if wanted is None or row[0] in wanted]
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
                added += self._file.db.execute(
                    "INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)", row
                ).rowcount
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

    def find(self, asked: Asked) -> Answered | None:
        """The kept reply to that call."""
        return self._cache.get(reply_key(self._identity, asked))

    def keep(self, asked: Asked, answered: Answered) -> None:
        """Keep a usable reply for other runs."""
        self._cache.put(reply_key(self._identity, asked), self._identity, answered)


def _line(row: tuple[str, ...]) -> str:
    entry = dict(zip(_COLUMNS, row, strict=True))
    return canonical_json({**entry, "reply": json.loads(row[4]), "usage": json.loads(row[5])}) + "\n"


def _read_lines(path: Path) -> Iterator[tuple[str, ...]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFileError(
            f"{path} cannot be read: {error}", mend="give a file made by: backtest cache export"
        ) from error
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            usage = Usage(**entry["usage"])
            message_of(Answered(entry["reply"], usage))
            key, texts = bytes.fromhex(entry["key"]), [str(entry[name]) for name in _COLUMNS[1:4]]
            if len(key) != 32:
                raise ValueError("key is no SHA-256")
        except (ValueError, KeyError, TypeError, IntegrityError) as error:
            raise BadFileError(
                f"line {number} of {path} is no exported reply: {type(error).__name__}: {error}",
                mend="export the cache again; nothing of this file was added",
            ) from error
        yield (key.hex(), *texts, canonical_json(entry["reply"]), canonical_json(asdict(usage)))
