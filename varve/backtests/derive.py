"""Everything that follows from a run's journal and inputs: metrics, tables, charts, report.

All of it can be deleted and built again.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence
from typing import TypeVar

from varve.backtests.record.cards import (
    AUDIT_FILE,
    RESCORE_CHART,
    RESCORE_FILE,
    AuditCard,
    Check,
    RescoreCard,
)
from varve.backtests.record.entry import Entry
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.journal import Journal
from varve.backtests.record.rows import CallRow
from varve.backtests.record.run_record import RepliesEntry
from varve.backtests.report.day_charts import DayCharts
from varve.backtests.report.day_stages import pictures
from varve.backtests.report.equity_charts import draw_charts
from varve.backtests.report.memory_chart import draw_timelines
from varve.backtests.report.page import write_report
from varve.backtests.report.panel import Beside, Details, PanelInput, Rescored
from varve.backtests.results.metrics_file import RunMetrics
from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.tables import Tables, derive_tables
from varve.backtests.results.trial_count import deflate
from varve.files import read_file, read_json, replace_file
from varve.market.data import InstrumentData
from varve.types import Json, JsonObject

# vectorbt and matplotlib keep state of the whole process; the runs of a sweep end in threads.
_DERIVING = threading.Lock()


def derive(
    folder: RunFolder, *, data: InstrumentData | None = None, then: Mapping[str, Json] | None = None
) -> RunMetrics:
    """Build every derived file of a run; returns what ``metrics.json`` holds.

    Args:
        folder: a run that was started; an unfinished one gives what its steps so far give.
        data: the run's inputs where they are at hand already.
        then: entries of ``run.json`` that are true once everything is built.

    Raises:
        BadFileError: if the journal holds no trading step, or the inputs are missing or others.
        IntegrityError: if ledger and vectorbt differ, or a finished run's journal was changed since.
    """
    with _DERIVING:
        return _derive(folder, data, then or {})


def _derive(folder: RunFolder, data: InstrumentData | None, then: Mapping[str, Json]) -> RunMetrics:
    tables = derive_tables(folder, data=data)
    synthetic = tables.run.synthetic
    charts = draw_charts(tables.tracks, currency=tables.metrics.currency, synthetic=synthetic)
    charts |= draw_timelines(tables.told, synthetic=synthetic)
    for name, image in charts.items():
        replace_file(folder.path / f"{name}.png", image)
    trials = deflate(folder, SessionReturns.of(tables.tracks[0]))
    known: JsonObject = {
        "run_digest": tables.digest,
        **({} if tables.unverified == tables.run.unverified else {"unverified": tables.unverified}),
        "replies": _replies(tables.calls).as_json(),
        # Beside the run digest, not in it: it changes with every run that is tried later.
        "trials": None if trials is None else trials.as_json(),
        **then,
    }
    beside = Beside(read_audit(folder, tables.digest), read_rescored(folder, tables.digest))
    details = Details(
        tables.lessons, tables.calls, _pictures(folder, tables), DayCharts(tables.data, tables.tracks[0])
    )
    shown = tables.run.changed(**known)
    page = PanelInput(shown, tables.metrics, tables.steps, tables.told, details, beside)
    write_report(folder, page, charts)
    folder.update(**known)
    return tables.metrics


def _pictures(folder: RunFolder, tables: Tables) -> dict[str, bytes]:
    journal = Journal(folder.journal, run_id=tables.run.run_id, read_only=True)
    try:
        return pictures(journal, tables.steps, tables.calls)
    finally:
        journal.close()


def read_audit(folder: RunFolder, run_digest: str) -> Sequence[Check]:
    """The card that ``backtest audit`` left; empty where there is none, or where it is of another record."""
    card = _left_beside(AuditCard, folder, AUDIT_FILE, "audit")
    return card.checks if card is not None and card.run_digest == run_digest else ()


def read_rescored(folder: RunFolder, run_digest: str) -> Rescored | None:
    """What ``backtest rescore`` left, with its chart; None where it left nothing for this record."""
    card = _left_beside(RescoreCard, folder, RESCORE_FILE, "rescore")
    chart = folder.path / RESCORE_CHART
    if card is None or card.run_digest != run_digest:
        return None
    try:
        return Rescored(card, base64.b64encode(read_file(chart)).decode())
    except OSError:  # the page shows nothing of it, as where it was never made
        return None


Card = TypeVar("Card", bound=Entry)


def _left_beside(kind: type[Card], folder: RunFolder, name: str, command: str) -> Card | None:
    path, mend = folder.path / name, f"backtest {command} {folder.run_id}"
    try:
        raw = read_json(path, mend=mend)
    except FileNotFoundError:
        return None
    return kind.read(raw, path, mend=mend)


def _replies(calls: Sequence[CallRow]) -> RepliesEntry:
    """Count how many replies were asked for, how many came from the cache, and the tokens those once cost."""
    cached = [call.usage for call in calls if call.cached]
    return RepliesEntry(
        calls=len(calls),
        cached=len(cached),
        cached_input_tokens=sum(usage.input_tokens for usage in cached),
        cached_output_tokens=sum(usage.output_tokens for usage in cached),
    )
