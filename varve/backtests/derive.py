"""Everything that follows from a run's journal and inputs: metrics, tables, charts, report.

All of it can be deleted and built again; what enters the run digest holds no timing.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import threading
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from varve.backtests.config import RunConfig, Window
from varve.backtests.record.folder import RunFolder, write_atomically
from varve.backtests.record.journal import Journal
from varve.backtests.record.memories import told_of_rows
from varve.backtests.report.day_charts import DayCharts
from varve.backtests.report.day_stages import abstentions, pictures, stage_figures
from varve.backtests.report.equity_charts import draw_charts
from varve.backtests.report.memory_chart import draw_timelines
from varve.backtests.report.page import Details, write_report
from varve.backtests.results.metrics import Track, compute_metrics, session_returns, split_factors
from varve.backtests.results.sharpe import window_sentence
from varve.backtests.results.trial_count import deflate
from varve.backtests.results.vectorbt_adapter import check_replay
from varve.backtests.runner import Prepared, find_trader, run_baseline
from varve.backtests.simulate.from_record import bar_index, recorded_data
from varve.backtests.simulate.trading_day import StepRecord
from varve.clock import parse_iso
from varve.errors import BadFileError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.memory.history import Told
from varve.types import Fill

Rows = list[dict[str, Any]]
AUDIT_FILE, RESCORE_FILE, RESCORE_CHART = "audit.json", "rescore.json", "rescore.png"

# vectorbt and matplotlib keep state of the whole process; the runs of a sweep end in threads.
_DERIVING = threading.Lock()


class Tables(NamedTuple):
    """What follows from a journal without drawing anything: metrics, tables on disk, the run digest."""

    manifest: dict[str, Any]
    metrics: dict[str, Any]
    digest: str
    tracks: list[Track]
    steps: Rows
    calls: Rows
    told: list[Told]
    details: Details


def derive(
    folder: RunFolder, *, data: InstrumentData | None = None, then: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Build every derived file of a run; returns what ``metrics.json`` holds.

    Args:
        folder: a run that was started; an unfinished one gives what its steps so far give.
        data: the run's inputs where they are at hand already.
        then: entries of ``run.json`` that are true once everything is built.

    Raises:
        BadFileError: if the journal holds no trading step, or the inputs are missing or others.
        IntegrityError: if ledger and vectorbt differ.
    """
    with _DERIVING:
        return _derive(folder, data, then or {})


def _derive(folder: RunFolder, data: InstrumentData | None, then: Mapping[str, Any]) -> dict[str, Any]:
    tables = derive_tables(folder, data=data)
    manifest = tables.manifest
    charts = draw_charts(
        tables.tracks, currency=tables.metrics["currency"], synthetic=bool(manifest["synthetic"])
    )
    charts |= draw_timelines(tables.told, synthetic=bool(manifest["synthetic"]))
    for name, image in charts.items():
        (folder.path / f"{name}.png").write_bytes(image)
    known = {
        "run_digest": tables.digest,
        "replies": _replies(tables.calls),
        # Beside the run digest, not in it: it changes with every run that is tried later.
        "trials": deflate(folder, session_returns(tables.tracks[0].equity)),
        **then,
    }
    beside = {
        "audit": read_audit(folder, tables.digest),
        "rescored": read_rescored(folder, tables.digest),
    }
    shown = {**manifest, **known, **beside}
    write_report(folder, shown, tables.metrics, tables.steps, tables.told, charts, tables.details)
    folder.update(**known)
    return tables.metrics


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
        details = Details(lessons, calls, pictures(journal, steps, calls), DayCharts(data, agent))
    finally:
        journal.close()
    return Tables(manifest, metrics, digest, tracks, steps, calls, told, details)


def read_audit(folder: RunFolder, run_digest: str) -> list[dict[str, Any]]:
    """The card that ``backtest audit`` left; empty where there is none, or where it is of another record."""
    card = _left_beside(folder, AUDIT_FILE, run_digest, "audit")
    checks: list[dict[str, Any]] = card["checks"] if card else []
    return checks


def read_rescored(folder: RunFolder, run_digest: str) -> dict[str, Any] | None:
    """What ``backtest rescore`` left, with its chart; None where it left nothing for this record."""
    rescored = _left_beside(folder, RESCORE_FILE, run_digest, "rescore")
    chart = folder.path / RESCORE_CHART
    if rescored is None or not chart.is_file():
        return None
    return {**rescored, "chart": base64.b64encode(chart.read_bytes()).decode()}


def _left_beside(folder: RunFolder, name: str, run_digest: str, command: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder.path / name).read_text(encoding="utf-8"))
        return found if found["run_digest"] == run_digest else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise BadFileError(
            f"{folder.path / name} is not what backtest {command} writes: {error}",
            mend=f"backtest {command} {folder.run_id}",
        ) from error


def _replies(calls: Rows) -> dict[str, int]:
    """How many replies were asked for, how many came from the cache, and the tokens those once cost."""
    cached = [call["usage"] for call in calls if call["cached"]]
    return {
        "calls": len(calls),
        "cached": len(cached),
        "cached_input_tokens": sum(usage["input_tokens"] for usage in cached),
        "cached_output_tokens": sum(usage["output_tokens"] for usage in cached),
    }


def track_of_rows(name: str, steps: Rows, prepared: Prepared) -> Track:
    """The agent's track from the journal's trading steps."""
    fills = [_fill(raw) for row in steps for raw in row["fills"]]
    portfolios = [row["portfolio"] for row in steps]
    symbol = prepared.data.instrument.symbol
    positions = [portfolio["positions"].get(symbol, 0.0) for portfolio in portfolios]
    return _track(name, prepared, [p["equity"] for p in portfolios], positions, fills)


def track_of_records(name: str, records: list[StepRecord], prepared: Prepared) -> Track:
    """The track of a run in memory from its trading steps."""
    symbol = prepared.data.instrument.symbol
    records = [record for record in records if record.phase == "trade"]
    return _track(
        name,
        prepared,
        [record.portfolio.equity for record in records],
        [record.portfolio.position(symbol) for record in records],
        [fill for record in records for fill in record.fills],
    )


def _track(
    name: str, prepared: Prepared, equity: list[float], position: list[float], fills: list[Fill]
) -> Track:
    first = prepared.window.first
    bars, count = prepared.data.bars, len(equity) + 1
    sessions: list[date] = [bars.session(first + i) for i in range(count)]
    return Track(
        name=name,
        sessions=sessions,
        equity=[prepared.config.initial_cash, *equity],
        position=[0.0, *position],
        close=bars.close[first : first + count].tolist(),
        fills=fills,
        dividends=_dividends(prepared, sessions, [0.0, *position]),
        split_factors=split_factors(sessions, prepared.data.events),
    )


def _dividends(prepared: Prepared, sessions: list[date], position: list[float]) -> list[float]:
    """Cash dividends received up to each session: the position before the session's fills × amount."""
    amounts: dict[date, float] = {}
    ratios: dict[date, float] = {}
    for event in prepared.data.events:
        index = next((i for i, session in enumerate(sessions) if session >= event.session), None)
        if not index:
            continue
        at = sessions[index]
        if event.kind == "dividend":
            amounts[at] = amounts.get(at, 0.0) + event.value
        else:
            ratios[at] = ratios.get(at, 1.0) * event.value
    received, total = [0.0], 0.0
    for i in range(1, len(sessions)):
        held = position[i - 1] * ratios.get(sessions[i], 1.0)
        total += held * amounts.get(sessions[i], 0.0)
        received.append(total)
    return received


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


def _fill(raw: dict[str, Any]) -> Fill:
    instants = {"session": date.fromisoformat(raw["session"]), "filled_at": parse_iso(raw["filled_at"])}
    return Fill(**{**raw, **instants})


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
