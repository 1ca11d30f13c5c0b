"""A step against the step that was recorded: the journal's replies in order, and the first difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from varve.backtests.record.journal import UNCOMPARED, JournaledStep, Row, rows_of_record
from varve.backtests.record.step import StepRecord
from varve.config import canonical_json
from varve.errors import IntegrityError
from varve.finllm.chat.reply_source import Answered, Asked, ReplySource
from varve.types import Usage

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


class Difference(NamedTuple):
    """Where two values of one field differ first; :data:`MISSING` where one side has none."""

    path: str
    then: Any
    now: Any


class CallDifferenceError(IntegrityError):
    """The model is asked something else than was recorded in this place."""

    def __init__(self, call: Row, found: Difference, asked: Asked) -> None:
        self.found, self.messages = found, asked.messages
        at = found._replace(path=f"model_calls[{call['ordinal']}]{found.path}")
        super().__init__(_difference_text(call, at), mend=_MEND)


class JournalReplies:
    """The model calls of a journal, one after another, as a
    :class:`~varve.finllm.chat.reply_source.ReplySource`.

    Args:
        steps: what was recorded.
        after: asked when the record is used up; None lets the next call fail.
    """

    def __init__(self, steps: Sequence[JournaledStep], after: ReplySource | None = None) -> None:
        self._calls: Iterator[Row] = (call for step in steps for call in step.model_calls)
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
        now = {"stage": asked.stage, "messages": list(asked.messages), "tools": list(asked.tools)}
        then = {name: call[name] for name in now}
        found = first_difference(then, now)
        if found:
            raise CallDifferenceError(call, found, asked)
        return Answered(call["reply"], Usage(**call["usage"]))

    def keep(self, asked: Asked, answered: Answered) -> None:
        """Hand a new reply on."""
        if self._after is not None:
            self._after.keep(asked, answered)


def first_difference(then: Any, now: Any, path: str = "") -> Difference | None:
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
    then = {"": [recorded.row], "model_calls": recorded.model_calls, "memory_events": recorded.memory_events}
    now = {"": made["steps"], "model_calls": made["model_calls"], "memory_events": made["memory_events"]}
    for table in then:
        found = first_difference([compared(r) for r in then[table]], [compared(r) for r in now[table]])
        if found:
            # The table of steps has one row a step: its number says nothing.
            path = found.path.removeprefix("[0].") if not table else table + found.path
            raise _differs(recorded.row, found._replace(path=path))


def compared(row: Row) -> Row:
    """A row without the columns that may differ between equal runs."""
    return {name: value for name, value in row.items() if name not in UNCOMPARED}


def _differs(row: Row, found: Difference) -> IntegrityError:
    return IntegrityError(_difference_text(row, found), mend=_MEND)


def _difference_text(row: Row, found: Difference) -> str:
    then, now = shown_both(found)
    phase = "warm-up" if row["phase"] == "warmup" else "trading"
    return (
        f"{phase} step {row['step']}, decided {row['decision_at']}: {found.path} differs: "
        f"recorded {then}, now {now}"
    )


def _around(then: Any, now: Any) -> tuple[Any, Any]:
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


def shown(value: Any) -> str:
    """A value as JSON text for a message, cut where it is long."""
    text = _text(value)
    return text if len(text) <= MAX_SHOWN + 20 else text[:MAX_SHOWN] + "…"


def _text(value: Any) -> str:
    return repr(value) if value is MISSING else canonical_json(value)
