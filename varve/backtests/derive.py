"""Everything that follows from a run's journal and inputs: metrics, tables, charts, report.

All of it can be deleted and built again; what enters the run digest holds no timing.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from typing import Any

from varve.backtests.record.folder import RunFolder
from varve.backtests.record.journal import Journal
from varve.backtests.record.rows import Rows
from varve.backtests.report.day_charts import DayCharts
from varve.backtests.report.day_stages import pictures
from varve.backtests.report.equity_charts import draw_charts
from varve.backtests.report.memory_chart import draw_timelines
from varve.backtests.report.page import Details, write_report
from varve.backtests.results.metrics import session_returns
from varve.backtests.results.tables import Tables, derive_tables
from varve.backtests.results.trial_count import deflate
from varve.errors import BadFileError
from varve.market.data import InstrumentData

AUDIT_FILE, RESCORE_FILE, RESCORE_CHART = "audit.json", "rescore.json", "rescore.png"

# vectorbt and matplotlib keep state of the whole process; the runs of a sweep end in threads.
_DERIVING = threading.Lock()


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
    details = Details(
        tables.lessons, tables.calls, _pictures(folder, tables), DayCharts(tables.data, tables.tracks[0])
    )
    write_report(folder, shown, tables.metrics, tables.steps, tables.told, charts, details)
    folder.update(**known)
    return tables.metrics


def _pictures(folder: RunFolder, tables: Tables) -> dict[str, bytes]:
    journal = Journal(folder.journal, run_id=tables.manifest["run_id"], read_only=True)
    try:
        return pictures(journal, tables.steps, tables.calls)
    finally:
        journal.close()


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
