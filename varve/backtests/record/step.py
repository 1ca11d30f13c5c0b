"""One step of a run, as the journal keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from varve.envs.desk import Became
from varve.envs.step import BarFacts
from varve.types import Decision, Fill, MemoryEvent, ModelCall, Order, Outcome, Portfolio

Phase = Literal["warmup", "trade"]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """All of one step, for the journal.

    ``session`` is the last ended one, ``portfolio`` after the fill. ``bar`` is what the exchange did on the
    bar of the fill; None for a lesson.
    """

    phase: Phase
    step: int
    session: date
    decision_at: datetime
    fill_session: date | None
    instrument: str
    observation_hash: str
    decision: Decision
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    outcomes: tuple[Outcome, ...]
    portfolio: Portfolio
    model_calls: tuple[ModelCall, ...]
    memory_events: tuple[MemoryEvent, ...]
    seconds: float
    became: tuple[Became, ...] = ()
    bar: BarFacts | None = None
