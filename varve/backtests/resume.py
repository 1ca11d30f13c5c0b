"""Resume a run that was stopped: replay its recorded steps, then continue with the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from varve.backtests.config import RunConfig
from varve.backtests.record.differences import first_difference, shown
from varve.backtests.record.digest import LATEST
from varve.backtests.record.folder import RunFolder, run_folders, runs_folder, set_aside
from varve.backtests.record.journal import Journal, recorded_steps
from varve.backtests.record.run_record import RunRecord
from varve.backtests.record.trial_registry.registry import registry_beside
from varve.backtests.record.writer_lock import sole_writer
from varve.backtests.runner import OnStart, OnStep, complete, enter_result, saying_why
from varve.backtests.simulate.from_record import check_software, prepare_recorded
from varve.clock import Clock, iso, wall_clock
from varve.config import merged
from varve.errors import BadFileError, IntegrityError, UsageError, VarveError
from varve.files import remove_tree
from varve.types import Json, JsonObject

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


def resume_run(
    folder: RunFolder,
    *,
    given: Mapping[str, Json] | None = None,
    on_start: OnStart | None = None,
    on_step: OnStep | None = None,
    on_recorded: Callable[[int, int], None] | None = None,
    use_cache: bool = True,
    servers: Iterable[str] = (),
    clock: Clock = wall_clock,
) -> RunFolder:
    """Go on with a run that was stopped, to the same digest that it would have had, in the latest version.

    Args:
        given: settings given beside it; each must be the run's own.
        servers: base URLs that may get the user's key though only the record names them; the model in
            ``given`` is one that the user named, too.
        on_recorded: called with how many steps the journal holds, of how many; the others are made (again).

    Raises:
        UsageError: if it is finished, written by another process, ``given`` differs, or a key would go to a
            server that the record alone names.
        StorageError: if something in the folder that would be written to is a symbolic link.
        BadFileError: if the run died before it had its inputs; its folder is then set aside.
        IntegrityError: if model, data, software or a recorded step are not what they were.
    """
    with sole_writer(folder):
        run = folder.read()
        check_settings(run, given or {})
        if run.status == "finished":
            return _finished(folder, run)
        folder.check_own()
        _has_inputs(folder, run)
        check_software(run)
        named = (given or {}).get("llm")
        prepared = prepare_recorded(
            folder, run, _same_model(run, [*servers, *([str(named)] if named else [])])
        )
        # A journal that was never begun, or lost its last transaction, has fewer steps and is whole.
        Journal(folder.journal, run_id=run.run_id).close()
        recorded = recorded_steps(folder, run)
        resumed = [*run.resumed_at, max(iso(clock()), run.started_at)]
        # It has no digest yet; version 1 would hash tables as no version before made them.
        folder.update(status="running", reason=None, resumed_at=resumed, digest_version=LATEST)
        with saying_why(folder, clock):
            # The store is made again with the steps; what a kill left of it may be half a flush.
            remove_tree(folder.memory)
            if on_recorded:
                on_recorded(len(recorded), prepared.total_steps)
            complete(
                folder,
                prepared,
                recorded=recorded,
                on_start=on_start,
                on_step=on_step,
                use_cache=use_cache,
                clock=clock,
            )
        enter_result(folder, clock)
    return folder


def _finished(folder: RunFolder, run: RunRecord) -> RunFolder:
    """A finished run has nothing to resume but its place in the trial registry, where it missed it."""
    registry = registry_beside(folder)
    if registry is not None and registry.enter_missing(run):
        return folder
    raise UsageError(
        f"run {folder.run_id} is finished", mend=f"show it with: backtest report {folder.run_id}"
    )


def _has_inputs(folder: RunFolder, run: RunRecord) -> None:
    if folder.whole(run):
        return
    where = f"it is now {set_aside(folder)}" if folder.path.parent == runs_folder() else "nothing is in it"
    raise BadFileError(
        f"run {folder.run_id} died before it had its inputs, and cannot be resumed; {where}",
        mend="start it again with the settings that its run.json names",
    )


def check_settings(run: RunRecord, given: Mapping[str, Json]) -> None:
    """That settings given beside ``--resume`` are those of the run.

    Raises:
        UsageError: naming each that differs.
    """
    from varve.backtests.config import RunConfig

    then = run.config.as_json()
    own = given.get("settings", {})
    settings = merged(run.config.settings, own if isinstance(own, Mapping) else {})
    now = RunConfig.build(**{**then, **given, "settings": settings}).model_dump(mode="json")
    differing = [f"{name} {then[name]!r}, now {now[name]!r}" for name in then if then[name] != now[name]]
    if differing:
        raise UsageError(
            f"run {run.run_id} has other settings: {'; '.join(differing)}",
            mend="resume it with --resume alone, or start a new run",
        )


def _same_model(run: RunRecord, servers: Sequence[str]) -> BaseChatModel | None:
    from varve.finllm.chat.open_model import deciding, model_identity, open_model
    from varve.finllm.served import check_key_may_go

    if run.model is None:
        return None
    config = run.config
    again = f"backtest run --resume {run.run_id} --llm {config.llm}"
    check_key_may_go(config.llm, named_by=f"run {run.run_id}", given=servers, again=again)
    model = open_model(config.llm, seed=run.seed)
    model = deciding(model, config.decide, config.abstain_below, config.abstain_as)
    then, now = run.model.as_json(), cast("JsonObject", model_identity(model))
    found = first_difference(then["settings"], now["settings"]) or first_difference(then, now)
    if found:
        raise IntegrityError(
            f"run {run.run_id} had another model: {found.path.lstrip('.')} "
            f"{shown(found.then)}, now {shown(found.now)}",
            mend="serve the model that it began with, or start the run anew",
        )
    return model


def unfinished_run(config: RunConfig) -> RunFolder | None:
    """Return the newest run of exactly these settings that was stopped and is nobody's now; None without one.

    One that died before it had its inputs cannot go on, and is set aside.
    """
    named = f"-{config.agent}-{config.ticker}-{config.identity()[:6]}"
    # A run's folder is named by time first.
    for folder in reversed(run_folders(runs_folder())):
        if named not in folder.run_id:
            continue
        try:
            run = folder.read()
            if run.config_hash != config.identity() or run.status == "finished":
                continue
            with sole_writer(folder):
                if folder.whole(run):
                    return folder
                set_aside(folder)
        except VarveError:
            continue
    return None
