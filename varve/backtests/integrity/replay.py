"""Replay and resume: a run done again with the replies of its own journal, step against step.

Both walk the one way that a first run walks. The journal answers for the model, each step that comes
out is compared with the one recorded, and the first difference stops with its date, field and both
values. A resumed run goes on from there with the model; memory and ledger are then what they were,
because they were made again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from varve.backtests.record.differences import JournalReplies, check_step
from varve.backtests.record.digest import mend_changed, run_digest
from varve.backtests.record.folder import COPY_AGAIN, DERIVED_FILES, RunFolder
from varve.backtests.record.journal import Journal, JournaledStep, recorded_steps
from varve.backtests.record.run_record import RunRecord
from varve.backtests.runner import OnStart, OnStep
from varve.backtests.simulate.from_record import model_json, prepare_recorded
from varve.backtests.simulate.prepare import Prepared
from varve.backtests.simulate.steps import steps_of
from varve.errors import BadFileError, IntegrityError
from varve.finllm.chat.reply_records import recorded_model
from varve.types import Trace


class Replayed(NamedTuple):
    """What a replay reproduced; ``digest`` is None for a run that was never finished."""

    steps: int
    digest: str | None


def replay_run(
    folder: RunFolder, *, on_start: OnStart | None = None, on_step: OnStep | None = None
) -> Replayed:
    """Do a recorded run again without a model and find everything equal; its folder is only read.

    Raises:
        IntegrityError: at the first difference, with date, field and both values.
        BadFileError: if the folder is not whole.
    """
    run = folder.read()
    prepared = prepare_recorded(folder, run, recorded_model(model_json(run)))
    recorded = recorded_steps(folder, run)
    if on_start:
        on_start(prepared, folder)
    with tempfile.TemporaryDirectory(prefix="varve-replay-") as scratch:
        copy = RunFolder(Path(scratch))
        _walk(prepared, recorded, copy, run.run_id, on_step)
        if run.status != "finished":
            return Replayed(len(recorded), None)
        if len(recorded) < prepared.total_steps and not _ruined(recorded):
            raise IntegrityError(
                f"the run has {prepared.total_steps} steps, its journal holds {len(recorded)}",
                mend=COPY_AGAIN,
            )
        digest = _digest(folder, run, copy)
    if digest != run.run_digest:
        raise IntegrityError(
            f"every step is equal, the run digest is not: recorded {run.run_digest}, now {digest}"
            f"{_WHAT_ELSE[run.digest_version]}",
            mend=mend_changed(run),
        )
    return Replayed(len(recorded), digest)


_WHAT_ELSE = {
    1: f"; run.json was changed, or one of {', '.join(DERIVED_FILES)}, which the digest of an old run holds",
    2: "; run.json was changed",
}


def _digest(folder: RunFolder, run: RunRecord, made: RunFolder) -> str:
    """The digest of the journal made again; version 1 with the derived files as they are stored.

    Raises:
        BadFileError: if version 1 is asked for and one of them is missing.
    """
    missing = [path.name for path in folder.derived if not path.is_file()]
    if run.digest_version == 1 and missing:
        raise BadFileError(
            f"the run digest of {folder.run_id} holds its derived files, and {', '.join(missing)} is missing",
            mend=f"copy it from where the run folder is whole, or build it: backtest report {folder.run_id}",
        )
    journal = Journal(made.journal, run_id=run.run_id, read_only=True)
    try:
        return run_digest(journal, run.digest_version, folder.derived)
    finally:
        journal.close()


def _walk(
    prepared: Prepared, recorded: list[JournaledStep], copy: RunFolder, run_id: str, on_step: OnStep | None
) -> None:
    """Every recorded step made again, checked and written to the copy's journal."""
    done = 0
    written = Journal(copy.journal, run_id=run_id)
    replies = JournalReplies(recorded)
    steps = steps_of(prepared, memory_folder=None, run_id=run_id, trace=Trace(), replies=replies)
    try:
        # The record first: where a run was stopped, the step after it would stop again.
        for done, (then, record) in enumerate(zip(recorded, steps, strict=False), start=1):
            check_step(record, then)
            written.append(record)
            if on_step:
                on_step(record, done, len(recorded))
    finally:
        steps.close()
        written.close()
    if done < len(recorded):
        raise IntegrityError(
            f"the journal holds {len(recorded)} steps, the run ends after {done}",
            mend=COPY_AGAIN,
        )


def _ruined(recorded: list[JournaledStep]) -> bool:
    return any(fill.clipped == "ruined" for fill in recorded[-1].row.fills) if recorded else False
