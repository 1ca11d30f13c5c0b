"""A step against the step that was recorded: the journal's replies in order, and the first difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from varve.backtests.record.journal import (
    ROWS,
    SINCE_SCHEMA_3,
    UNCOMPARED,
    JournaledStep,
    Table,
    rows_of_record,
)
from varve.backtests.record.rows import CallRow, StepRow
from varve.backtests.record.step import StepRecord
from varve.config import canonical_json
from varve.errors import IntegrityError
from varve.finllm.chat.reply_source import Answered, Asked, ReplySource
from varve.types import Json, JsonObject

MAX_SHOWN = 160
_MEND = (
    "replay with the Varve commit, packages and plug-ins that run.json names; "
    "or the journal was changed after the run"
)


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()
"""What stands in a :class:`Difference` where one side has no such key or item; a null is a value."""


Side = Json | _Missing


class Difference(NamedTuple):
    """Where two values of one field differ first; :data:`MISSING` where one side has none."""

    path: str
    then: Side
    now: Side


class CallDifferenceError(IntegrityError):
    """The model is asked something else than was recorded in this place."""

    def __init__(self, call: CallRow, found: Difference, asked: Asked) -> None:
        self.found, self.messages = found, asked.messages
        at = found._replace(path=f"model_calls[{call.ordinal}]{found.path}")
        super().__init__(_difference_text(call, at), mend=_MEND)


class JournalReplies:
    """The model calls of a journal, one after another, as a
    :class:`~varve.finllm.chat.reply_source.ReplySource`.

    Args:
        steps: what was recorded.
        after: asked when the record is used up; None lets the next call fail.
    """

    def __init__(self, steps: Sequence[JournaledStep], after: ReplySource | None = None) -> None:
        self._calls: Iterator[CallRow] = (call for step in steps for call in step.model_calls)
        self._after = after

    def find(self, asked: Asked) -> Answered | None:
        """The reply recorded in this place.

        Raises:
            CallDifferenceError: if another call was recorded in this place.
        """
        call = next(self._calls, None)
        if call is None:
            return None if self._after is None else self._after.find(asked)
        # As the journal holds it: text keys, lists for tuples.
        now: JsonObject = {"stage": asked.stage, "messages": list(asked.messages), "tools": list(asked.tools)}
        then: JsonObject = {"stage": call.stage, "messages": call.messages, "tools": call.tools}
        found = first_difference(then, now)
        if found:
            raise CallDifferenceError(call, found, asked)
        return Answered(call.reply.as_json(), call.usage.plain)

    def keep(self, asked: Asked, answered: Answered) -> None:
        """Hand a new reply on."""
        if self._after is not None:
            self._after.keep(asked, answered)


def first_difference(then: Side, now: Side, path: str = "") -> Difference | None:
    """The first place at which two JSON values differ, in order of keys and items."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in [*then, *(key for key in now if key not in then)]:
            found = first_difference(then.get(key, MISSING), now.get(key, MISSING), f"{path}.{key}")
            if found:
                return found
        return None
    if isinstance(then, list | tuple) and isinstance(now, list | tuple):
        for i in range(max(len(then), len(now))):
            left, right = (side[i] if i < len(side) else MISSING for side in (then, now))
            found = first_difference(left, right, f"{path}[{i}]")
            if found:
                return found
        return None
    return None if _text(then) == _text(now) else Difference(path, then, now)


def check_step(record: StepRecord, recorded: JournaledStep) -> None:
    """That a step came out as it was recorded.

    Raises:
        IntegrityError: naming date, field and both values of the first difference.
    """
    made = rows_of_record("", record)
    then: dict[str, list[JsonObject]] = {
        "steps": [recorded.row.as_json()],
        "model_calls": [call.as_json() for call in recorded.model_calls],
        "memory_events": [event.as_json() for event in recorded.memory_events],
    }
    for table, rows in made.items():
        columns = _columns(table, then[table])
        found = first_difference(_cut(then[table], columns), _cut(rows, columns))
        if found:
            # The table of steps has one row a step: its number says nothing.
            path = found.path.removeprefix("[0].") if table == "steps" else table + found.path
            raise _differs(recorded.row, found._replace(path=path))


def _columns(table: Table, recorded: Sequence[Mapping[str, Json]]) -> list[str]:
    """What is compared; a column that only one of two versions has tells nothing of the run."""
    written = {
        name
        for row in recorded
        for name, value in row.items()
        if not (name in SINCE_SCHEMA_3 and value is None)
    } or set(ROWS[table].model_fields)
    return [name for name in ROWS[table].model_fields if name in written and name not in UNCOMPARED]


def _cut(rows: Sequence[Mapping[str, Json]], columns: Sequence[str]) -> list[JsonObject]:
    return [{name: row[name] for name in columns if name in row} for row in rows]


def compared(row: Mapping[str, Json]) -> JsonObject:
    """Return a row without the columns that may differ between equal runs."""
    return {name: value for name, value in row.items() if name not in UNCOMPARED}


def _differs(row: StepRow | CallRow, found: Difference) -> IntegrityError:
    return IntegrityError(_difference_text(row, found), mend=_MEND)


def _difference_text(row: StepRow | CallRow, found: Difference) -> str:
    then, now = shown_both(found)
    phase = "warm-up" if row.phase == "warmup" else "trading"
    return (
        f"{phase} step {row.step}, decided {row.decision_at}: {found.path} differs: "
        f"recorded {then}, now {now}"
    )


def _around(then: Side, now: Side) -> tuple[Side, Side]:
    if not (isinstance(then, str) and isinstance(now, str)) or max(len(then), len(now)) <= MAX_SHOWN:
        return then, now
    same = next((i for i, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), 0)
    start = max(0, same - 40)
    mark = "…" if start else ""
    return mark + then[start : start + MAX_SHOWN], mark + now[start : start + MAX_SHOWN]


def shown_both(found: Difference) -> tuple[str, str]:
    """Both values as JSON text, long texts from shortly before the place at which they part."""
    then, now = _around(found.then, found.now)
    return shown(then), shown(now)


def shown(value: Side) -> str:
    """A value as JSON text for a message, cut where it is long."""
    text = _text(value)
    return text if len(text) <= MAX_SHOWN + 20 else text[:MAX_SHOWN] + "…"


def _text(value: Side) -> str:
    return repr(value) if isinstance(value, _Missing) else canonical_json(value)
