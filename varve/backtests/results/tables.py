"""Build metrics.json and the CSV tables of a run from its journal, and take the run digest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import NamedTuple

from varve.backtests.record.digest import check_digest, digest_1, run_digest
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.journal import Journal
from varve.backtests.record.memories import told_of_rows
from varve.backtests.record.rows import CallRow, StepRow
from varve.backtests.record.run_record import RunRecord
from varve.backtests.results.cautions import cautions
from varve.backtests.results.metrics import compute_metrics
from varve.backtests.results.metrics_file import (
    METRICS_FILE,
    Figures,
    LuckEntry,
    MetricColumn,
    RunMetrics,
)
from varve.backtests.results.returns import SessionReturns, bars_per_year
from varve.backtests.results.sharpe import sharpe_estimate, window_sentence
from varve.backtests.results.stage_figures import abstentions, stage_figures
from varve.backtests.results.track import Track, track_of_records, track_of_rows
from varve.backtests.results.vectorbt_adapter import check_track
from varve.backtests.simulate.from_record import bar_index, recorded_data
from varve.backtests.simulate.prepare import Prepared, find_trader
from varve.backtests.simulate.random_draws import luck_range
from varve.backtests.simulate.steps import run_baseline
from varve.backtests.simulate.window import Window
from varve.envs.desk import in_words
from varve.errors import BadFileError
from varve.files import replace_file
from varve.harmless import csv_text
from varve.market.data import InstrumentData
from varve.memory.history import Told
from varve.types import Fill, Json, JsonObject, Usage

Cell = Json | date | datetime
"""What a table holds."""


class Tables(NamedTuple):
    """What follows from a journal without drawing anything: metrics, tables on disk, the run digest."""

    run: RunRecord
    """What ``run.json`` held before."""
    metrics: RunMetrics
    """What ``metrics.json`` holds."""
    digest: str
    """The run digest, in the run's version."""
    unverified: str | None
    """Why the digest of a finished run cannot be checked; None where it was."""
    tracks: list[Track]
    """The agent's track, then those of its baselines."""
    steps: list[StepRow]
    """The trading steps."""
    calls: list[CallRow]
    """All model calls, those of the warm-up among them."""
    told: list[Told]
    """All steps as memory tells them."""
    lessons: list[StepRow]
    """The steps of the warm-up."""
    data: InstrumentData
    """The run's inputs."""


def derive_tables(folder: RunFolder, *, data: InstrumentData | None = None) -> Tables:
    """Build ``metrics.json`` and the tables, and take the run digest; as :func:`derive` otherwise.

    The files of a finished run whose digest hashes them stay as they are where they are what was hashed.
    """
    run = folder.read()
    data = data or recorded_data(folder, run)
    journal = Journal(folder.journal, run_id=run.run_id, read_only=True)
    try:
        unverified = check_digest(folder, run, journal)
        steps = list(journal.rows("steps", "trade"))
        lessons = list(journal.rows("steps", "warmup"))
        calls = list(journal.rows("model_calls"))
        if not steps:
            raise _nothing_traded(folder, run)
        prepared = _prepared(run, data, steps)
        agent = track_of_rows(run.config.agent, steps, prepared)
        tracks = [agent, *_baselines(prepared, agent, _changes(steps))]
        metrics = _metrics(run, prepared, tracks, steps, lessons, calls)
        if not _stored_is_hashed(folder, run, journal):
            _write_tables(folder, agent, steps, metrics)
        digest = _recorded_digest(run) or run_digest(journal, run.digest_version, folder.derived)
        told = told_of_rows([*lessons, *steps], journal.rows("memory_events"))
    finally:
        journal.close()
    return Tables(run, metrics, digest, unverified, tracks, steps, calls, told, lessons, data)


def _recorded_digest(run: RunRecord) -> str | None:
    """The digest that a finished run keeps, because tables that are built later are not what it hashed."""
    return run.run_digest if run.digest_version == 1 and run.status == "finished" else None


def _stored_is_hashed(folder: RunFolder, run: RunRecord, journal: Journal) -> bool:
    recorded = _recorded_digest(run)
    there = recorded is not None and all(path.is_file() for path in folder.derived)
    return there and digest_1(journal, folder.derived) == recorded


def _baselines(prepared: Prepared, agent: Track, changes: int) -> list[Track]:
    """Buy-and-hold, a moving-average cross, and a random trader that trades as often as the agent."""
    sessions = len(agent.equity) - 1
    settings: dict[str, JsonObject] = {
        "buy-and-hold": {},
        "sma-cross": {},
        "random": {"flip_probability": min(1.0, changes / sessions)},
    }
    return [
        track_of_records(name, run_baseline(prepared, name, **chosen), prepared)
        for name, chosen in settings.items()
        if name != agent.name
    ]


def _changes(steps: Sequence[StepRow]) -> int:
    """How many decisions were filled; what is worked off later is no change of mind."""
    return sum(
        any(fill.clipped not in ("cash_in_lieu", "ruined") for fill in row.fills)
        and not any(one.action == "HOLD" for one in row.became or ())
        for row in steps
    )


def _metrics(
    run: RunRecord,
    prepared: Prepared,
    tracks: list[Track],
    steps: list[StepRow],
    lessons: list[StepRow],
    calls: list[CallRow],
) -> RunMetrics:
    year = bars_per_year(tracks[0], prepared.data.instrument.calendar)
    columns = [_column(track, prepared) for track in tracks]
    # The agent's figures alone tell of decisions and of the model.
    agent = Figures.model_validate({**columns[0].metrics.as_json(), **_of_agent(run, steps, lessons, calls)})
    columns[0] = columns[0].model_copy(update={"metrics": agent})
    luck = luck_range(prepared, _changes(steps), tracks[0].equity[-1] / tracks[0].equity[0] - 1.0)
    estimate = sharpe_estimate(SessionReturns.of(tracks[0]), year)
    return RunMetrics(
        ticker=prepared.config.ticker,
        synthetic=run.synthetic,
        fill_rule=run.fill_rule,
        currency=prepared.data.instrument.currency,
        start=run.window.start,
        end=steps[-1].fill_session or "",
        columns=tuple(columns),
        cautions=tuple(cautions(run, prepared.data, lessons, steps)),
        luck=None if luck is None else LuckEntry.model_validate(luck._asdict()),
        sentence=window_sentence(len(steps), year, estimate),
        bars_per_year=year,
    )


def _column(track: Track, prepared: Prepared) -> MetricColumn:
    year = bars_per_year(track, prepared.data.instrument.calendar)
    difference = _against_vectorbt(track, prepared)
    figures = compute_metrics(track, year).json()
    return MetricColumn(
        name=track.name,
        metrics=Figures.model_validate(figures),
        ledger_matches_vectorbt=difference <= 1e-9,
    )


def _of_agent(
    run: RunRecord, steps: list[StepRow], lessons: list[StepRow], calls: list[CallRow]
) -> JsonObject:
    usage = sum((call.usage.plain for call in calls), Usage())
    return {
        "failures": sum(row.failure is not None for row in steps),
        "warmup_failures": sum(row.failure is not None for row in lessons),
        "decisions": len(steps),
        **abstentions(run.config, calls),
        "tokens": usage.input_tokens + usage.output_tokens,
        "usage": asdict(usage),
        **stage_figures([*lessons, *steps], calls),
    }


def _against_vectorbt(track: Track, prepared: Prepared) -> float:
    """How far ledger and vectorbt lie apart at most, as a fraction of initial equity."""
    return check_track(track, filled_after_mark=prepared.fill_rule == "same_close")


def check_ledger(folder: RunFolder, data: InstrumentData) -> float:
    """How far the journaled ledger and vectorbt's replay of its fills lie apart.

    Returns:
        The largest difference as a fraction of initial equity.

    Raises:
        IntegrityError: if it is above 1e-9.
    """
    trading = recorded_trading(folder, data)
    return _against_vectorbt(track_of_rows("audited", trading.steps, trading.prepared), trading.prepared)


class Trading(NamedTuple):
    """The trading steps of a run with its data and window, as baselines need them."""

    run: RunRecord
    prepared: Prepared
    steps: list[StepRow]
    unverified: str | None
    """Why the digest of a finished run cannot be checked; None where it was."""


def recorded_trading(folder: RunFolder, data: InstrumentData | None = None) -> Trading:
    """What a run decided and on what, from its folder alone.

    Raises:
        BadFileError: if the journal holds no trading step, or the inputs are missing or others.
        IntegrityError: if the journal was changed after the run was finished.
    """
    run = folder.read()
    data = data or recorded_data(folder, run)
    journal = Journal(folder.journal, run_id=run.run_id, read_only=True)
    try:
        unverified = check_digest(folder, run, journal)
        steps = list(journal.rows("steps", "trade"))
    finally:
        journal.close()
    if not steps:
        raise _nothing_traded(folder, run)
    return Trading(run, _prepared(run, data, steps), steps, unverified)


def _nothing_traded(folder: RunFolder, run: RunRecord) -> BadFileError:
    return BadFileError(
        f"{folder.path} holds no trading step: {run.reason or run.status}",
        mend=f"go on with it: backtest run --resume {folder.run_id}",
    )


def _write_tables(folder: RunFolder, agent: Track, steps: Sequence[StepRow], metrics: RunMetrics) -> None:
    text = json.dumps(metrics.as_json(), indent=2, allow_nan=False) + "\n"
    replace_file(folder.path / METRICS_FILE, text)
    decisions = [_decision_row(row) for row in steps]
    _write_csv(folder, "decisions.csv", list(decisions[0]), [list(row.values()) for row in decisions])
    _write_csv(folder, "trades.csv", list(Fill._fields), [list(fill) for fill in agent.fills])
    equity = zip(agent.sessions, agent.equity, agent.position, agent.close, agent.dividends, strict=True)
    _write_csv(
        folder,
        "equity.csv",
        ["session", "equity", "position", "close", "dividends"],
        [list(r) for r in equity],
    )


def _decision_row(row: StepRow) -> JsonObject:
    decision = row.decision
    return {
        "session": row.session,
        "decision_at": row.decision_at,
        "fill_session": row.fill_session,
        "action": decision.action or "",
        "confidence": decision.confidence,
        "failure": row.failure or "",
        "ordered": row.orders[0][1] if row.orders else 0.0,
        "filled": sum(fill.quantity for fill in row.fills),
        "became": "; ".join(in_words(one.plain) for one in row.became or ()),
        "cited_memories": " ".join(decision.cited_memories),
        "tools": " ".join(call.name for call in decision.tool_calls),
        "rationale": decision.rationale,
    }


def _write_csv(folder: RunFolder, name: str, header: list[str], rows: Sequence[Sequence[Cell]]) -> None:
    replace_file(folder.path / name, csv_text(header, rows))


def _prepared(run: RunRecord, data: InstrumentData, steps: Sequence[StepRow]) -> Prepared:
    """What the baselines need, from the run's own record."""
    first = bar_index(data, run.window.start)
    trader_class = find_trader("buy-and-hold")
    return Prepared(
        config=run.config,
        trader_class=trader_class,
        trader_config=trader_class.Config(),
        data=data,
        label=run.data_label,
        window=Window(first, first, first + len(steps)),
        model=None,
        rules=run.rules,
    )
