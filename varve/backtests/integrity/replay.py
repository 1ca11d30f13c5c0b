"""Replay and resume: a run done again with the replies of its own journal, step against step.

Both walk the one way that a first run walks. The journal answers for the model, each step that comes
out is compared with the one recorded, and the first difference stops with its date, field and both
values. A resumed run goes on from there with the model; memory and ledger are then what they were,
because they were made again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from varve.backtests.derive import derive_tables
from varve.backtests.record.differences import JournalReplies, check_step, first_difference, shown
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.journal import Journal, JournaledStep
from varve.backtests.runner import OnStart, OnStep, Prepared, complete, steps_of
from varve.backtests.simulate.from_record import check_software, prepare_recorded, sole_writer
from varve.clock import Clock, iso, wall_clock
from varve.errors import IntegrityError, UsageError
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


def recorded_steps(folder: RunFolder, manifest: Mapping[str, Any]) -> list[JournaledStep]:
    """The steps of a run's journal, lessons first."""
    journal = Journal(folder.journal, run_id=manifest["run_id"], read_only=True)
    try:
        return journal.steps()
    finally:
        journal.close()


def resume_run(
    folder: RunFolder,
    *,
    given: Mapping[str, Any] | None = None,
    on_start: OnStart | None = None,
    on_step: OnStep | None = None,
    use_cache: bool = True,
    clock: Clock = wall_clock,
) -> RunFolder:
    """Go on with a run that was stopped, to the same digest that it would have had.

    Args:
        given: settings given beside it; each must be the run's own.

    Raises:
        UsageError: if it is finished, written by another process, or ``given`` differs.
        IntegrityError: if model, data, software or a recorded step are not what they were.
    """
    with sole_writer(folder):
        manifest = folder.read()
        check_settings(manifest, given or {})
        if manifest["status"] == "finished":
            raise UsageError(
                f"run {folder.run_id} is finished", mend=f"show it with: backtest report {folder.run_id}"
            )
        check_software(manifest)
        prepared = prepare_recorded(folder, manifest, _same_model(manifest))
        # A journal that was never begun, or lost its last transaction, has fewer steps and is whole.
        Journal(folder.journal, run_id=manifest["run_id"]).close()
        recorded = recorded_steps(folder, manifest)
        resumed = [*manifest.get("resumed_at", ()), iso(clock())]
        folder.update(status="running", reason=None, resumed_at=resumed)
        # The store is made again with the steps; what a kill left of it may be half a flush.
        shutil.rmtree(folder.memory, ignore_errors=True)
        complete(
            folder,
            prepared,
            recorded=recorded,
            on_start=on_start,
            on_step=on_step,
            use_cache=use_cache,
            clock=clock,
        )
    return folder


def check_settings(manifest: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """That settings given beside ``--resume`` are those of the run.

    Raises:
        UsageError: naming each that differs.
    """
    from varve.backtests.config import RunConfig

    then = manifest["config"]
    settings = {**then["settings"], **given.get("settings", {})}
    now = RunConfig.build(**{**then, **given, "settings": settings}).model_dump(mode="json")
    differing = [f"{name} {then[name]!r}, now {now[name]!r}" for name in then if then[name] != now[name]]
    if differing:
        raise UsageError(
            f"run {manifest['run_id']} has other settings: {'; '.join(differing)}",
            mend="resume it with --resume alone, or start a new run",
        )


def _same_model(manifest: Mapping[str, Any]) -> Any:
    from varve.finllm.chat.open_model import deciding, model_identity, open_model

    if manifest["model"] is None:
        return None
    config = manifest["config"]
    model = open_model(config["llm"], seed=manifest["seed"])
    # Runs of older versions do not name these.
    model = deciding(
        model,
        config.get("decide", "generate"),
        config.get("abstain_below", 0),
        config.get("abstain_as", "HOLD"),
    )
    then, now = manifest["model"], model_identity(model)
    found = first_difference(then["settings"], now["settings"]) or first_difference(then, now)
    if found:
        raise IntegrityError(
            f"run {manifest['run_id']} had another model: {found.path.lstrip('.')} "
            f"{shown(found.then)}, now {shown(found.now)}",
            mend="serve the model that it began with, or start the run anew",
        )
    return model
