"""The run digest: what of a run's record must be equal for two runs to be the same run.

A digest has a version, kept in ``run.json`` as ``digest_version``; without one it is version 1. A
finished run keeps the version that it has; one that is resumed takes the latest.

Version 1 hashes every column of the journal but :data:`~varve.backtests.record.journal.UNCOMPARED` and
those that came after it, and then the derived files of the folder: so another digit in a table is another
digest.

Version 2 hashes the journal alone, and of it what :data:`VERSION_2` names. Anything that is added to the
journal later is left out; it can only enter under a new number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varve.backtests.record.folder import COPY_AGAIN, DERIVED_FILES
from varve.config import canonical_json
from varve.errors import IntegrityError
from varve.types import Json

if TYPE_CHECKING:
    from varve.backtests.record.folder import RunFolder
    from varve.backtests.record.journal import Journal
    from varve.backtests.record.run_record import RunRecord

LATEST = 2
"""The version of runs that begin now."""

_USAGE = {"input_tokens": None, "output_tokens": None, "calls": None}
_STEP = {"phase": None, "step": None, "decision_at": None, "instrument": None}

Fields = Mapping[str, "Fields | None"]
"""Names of fields that are hashed. None hashes a value whole; fields go down into an object, or into
each object of a list."""

VERSION_2: Mapping[str, Fields] = {
    "steps": {
        **_STEP,
        "session": None,
        "fill_session": None,
        "observation_hash": None,
        "decision": {
            "orders": None,
            "confidence": None,
            "rationale": None,
            "cited_memories": None,
            "tool_calls": {"name": None, "arguments": None, "result": None, "error": None},
            "usage": _USAGE,
            "failure": {"reason": None, "detail": None, "attempts": None},
            "stages": {"stage": None, "state": None, "detail": None, "shown": None},
        },
        "failure": None,
        "orders": None,
        "fills": {
            "symbol": None,
            "session": None,
            "filled_at": None,
            "quantity": None,
            "reference_price": None,
            "price": None,
            "commission": None,
            "clipped": None,
        },
        "outcomes": {
            "step": None,
            "symbol": None,
            "decided_at": None,
            "available_at": None,
            "position": None,
            "fill_session": None,
            "fill_price": None,
            "exit_session": None,
            "exit_price": None,
            "reward": None,
            "horizon_sessions": None,
            "cited_memories": None,
        },
        "portfolio": {"currency": None, "cash": None, "equity": None, "positions": None},
    },
    "model_calls": {
        **_STEP,
        "ordinal": None,
        "stage": None,
        "messages": None,
        "tools": None,
        "reply": {
            "content": None,
            "tool_calls": {"id": None, "name": None, "args": None},
            "invalid_tool_calls": {"id": None, "name": None, "args": None, "error": None},
            "finish_reason": None,
            "refusal": None,
            "cut_items": None,
        },
        "usage": _USAGE,
        "cut_items": None,
    },
    "memory_events": {**_STEP, "ordinal": None, "kind": None, "memory_id": None, "at": None, "data": None},
}
"""Tables and fields of version 2, in the order in which tables are hashed. What a model was asked, what it
was offered and what memory kept (``messages``, ``tools``, ``data``) are hashed whole: every key is content.
Left out are the run's name, timings (``seconds``), ``attempt`` and ``cached``."""


def run_digest(journal: Journal, version: int, stored: Sequence[Path]) -> str:
    """Return the run digest of a journal, SHA-256 (hex).

    Args:
        journal: the record.
        version: of the digest, 1 or 2.
        stored: the derived files that version 1 hashes; version 2 reads none.

    Raises:
        FileNotFoundError: if version 1 is asked for and one of them is missing.
    """
    return digest_1(journal, stored) if version == 1 else digest_2(journal)


def check_digest(folder: RunFolder, run: RunRecord, journal: Journal) -> str | None:
    """Check that the journal of a finished run is the one that its run digest was taken of.

    Returns:
        None where it is; else why that can no longer be checked: version 1 hashes derived files too, and
        some of them are missing, or were built again.

    Raises:
        IntegrityError: if it is another.
    """
    if run.status != "finished" or run.run_digest is None:
        return None
    missing = [path.name for path in folder.derived if not path.is_file()] if run.digest_version == 1 else []
    if missing:
        return (
            "unverified: its run digest, of version 1, holds derived files, "
            f"and {', '.join(missing)} had to be built again"
        )
    found = run_digest(journal, run.digest_version, folder.derived)
    if found == run.run_digest:
        return None
    if run.unverified is not None and run.digest_version == 1:
        return run.unverified
    what = "the journal" if run.digest_version > 1 else f"the journal, or one of {', '.join(DERIVED_FILES)},"
    raise IntegrityError(
        f"run {run.run_id} is not what it was: {what} was changed after it was finished; its run digest "
        f"is {found[:12]}…, run.json says {run.run_digest[:12]}…",
        mend=mend_changed(run),
    )


def mend_changed(run: RunRecord) -> str:
    """Say what mends a run whose digest is another than it was."""
    if run.digest_version > 1:
        return COPY_AGAIN
    return f"{COPY_AGAIN}; or delete the file that was changed: backtest report {run.run_id} builds it again"


def digest_1(journal: Journal, stored: Sequence[Path]) -> str:
    """Hash every compared column of every row, then name and bytes of each derived file."""
    from varve.backtests.record.journal import SINCE_SCHEMA_3, TABLES, UNCOMPARED

    digest, left_out = hashlib.sha256(), UNCOMPARED | SINCE_SCHEMA_3
    for table in TABLES:
        for row in journal.raw_rows(table):
            compared = {name: value for name, value in row.items() if name not in left_out}
            digest.update(canonical_json([table, compared]).encode())
    for path in stored:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def digest_2(journal: Journal) -> str:
    """Hash the fields of :data:`VERSION_2` of every row, one line of canonical JSON each."""
    digest = hashlib.sha256()
    for table, wanted in VERSION_2.items():
        for row in journal.raw_rows(table):
            digest.update(canonical_json([table, projected(row, wanted)]).encode() + b"\n")
    return digest.hexdigest()


def projected(value: Json, wanted: Fields | None) -> Json:
    """Return a JSON value with the wanted fields alone; one that is absent stays absent."""
    if wanted is None:
        return value
    if isinstance(value, Mapping):
        return {name: projected(value[name], below) for name, below in wanted.items() if name in value}
    if isinstance(value, list | tuple):
        return [projected(item, wanted) for item in value]
    return value
