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
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.journal import Journal, JournaledStep, recorded_steps
from varve.backtests.results.tables import derive_tables
from varve.backtests.runner import OnStart, OnStep
from varve.backtests.simulate.from_record import prepare_recorded
from varve.backtests.simulate.prepare import Prepared
from varve.backtests.simulate.steps import steps_of
from varve.errors import IntegrityError
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
    manifest = folder.read()
    prepared = prepare_recorded(folder, manifest, recorded_model(manifest["model"]))
    recorded = recorded_steps(folder, manifest)
    if on_start:
        on_start(prepared, folder)
    with tempfile.TemporaryDirectory(prefix="varve-replay-") as scratch:
        copy = RunFolder(Path(scratch))
        copy.write(manifest)
        _walk(prepared, recorded, copy, on_step)
        if manifest["status"] != "finished":
            return Replayed(len(recorded), None)
        if len(recorded) < prepared.total_steps and not _ruined(recorded):
            raise IntegrityError(
                f"the run has {prepared.total_steps} steps, its journal holds {len(recorded)}",
                mend="copy the run folder again from where it is whole",
            )
        digest = derive_tables(copy, data=prepared.data).digest
    if digest != manifest["run_digest"]:
        raise IntegrityError(
            f"every step is equal, the run digest is not: recorded {manifest['run_digest']}, now {digest}",
            mend=f"if run.json or the derived files were changed: backtest report {folder.run_id}",
        )
    return Replayed(len(recorded), digest)


def _walk(prepared: Prepared, recorded: list[JournaledStep], copy: RunFolder, on_step: OnStep | None) -> None:
    """Every recorded step made again, checked and written to the copy's journal."""
    run_id, done = copy.read()["run_id"], 0
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
            mend="copy the run folder again from where it is whole",
        )


def _ruined(recorded: list[JournaledStep]) -> bool:
    return any(fill["clipped"] == "ruined" for fill in recorded[-1].row["fills"]) if recorded else False
