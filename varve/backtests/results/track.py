"""What a run did over its window, session by session: equity, position, fills and dividends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate

from varve.backtests.record.rows import FillEntry, StepRow
from varve.backtests.record.step import StepRecord
from varve.backtests.simulate.prepare import Prepared
from varve.clock import parse_iso
from varve.envs.step import BarFacts
from varve.types import CorporateEvent, Fill


def track_of_rows(name: str, steps: Sequence[StepRow], prepared: Prepared) -> Track:
    """The agent's track from the journal's trading steps."""
    fills = [_fill(fill) for row in steps for fill in row.fills]
    portfolios = [row.portfolio for row in steps]
    symbol = prepared.data.instrument.symbol
    positions = [portfolio.positions.get(symbol, 0.0) for portfolio in portfolios]
    facts = [None if row.bar is None else row.bar.plain for row in steps]
    return _track(name, prepared, [p.equity for p in portfolios], positions, fills, facts)


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
        [record.bar for record in records],
    )


def _track(
    name: str,
    prepared: Prepared,
    equity: list[float],
    position: list[float],
    fills: list[Fill],
    facts: Sequence[BarFacts | None],
) -> Track:
    first, bars = prepared.window.first, prepared.data.bars
    sessions: list[date] = [bars.session(first + i) for i in range(len(equity) + 1)]
    recorded = [fact for fact in facts if fact is not None]
    if len(recorded) < len(facts):
        recorded = _facts_of_old_record(prepared, sessions, [0.0, *position])
    return make_track(
        name,
        sessions,
        equity=[prepared.config.initial_cash, *equity],
        position=[0.0, *position],
        fills=fills,
        facts=[BarFacts(float(bars.close[first])), *recorded],
    )


def make_track(
    name: str,
    sessions: list[date],
    *,
    equity: list[float],
    position: list[float],
    fills: list[Fill],
    facts: Sequence[BarFacts],
) -> Track:
    """The track of what an exchange recorded; all of length n, bar 0 first, but for ``fills``."""
    factors = [1.0] * len(facts)
    for i in range(len(facts) - 1, 0, -1):
        factors[i - 1] = factors[i] * facts[i].split
    return Track(
        name=name,
        sessions=sessions,
        equity=equity,
        position=position,
        close=[fact.mark for fact in facts],
        fills=fills,
        dividends=list(accumulate(fact.dividends for fact in facts)),
        split_factors=factors,
    )


def _facts_of_old_record(
    prepared: Prepared, sessions: Sequence[date], position: Sequence[float]
) -> list[BarFacts]:
    """What journals before schema 3 do not hold, rebuilt from the data and the positions; bar 0 is left out.

    Right wherever such a run could be finished: one that this rebuilds wrongly was stopped as not to be
    believed.
    """
    found = [
        BarFacts(float(prepared.data.bars.close[prepared.window.first + i])) for i in range(len(sessions))
    ]
    for kind in ("split", "dividend"):
        for event in prepared.data.events:
            i = next((i for i, session in enumerate(sessions) if session >= event.session), 0)
            if event.kind != kind or not i:
                continue
            fact = found[i]
            if kind == "split":
                found[i] = fact._replace(split=fact.split * event.value)
            else:
                held = position[i - 1] * fact.split
                found[i] = fact._replace(dividends=fact.dividends + held * event.value)
    return found[1:]


def _fill(entry: FillEntry) -> Fill:
    return Fill(
        symbol=entry.symbol,
        session=date.fromisoformat(entry.session),
        filled_at=parse_iso(entry.filled_at),
        quantity=entry.quantity,
        reference_price=entry.reference_price,
        price=entry.price,
        commission=entry.commission,
        clipped=entry.clipped,
    )


@dataclass(frozen=True, slots=True)
class Track:
    """What a run did, one entry per session of the test window, bar 0 (flat) first; all of length n.

    ``equity`` in currency at the close; ``position`` signed quantity after the session's fills;
    ``close`` raw closes. ``fills`` in order; ``dividends`` in currency, received up to each session.
    """

    name: str
    sessions: list[date]
    equity: list[float]
    position: list[float]
    close: list[float]
    fills: list[Fill]
    dividends: list[float]
    split_factors: list[float]


def split_factors(sessions: Sequence[date], events: Sequence[CorporateEvent]) -> list[float]:
    """Per session, the product of later splits within ``sessions``."""
    factors = [1.0] * len(sessions)
    for event in events:
        if event.kind == "split" and sessions[0] < event.session <= sessions[-1]:
            for i, session in enumerate(sessions):
                if session < event.session:
                    factors[i] *= event.value
    return factors
