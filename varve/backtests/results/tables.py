"""Build metrics.json and the CSV tables of a run from its journal, and take the run digest."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, NamedTuple

from varve.backtests.config import RunConfig
from varve.backtests.record.folder import RunFolder, write_atomically
from varve.backtests.record.journal import Journal
from varve.backtests.record.memories import told_of_rows
from varve.backtests.record.rows import Rows
from varve.backtests.results.metrics import compute_metrics
from varve.backtests.results.sharpe import window_sentence
from varve.backtests.results.stage_figures import abstentions, stage_figures
from varve.backtests.results.track import Track, track_of_records, track_of_rows
from varve.backtests.results.vectorbt_adapter import check_replay
from varve.backtests.simulate.from_record import bar_index, recorded_data
from varve.backtests.simulate.prepare import Prepared, find_trader
from varve.backtests.simulate.steps import run_baseline
from varve.backtests.simulate.window import Window
from varve.errors import BadFileError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.memory.history import Told
from varve.types import Fill


class Tables(NamedTuple):
    """What follows from a journal without drawing anything: metrics, tables on disk, the run digest."""

    manifest: dict[str, Any]
    metrics: dict[str, Any]
    digest: str
    tracks: list[Track]
    steps: Rows
    calls: Rows
    told: list[Told]
    lessons: Rows
    data: InstrumentData


def derive_tables(folder: RunFolder, *, data: InstrumentData | None = None) -> Tables:
    """Build ``metrics.json`` and the tables, and take the run digest; as :func:`derive` otherwise."""
    manifest = folder.read()
    data = data or recorded_data(folder, manifest)
    journal = Journal(folder.journal, run_id=manifest["run_id"], read_only=True)
    try:
        steps = list(journal.rows("steps", "trade"))
        lessons = list(journal.rows("steps", "warmup"))
        calls = list(journal.rows("model_calls"))
        if not steps:
            raise _nothing_traded(folder, manifest)
        prepared = _prepared(manifest, data, steps)
        agent = track_of_rows(manifest["config"]["agent"], steps, prepared)
        tracks = [agent, *_baselines(prepared, agent)]
        metrics = _metrics(manifest, prepared, tracks, steps, lessons, calls)
        _write_tables(folder, agent, steps, metrics)
        digest = journal.digest(folder.derived)
        told = told_of_rows([*lessons, *steps], journal.rows("memory_events"))
    finally:
        journal.close()
    return Tables(manifest, metrics, digest, tracks, steps, calls, told, lessons, data)


def _baselines(prepared: Prepared, agent: Track) -> list[Track]:
    """Buy-and-hold, a moving-average cross, and a random trader that trades as often as the agent."""
    sessions = len(agent.equity) - 1
    changes = sum(fill.clipped != "cash_in_lieu" for fill in agent.fills)
    settings: dict[str, dict[str, Any]] = {
        "buy-and-hold": {},
        "sma-cross": {},
        "random": {"flip_probability": min(1.0, changes / sessions)},
    }
    return [
        track_of_records(name, run_baseline(prepared, name, **chosen), prepared)
        for name, chosen in settings.items()
        if name != agent.name
    ]


def _metrics(
    manifest: dict[str, Any], prepared: Prepared, tracks: list[Track], steps: Rows, lessons: Rows, calls: Rows
) -> dict[str, Any]:
    calendar = get_calendar(prepared.data.instrument.calendar)
    columns = []
    for track in tracks:
        difference = _against_vectorbt(track, prepared)
        figures = compute_metrics(track, calendar.sessions_per_year).json()
        columns.append(
            {"name": track.name, "metrics": figures, "ledger_matches_vectorbt": difference <= 1e-9}
        )
    agent: dict[str, Any] = columns[0]["metrics"]  # type: ignore[assignment]
    usage = {
        key: sum(call["usage"][key] for call in calls) for key in ("input_tokens", "output_tokens", "calls")
    }
    agent["failures"] = sum(row["failure"] is not None for row in steps)
    agent["warmup_failures"] = sum(row["failure"] is not None for row in lessons)
    agent["decisions"] = len(steps)
    agent.update(abstentions(manifest["config"], calls))
    agent["tokens"] = usage["input_tokens"] + usage["output_tokens"]
    agent["usage"] = usage
    agent.update(stage_figures([*lessons, *steps], calls))
    interval = None if agent["sharpe_low"] is None else (agent["sharpe_low"], agent["sharpe_high"])
    return {
        "ticker": prepared.config.ticker,
        "synthetic": manifest["synthetic"],
        "fill_rule": manifest["fill_rule"],
        "currency": prepared.data.instrument.currency,
        "start": manifest["window"]["start"],
        "end": steps[-1]["fill_session"],
        "columns": columns,
        "sentence": window_sentence(len(steps), calendar.sessions_per_year, interval),
    }


def _against_vectorbt(track: Track, prepared: Prepared) -> float:
    """How far ledger and vectorbt lie apart at most, as a fraction of initial equity."""
    return check_replay(
        sessions=track.sessions,
        closes=track.close,
        fills=track.fills,
        split_factors=track.split_factors,
        trading_pnl=[
            equity - track.equity[0] - dividends
            for equity, dividends in zip(track.equity, track.dividends, strict=True)
        ],
        initial_cash=track.equity[0],
        filled_after_mark=prepared.fill_rule == "same_close",
    )


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

    manifest: dict[str, Any]
    prepared: Prepared
    steps: Rows


def recorded_trading(folder: RunFolder, data: InstrumentData | None = None) -> Trading:
    """What a run decided and on what, from its folder alone.

    Raises:
        BadFileError: if the journal holds no trading step, or the inputs are missing or others.
    """
    manifest = folder.read()
    data = data or recorded_data(folder, manifest)
    journal = Journal(folder.journal, run_id=manifest["run_id"], read_only=True)
    try:
        steps = list(journal.rows("steps", "trade"))
    finally:
        journal.close()
    if not steps:
        raise _nothing_traded(folder, manifest)
    return Trading(manifest, _prepared(manifest, data, steps), steps)


def _nothing_traded(folder: RunFolder, manifest: dict[str, Any]) -> BadFileError:
    return BadFileError(
        f"{folder.path} holds no trading step: {manifest['reason'] or manifest['status']}",
        mend=f"go on with it: backtest run --resume {folder.run_id}",
    )


def _write_tables(folder: RunFolder, agent: Track, steps: Rows, metrics: dict[str, Any]) -> None:
    write_atomically(folder.path / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
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


def _decision_row(row: dict[str, Any]) -> dict[str, Any]:
    decision = row["decision"]
    return {
        "session": row["session"],
        "decision_at": row["decision_at"],
        "fill_session": row["fill_session"],
        "action": decision["orders"][0][1] if decision["orders"] else "",
        "confidence": decision["confidence"],
        "failure": row["failure"] or "",
        "ordered": row["orders"][0][1] if row["orders"] else 0.0,
        "filled": sum(fill["quantity"] for fill in row["fills"]),
        "cited_memories": " ".join(decision["cited_memories"]),
        "tools": " ".join(call["name"] for call in decision["tool_calls"]),
        "rationale": decision["rationale"],
    }


def _write_csv(folder: RunFolder, name: str, header: list[str], rows: list[list[Any]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(folder.path / name, buffer.getvalue())


def _prepared(manifest: dict[str, Any], data: InstrumentData, steps: Rows) -> Prepared:
    """What the baselines need, from the run's own record."""
    config = RunConfig.build(**manifest["config"])
    first = bar_index(data, manifest["window"]["start"])
    trader_class = find_trader("buy-and-hold")
    return Prepared(
        config=config,
        trader_class=trader_class,
        trader_config=trader_class.Config(),
        data=data,
        label=manifest["data_label"],
        window=Window(first, first, first + len(steps)),
        model=None,
    )
