"""What became of each memory of a run, and of its tiers over time, from the journal's events alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from varve.clock import parse_iso
from varve.memory.state.config import TIERS
from varve.types import MemoryEvent

_MOVES = ("promoted", "demoted")
DEFAULT_NAME = "finmem"
"""Of the memory that an event without a name belongs to."""


class Told(NamedTuple):
    """What the journal tells of one step: its session, its decision instant (UTC), what happened to the
    memories in order, and the ids that the decision cited."""

    session: date
    at: datetime
    events: tuple[MemoryEvent, ...]
    cited: tuple[str, ...]


class Moment(NamedTuple):
    """One thing that happened to a memory at an instant (UTC).

    ``what`` is the event's kind; ``tier`` is where the memory was after it (before it, if purged);
    ``amount`` the credits given (negative for debits), 0 for everything else; ``reason`` why it was purged.
    """

    at: datetime
    what: str
    tier: str
    amount: float = 0.0
    reason: str = ""


@dataclass(slots=True)
class Life:
    """A memory from its storing to its purge.

    ``moments`` are in the order of time; ``recalled`` counts the steps in which recall gave it, ``cited``
    the decisions that cited it. ``memory`` names the memory that holds it.
    """

    memory: str
    id: str
    text: str
    kind: str
    ticker: str | None
    available_at: datetime
    moments: list[Moment] = field(default_factory=list)
    recalled: int = 0
    cited: int = 0

    @property
    def tier(self) -> str:
        """Where it is, or was when it was purged."""
        return self.moments[-1].tier if self.moments else ""

    @property
    def path(self) -> list[Moment]:
        """Its storing and every change of tier."""
        return [m for m in self.moments if m.what in ("added", "imported", *_MOVES)]

    @property
    def credits(self) -> tuple[float, float]:
        """Credits and debits that reached it, both 0 or more."""
        amounts = [m.amount for m in self.moments if m.what == "credited"]
        return sum(a for a in amounts if a > 0), -sum(a for a in amounts if a < 0)

    @property
    def purged_at(self) -> datetime | None:
        """When it was purged; None while it lives."""
        return next((m.at for m in self.moments if m.what == "purged"), None)


@dataclass(slots=True)
class Tally:
    """Tiers at the end of a session, or of a longer time, and what happened in it.

    ``sizes`` by tier; ``stored`` new memories, ``merged`` copies; ``recalled`` memories over all steps
    (each once a step), ``used`` those of them that the step's decision cited, ``cited`` all citations;
    ``credits`` and ``debits`` in parts of one per memory; ``unjudged`` new memories whose importance the
    model did not tell when it was asked.
    """

    session: date
    sizes: dict[str, int]
    stored: int = 0
    merged: int = 0
    unjudged: int = 0
    promoted: int = 0
    demoted: int = 0
    purged: int = 0
    recalled: int = 0
    used: int = 0
    cited: int = 0
    credits: float = 0.0
    debits: float = 0.0

    @property
    def hit_rate(self) -> float | None:
        """The share of recalled memories that the step's decision cited; None where none was recalled."""
        return self.used / self.recalled if self.recalled else None


_COUNTS = ("stored", "merged", "unjudged", "promoted", "demoted", "purged", "recalled", "used", "cited")
_COUNTED_AS = {"added": "stored", "merged": "merged", "promoted": "promoted",
               "demoted": "demoted", "purged": "purged"}  # fmt: skip


def name_of(event: MemoryEvent) -> str:
    """Which of a run's memories an event belongs to."""
    return str(event.data.get("memory", DEFAULT_NAME))


def names(told: Iterable[Told]) -> list[str]:
    """The memories of a run, in the order in which they first did something."""
    return list(dict.fromkeys(name_of(event) for step in told for event in step.events))


def are_several(told: Iterable[Told]) -> bool:
    """Whether decisions cite memories as ``<memory>/<id>``, which they do where a run has more than one."""
    steps = list(told)
    return len(names(steps)) > 1 or any("/" in one for step in steps for one in step.cited)


def lives(told: Sequence[Told]) -> dict[str, Life]:
    """Every memory that was ever stored, by the id under which decisions cite it.

    That is its own id where a run has one memory, else ``<memory>/<id>``.
    """
    several = are_several(told)
    found: dict[str, Life] = {}
    for step in told:
        seen: dict[str, None] = {}
        for event in step.events:
            prefix = f"{name_of(event)}/" if several else ""
            if event.kind == "recalled":
                seen |= dict.fromkeys(prefix + one for one in _recalled(event))
            elif event.memory_id:
                _tell(found, prefix + event.memory_id, event)
        for key in seen:
            if key in found:
                found[key].recalled += 1
        for key in step.cited:
            if key in found:
                found[key].cited += 1
    return found


def _tell(found: dict[str, Life], key: str, event: MemoryEvent) -> None:
    data = event.data
    if event.kind in ("added", "imported"):
        readable = data.get("available_at")
        found[key] = Life(
            memory=name_of(event),
            id=event.memory_id,
            text=data.get("text", ""),
            kind=data.get("kind", ""),
            ticker=data.get("ticker"),
            available_at=event.at if readable is None else parse_iso(readable),
        )
    elif key not in found:
        return
    tier = _tier_after(event) or found[key].tier
    amount = data.get("amount", 0.0)
    found[key].moments.append(Moment(event.at, event.kind, tier, amount, data.get("reason", "")))


def _tier_after(event: MemoryEvent) -> str:
    """Where an event puts its memory; empty where it moves nothing."""
    data = event.data
    if event.kind == "imported":  # it may live elsewhere than it was filed
        return str(data["life"]["tier"])
    if event.kind == "added":
        return str(data.get("tier", ""))
    return str(data["to"]) if event.kind in _MOVES else ""


def _recalled(event: MemoryEvent) -> list[str]:
    return [hit[0] for hits in event.data["found"].values() for hit in hits]


def timeline(told: Sequence[Told], name: str) -> list[Tally]:
    """One tally per session of the memory called ``name``."""
    prefix = f"{name}/" if are_several(told) else ""
    where: dict[str, str] = {}
    sizes = dict.fromkeys(TIERS, 0)
    days: list[Tally] = []
    for step in told:
        day = Tally(step.session, {})
        seen: set[str] = set()
        for event in step.events:
            if name_of(event) != name:
                continue
            if event.kind == "recalled":
                seen.update(prefix + one for one in _recalled(event))
            else:
                _count(day, event)
                _move(where, sizes, event)
        cited = {one for one in step.cited if one.startswith(prefix)}
        day.recalled, day.used, day.cited = len(seen), len(seen & cited), len(cited)
        day.sizes = dict(sizes)
        days.append(day)
    return days


def _count(day: Tally, event: MemoryEvent) -> None:
    counted = _COUNTED_AS.get(event.kind)
    if counted is not None:
        setattr(day, counted, getattr(day, counted) + 1)
        day.unjudged += bool(event.data.get("unjudged"))
    elif event.kind == "credited":
        amount = event.data["amount"]
        day.credits += max(amount, 0.0)
        day.debits += max(-amount, 0.0)


def _move(where: dict[str, str], sizes: dict[str, int], event: MemoryEvent) -> None:
    tier = _tier_after(event)
    if not tier and event.kind != "purged":
        return
    before = where.pop(event.memory_id, "")
    if before:
        sizes[before] -= 1
    if tier:
        sizes[tier] = sizes.get(tier, 0) + 1
        where[event.memory_id] = tier


def by_month(days: Sequence[Tally]) -> list[Tally]:
    """Tallies by calendar month of the session; each is dated by its last session and has its sizes."""
    months = []
    for _, group in itertools.groupby(days, key=lambda day: (day.session.year, day.session.month)):
        part = list(group)
        month = Tally(part[-1].session, part[-1].sizes)
        for name in (*_COUNTS, "credits", "debits"):
            setattr(month, name, sum(getattr(day, name) for day in part))
        months.append(month)
    return months
