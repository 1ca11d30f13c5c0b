"""Run one backtest: check everything first, then simulate into the journal, then derive the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from varve.backtests.config import RunConfig
from varve.backtests.record.differences import JournalReplies, check_step
from varve.backtests.record.digest import LATEST
from varve.backtests.record.folder import RUN_SCHEMA_VERSION, RunFolder, create_run_folder, software
from varve.backtests.record.inputs import write_inputs
from varve.backtests.record.journal import Journal, JournaledStep
from varve.backtests.record.run_record import KnowledgeEntry, RunRecord, WindowEntry
from varve.backtests.record.step import StepRecord
from varve.backtests.record.trial_registry.registry import TrialRegistry, registry_beside
from varve.backtests.record.writer_lock import sole_writer
from varve.backtests.simulate.prepare import Prepared, prepare
from varve.backtests.simulate.rule_search import trials_of_search
from varve.backtests.simulate.starting_memory import keep_with_run, memory_entry
from varve.backtests.simulate.steps import cached_replies, steps_of
from varve.clock import Clock, iso, wall_clock
from varve.errors import DataError, IntegrityError, StorageError, VarveError
from varve.market.data import instrument_json
from varve.types import JsonObject, Trace

if TYPE_CHECKING:
    from varve.finllm.chat.reply_cache import CachedReplies

OnStart = Callable[["Prepared", RunFolder], None]
OnStep = Callable[[StepRecord, int, int], None]
"""Called after each step with the record, how many steps are done, and of how many."""


def run_backtest(
    config: RunConfig,
    *,
    on_start: OnStart | None = None,
    on_step: OnStep | None = None,
    bundle: bool = True,
    use_cache: bool = True,
    clock: Clock = wall_clock,
) -> RunFolder:
    """Run a backtest into a new folder under ``VARVE_HOME/runs`` and derive its results.

    Args:
        bundle: keep the facts that were seen in the run folder.
        use_cache: take replies from the reply cache and keep new ones there.

    Raises:
        VarveError: before anything is written if the settings do not fit; later (a model away, a
            full disk, too many failures) with every finished step kept and ``run.json`` saying why.
    """
    prepared = prepare(config)
    registry = TrialRegistry(clock=clock)
    registry.check()
    folder = create_run_folder(config, clock())
    with sole_writer(folder):
        run = begun_record(prepared, folder, clock, bundle=bundle)
        folder.write(run.changed(trial=registry.begin(run).as_json()))
        with saying_why(folder, clock):
            if prepared.search is not None:
                registry.add(trials_of_search(run))
            if bundle:
                write_inputs(folder.inputs, prepared.data)
            if prepared.snapshot is not None:
                keep_with_run(folder, prepared.snapshot)
            complete(folder, prepared, on_start=on_start, on_step=on_step, use_cache=use_cache, clock=clock)
        enter_result(folder, clock)
    return folder


@contextmanager
def saying_why(folder: RunFolder, clock: Clock) -> Iterator[None]:
    """Leave status and reason in ``run.json`` where the run does not come to its end, whatever ends it."""
    try:
        yield
    except BaseException as error:
        said = str(error) or ("interrupted" if isinstance(error, KeyboardInterrupt) else "no reason given")
        kind = "" if isinstance(error, VarveError | KeyboardInterrupt) else f"{type(error).__name__}: "
        # On a full disk this fails too; the failure that came first is the one to show.
        with suppress(VarveError):
            folder.update(status="stopped", reason=kind + said, finished_at=_now(folder, clock))
        raise


def complete(
    folder: RunFolder,
    prepared: Prepared,
    *,
    recorded: Sequence[JournaledStep] = (),
    on_start: OnStart | None = None,
    on_step: OnStep | None = None,
    use_cache: bool = True,
    clock: Clock = wall_clock,
) -> None:
    """Simulate a run to its end, journal what is not recorded yet, and derive the results.

    Args:
        recorded: the steps in the journal already; each is made again and must be equal.
    """
    from varve.backtests.derive import derive

    if on_start:
        on_start(prepared, folder)
    with cached_replies(prepared, use_cache) as cached:
        _simulate_into_journal(prepared, folder, recorded, cached, on_step)
    damaged = [] if cached is None else cached.damaged
    # What is killed before it has its results is not finished, and can be resumed.
    done: JsonObject = {"status": "finished", "reason": None, "finished_at": _now(folder, clock)}
    if damaged:
        done["damaged_replies"] = [*folder.read().damaged_replies, *damaged]
    derive(folder, data=prepared.data, then=done)


def _now(folder: RunFolder, clock: Clock) -> str:
    """The present instant, but not before the run began: a clock may have been set back since."""
    run = folder.read()
    return max(iso(clock()), run.started_at, *run.resumed_at)


def enter_result(folder: RunFolder, clock: Clock) -> None:
    """Enter the result of a finished run in the trial registry that it is in, if any.

    Raises:
        StorageError, IntegrityError: if it cannot be entered; the run keeps its results.
    """
    try:
        registry = registry_beside(folder, clock=clock)
        if registry is not None:
            registry.enter_missing(folder.read())
    except VarveError as error:
        kind = StorageError if isinstance(error, DataError) else IntegrityError
        raise kind(
            f"run {folder.run_id} is finished and has its results, but the trial registry does not know "
            f"of it: {error.message}",
            mend=f"backtest trials rebuild; then: backtest report {folder.run_id}",
        ) from error


def _simulate_into_journal(
    prepared: Prepared,
    folder: RunFolder,
    recorded: Sequence[JournaledStep],
    cached: CachedReplies | None,
    on_step: OnStep | None,
) -> None:
    # A copied folder may have another name than its run.
    run_id = folder.read().run_id
    journal = Journal(folder.journal, run_id=run_id)
    steps = steps_of(
        prepared,
        memory_folder=folder.memory,
        run_id=run_id,
        trace=Trace(),
        replies=JournalReplies(recorded, cached),
    )
    with _ended_by(steps.close, journal.close):
        for done, record in enumerate(steps, start=1):
            if done <= len(recorded):
                check_step(record, recorded[done - 1])
            else:
                journal.append(record)
            if on_step:
                on_step(record, done, prepared.total_steps)


@contextmanager
def _ended_by(*ends: Callable[[], None]) -> Iterator[None]:
    """Call each at the end. Of several failures the first is raised: on a full disk it names the cause."""
    first: BaseException | None = None
    try:
        yield
    except BaseException as error:  # noqa: BLE001 (raised below)
        first = error
    for end in ends:
        try:
            end()
        except Exception as error:  # noqa: BLE001 (raised below)
            first = first or error
    if first is not None:
        raise first


def knowledge_entry(prepared: Prepared) -> KnowledgeEntry | None:
    """Return what ``run.json`` says of how much of the window the model may have read; None without one."""
    from varve.finllm.chat.model_cards import knowledge_of

    if prepared.model is None:
        return None
    bars, window = prepared.data.bars, prepared.window
    known = knowledge_of(
        prepared.config.llm,
        bars.session(window.first),
        bars.session(window.last),
        synthetic=prepared.data.provenance.synthetic,
    )
    return KnowledgeEntry.model_validate(known)


def begun_record(prepared: Prepared, folder: RunFolder, clock: Clock, *, bundle: bool) -> RunRecord:
    """Return the record of a run that begins now."""
    from varve.finllm.chat.open_model import model_identity

    config, data, window = prepared.config, prepared.data, prepared.window
    memory = memory_entry(prepared.snapshot, data, window)
    knowledge = knowledge_entry(prepared)
    entries: JsonObject = {
        "schema_version": RUN_SCHEMA_VERSION,
        "digest_version": LATEST,
        "rules": prepared.rules,
        "run_id": folder.run_id,
        "status": "running",
        "reason": None,
        "started_at": iso(clock()),
        "finished_at": None,
        "data_label": prepared.label,
        "synthetic": data.provenance.synthetic,
        "config": config.model_dump(mode="json"),
        "config_hash": config.identity(),
        "agent_settings": prepared.trader_config.model_dump(mode="json"),
        "tuning": None if prepared.search is None else prepared.search.entry.as_json(),
        "costs": prepared.costs.model_dump(mode="json"),
        "fill_rule": prepared.fill_rule,
        "instrument": instrument_json(data.instrument),
        "provenance": asdict(data.provenance),
        "data_hash": data.content_hash,
        "bundle": bundle,
        "window": window_entry(prepared).as_json(),
        "model": None if prepared.model is None else cast("JsonObject", model_identity(prepared.model)),
        "knowledge": None if knowledge is None else knowledge.as_json(),
        "memory": None if memory is None else memory.as_json(),
        "seed": config.seed,
        "software": software().as_json(),
    }
    return RunRecord.model_validate(entries)


def window_entry(prepared: Prepared) -> WindowEntry:
    """Return what ``run.json`` says of the window."""
    bars, window = prepared.data.bars, prepared.window
    return WindowEntry(
        warmup_start=iso(bars.session(window.warmup_first)),
        start=iso(bars.session(window.first)),
        end=iso(bars.session(window.last)),
        warmup_sessions=window.first - window.warmup_first,
        sessions=window.last - window.first + 1,
    )
