"""What a run did over its window, session by session: equity, position, fills and dividends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from varve.backtests.record.rows import FillEntry, StepRow
from varve.backtests.record.step import StepRecord
from varve.backtests.simulate.prepare import Prepared
from varve.clock import parse_iso
from varve.types import CorporateEvent, Fill


def track_of_rows(name: str, steps: Sequence[StepRow], prepared: Prepared) -> Track:
    """The agent's track from the journal's trading steps."""
    fills = [_fill(fill) for row in steps for fill in row.fills]
    portfolios = [row.portfolio for row in steps]
    symbol = prepared.data.instrument.symbol
    positions = [portfolio.positions.get(symbol, 0.0) for portfolio in portfolios]
    return _track(name, prepared, [p.equity for p in portfolios], positions, fills)


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
