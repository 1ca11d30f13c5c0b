"""Run one backtest: check everything first, then simulate into the journal, then derive the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from varve.backtests.record.trial_registry.registry import TrialRegistry, note_result
from varve.backtests.record.writer_lock import sole_writer
from varve.backtests.simulate.prepare import Prepared, prepare
from varve.backtests.simulate.rule_search import trials_of_search
from varve.backtests.simulate.starting_memory import keep_with_run, memory_entry
from varve.backtests.simulate.steps import cached_replies, steps_of
from varve.clock import Clock, iso, wall_clock
from varve.errors import VarveError
from varve.market.data import instrument_json
from varve.types import JsonObject, Trace

if TYPE_CHECKING:
    from varve.finllm.chat.reply_source import ReplySource

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
        if prepared.search is not None:
            registry.add(trials_of_search(run))
        if bundle:
            write_inputs(folder.inputs, prepared.data)
        if prepared.snapshot is not None:
            keep_with_run(folder, prepared.snapshot)
        complete(folder, prepared, on_start=on_start, on_step=on_step, use_cache=use_cache, clock=clock)
    return folder


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
    try:
        with cached_replies(prepared, use_cache) as cached:
            _simulate_into_journal(prepared, folder, recorded, cached, on_step)
        # What is killed before it has its results is not finished, and can be resumed.
        done = {"status": "finished", "finished_at": iso(clock())}
        metrics = derive(folder, data=prepared.data, then=done)
    except (VarveError, KeyboardInterrupt) as error:
        reason = str(error) or "interrupted"
        folder.update(status="stopped", reason=reason, finished_at=iso(clock()))
        raise
    note_result(folder, metrics.agent.sharpe, metrics.bars_per_year, clock=clock)


def _simulate_into_journal(
    prepared: Prepared,
    folder: RunFolder,
    recorded: Sequence[JournaledStep],
    cached: ReplySource | None,
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
    try:
        for done, record in enumerate(steps, start=1):
            if done <= len(recorded):
                check_step(record, recorded[done - 1])
            else:
                journal.append(record)
            if on_step:
                on_step(record, done, prepared.total_steps)
    finally:
        steps.close()
        journal.close()


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
