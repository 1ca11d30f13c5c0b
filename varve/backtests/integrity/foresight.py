"""Does a trader see the future? Another future is given to it, and what it had done before must stay.

The recorded steps up to an instant are walked again on data that differs only after it, with the
recorded replies. The first difference names the day and the way by which the future came in.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from varve.backtests.record.differences import (
    CallDifferenceError,
    Difference,
    JournalReplies,
    first_difference,
    shown_both,
)
from varve.backtests.record.journal import JournaledStep, rows_of_record
from varve.backtests.record.rows import EventRow, StepRow
from varve.backtests.record.step import StepRecord
from varve.backtests.simulate.prepare import Prepared, on_other_data
from varve.backtests.simulate.steps import steps_of
from varve.clock import iso, parse_iso
from varve.errors import IntegrityError, VarveError
from varve.market.data import InstrumentData
from varve.market.perturb import scramble_after
from varve.market.store import Store
from varve.types import Json, JsonObject, Trace

WAYS = {
    "data": "through data: what it decides or asks hangs on later prices or texts",
    "memory": "through memory: what it stores or recalls was not known yet",
    "tool": "through a tool: an answer holds what was not known yet",
    "chart": "through a chart: a picture shows what was not known yet",
    "sizer": "through the sizer: the same decision is sized by what was not known yet",
    "exchange": "through the exchange: an earlier fill hangs on a later bar",
}


class ForesightError(IntegrityError):
    """A trader acted on what it could not know; ``way`` is one of :data:`WAYS`."""

    def __init__(self, way: str, row: StepRow, instant: datetime, detail: str) -> None:
        self.way, self.decided_at = way, row.decision_at
        super().__init__(
            f"on {row.session}, decided {row.decision_at}, it sees past {iso(instant)} {WAYS[way]}: {detail}",
            mend="let it read the market only through its observation's view",
        )


def check_foresight(
    prepared: Prepared, recorded: Sequence[JournaledStep], cut: int, *, seed: int = 0
) -> None:
    """Walk the steps up to ``recorded[cut]`` on another future after that decision.

    Args:
        prepared: the run as it was made.
        recorded: its steps, lessons first.
        cut: the step whose decision instant parts past and future.
        seed: of the other future.

    Raises:
        ForesightError: at the first step that differs, naming date and way.
    """
    instant = parse_iso(recorded[cut].row.decision_at)
    other = scramble_after(prepared.data, instant, seed=seed)
    trace = Trace()
    with _another_home(other):
        steps = steps_of(
            on_other_data(prepared, other),
            memory_folder=None,
            run_id=recorded[0].row.run_id,
            trace=trace,
            replies=JournalReplies(recorded[: cut + 1]),
        )
        try:
            for place in range(cut + 1):
                _check_one(steps, recorded[place], trace, instant, is_last=place == cut)
        finally:
            steps.close()


def _check_one(
    steps: Iterator[StepRecord],
    then: JournaledStep,
    trace: Trace,
    instant: datetime,
    *,
    is_last: bool,
) -> None:
    """Raise if the next step is not what was recorded."""
    try:
        record = next(steps)
    except Exception as error:
        # The step was broken off, so what memory did in it is still in the trace.
        events: list[JsonObject] = [
            {"kind": e.kind, "memory_id": e.memory_id, "data": dict(e.data)} for e in trace.memory_events
        ]
        way, detail = _way_of_events(then.memory_events, events) or _way_of_call(error)
        raise ForesightError(way, then.row, instant, detail) from error
    made = rows_of_record("", record)
    found = _way_of_events(then.memory_events, made["memory_events"]) or _way_of_step(
        then.row, made["steps"][0], is_last=is_last
    )
    if found:
        raise ForesightError(found[0], then.row, instant, found[1])


def _way_of_events(then: Sequence[EventRow], now: Sequence[Mapping[str, Json]]) -> tuple[str, str] | None:
    """Memory events as far as they go; what is asked for is not memory's doing."""
    for ordinal, (one, other) in enumerate(zip(then, now, strict=False)):
        was: JsonObject = {"kind": one.kind, "memory_id": one.memory_id, "data": one.data}
        found = first_difference(was, {name: other[name] for name in was})
        if found:
            way = "data" if found.path == ".data.query" else "memory"
            text = f"memory_events[{ordinal}]{found.path} is {_both(found)}"
            return way, text
    return None


def _way_of_call(error: Exception) -> tuple[str, str]:
    if not isinstance(error, CallDifferenceError):
        # The step went well on the true future; on this one, what it looked for is not there.
        said = error.message if isinstance(error, VarveError) else f"{type(error).__name__}: {error}"
        return "data", f"on another future it stops with {said}"
    found = error.found
    index = found.path.partition("messages[")[2].partition("]")[0]
    message: Mapping[str, Json] = (
        error.messages[int(index)] if index and int(index) < len(error.messages) else {}
    )
    way = "tool" if message.get("role") == "tool" else "data"
    # An image stands in a message by its SHA-256.
    if "image" in found.path or found.path.endswith(".sha256"):
        way = "chart"
    return way, f"the prompt's {found.path} is {_both(found)}"


def _way_of_step(row: StepRow, now: Mapping[str, Json], *, is_last: bool) -> tuple[str, str] | None:
    """The earliest stage of a step that differs."""
    then = row.as_json()
    stages = [("data", ["observation_hash", "outcomes", "decision", "failure"]), ("sizer", ["orders"])]
    if not is_last:
        # The last step fills after the instant, on the other future's bar.
        stages.append(("exchange", ["fills", "portfolio"]))
    for way, names in stages:
        for name in names:
            found = first_difference(then[name], now[name], name)
            if found:
                text = f"{found.path} is {_both(found)}"
                return ("tool" if found.path.startswith("decision.tool_calls") else way), text
    return None


def _both(found: Difference) -> str:
    return " or ".join(shown_both(found))


@contextmanager
def _another_home(data: InstrumentData) -> Iterator[None]:
    """A ``VARVE_HOME`` whose store holds only the other future, for a trader that reads behind its view."""
    before = os.environ.get("VARVE_HOME")
    with tempfile.TemporaryDirectory(prefix="varve-audit-") as folder:
        Store(Path(folder) / "data").write(data)
        os.environ["VARVE_HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["VARVE_HOME"]
            else:
                os.environ["VARVE_HOME"] = before
