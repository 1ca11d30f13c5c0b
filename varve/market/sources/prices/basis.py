"""On what basis prices are: as traded, split-adjusted or back-adjusted; decided from the prices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from varve.errors import BadFileError
from varve.market.data import Adjustment, Floats
from varve.market.sources.prices.adjusted import doubtful, rebuilt, steps_of
from varve.market.sources.prices.events import Events
from varve.market.sources.prices.table import Table
from varve.market.sources.source import Request

_CENT = 0.01


@dataclass
class Settled:
    """Prices and events on one basis, as they are stored."""

    values: dict[str, Floats]
    adjustment: Adjustment
    splits: dict[date, float] = field(default_factory=dict)
    payments: dict[date, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def settled(request: Request, table: Table, events: Events, *, adjusted_close: bool) -> Settled:
    """Put prices and events on one basis.

    A split-adjusted close with its splits becomes raw: close × later splits, volume ÷ later splits, cash per
    share × later splits. A back-adjusted one keeps no events, as they are in the prices.

    Args:
        adjusted_close: whether the close comes from a column of adjusted closes.

    Raises:
        BadFileError: if the basis cannot be decided; ``--adjustment`` is asked for.
    """
    values = {name: column for name, column in table.values.items() if name != "adj_close"}
    notes = list(events.notes)
    if adjusted_close or request.adjustment == "back_adjusted":
        return _back_adjusted(values, events, notes)
    adjusted = table.values.get("adj_close")
    if adjusted is not None and not events:
        events = _from_adjusted(request, table, adjusted, notes)
    elif adjusted is not None:
        notes += _cross_checked(table, adjusted, events)
    basis = request.adjustment or _decided(request, table, events, adjusted)
    if basis == "back_adjusted":
        notes.append("closes before the last payment are adjusted for payments: taken for back-adjusted")
        return _back_adjusted(values, events, notes)
    splits, payments = dict(events.splits), dict(events.payments)
    if basis == "split_adjusted" and splits:
        factor = np.array([later(splits, day) for day in table.sessions])
        values = {
            name: column / factor if name == "volume" else column * factor for name, column in values.items()
        }
        payments = {day: cash * later(splits, day) for day, cash in payments.items()}
        notes.append("split-adjusted prices brought back to raw ones by the splits after each day")
    label: Adjustment = "raw" if basis == "raw" or splits else "split_adjusted"
    return Settled(values, label, splits, payments, notes)


def later(splits: Mapping[date, float], day: date) -> float:
    """The product of the splits whose ex-date is after ``day``: new shares per old share."""
    return math.prod(splits[one] for one in sorted(splits) if one > day)


def _back_adjusted(values: dict[str, Floats], events: Events, notes: list[str]) -> Settled:
    if events:
        count = len(events.splits) + len(events.payments)
        notes.append(f"{count} splits and payments left out: they are in back-adjusted prices already")
    return Settled(values, "back_adjusted", notes=notes)


def _from_adjusted(request: Request, table: Table, adjusted: Floats, notes: list[str]) -> Events:
    digits = (table.digits.get("close", 0), table.digits.get("adj_close", 0))
    found = rebuilt(table.sessions, table.values["close"], adjusted, digits)
    if found.problem:
        notes.append(f"no dividends rebuilt from the adjusted close: {found.problem}")
        return Events()
    if found.events.splits and request.adjustment == "split_adjusted":
        day = next(iter(found.events.splits))
        raise BadFileError(
            f"{request.file}: the adjusted close has a split on {day} that the close has not: it is raw",
            mend=request.command(adjustment="raw"),
        )
    counts = [
        f"{len(kind)} {name}{'s' if len(kind) > 1 else ''}"
        for kind, name in ((found.events.payments, "dividend"), (found.events.splits, "split"))
        if kind
    ]
    if counts:
        notes.append(f"{' and '.join(counts)} rebuilt from the adjusted close")
        notes.append(doubtful(found.events.payments))
    return found.events


def _cross_checked(table: Table, adjusted: Floats, events: Events) -> list[str]:
    """Say where the adjusted close does not follow from the close and the events."""
    close = table.values["close"]
    if np.isnan(adjusted).any() or len(close) < 2:
        return []
    steps = steps_of(close, adjusted)
    wrong = []
    for n in range(1, len(close)):
        between = [
            d for d in (*events.splits, *events.payments) if table.sessions[n - 1] < d <= table.sessions[n]
        ]
        ratio = math.prod(events.splits.get(day, 1.0) for day in set(between))
        cash = sum(events.payments.get(day, 0.0) for day in set(between))
        ways = (
            1 / ratio - cash / close[n - 1],
            1.0 - cash / close[n - 1],
            (1.0 - cash * ratio / close[n - 1]) / ratio,
        )
        if all(abs(steps[n] - way) > 2e-3 for way in ways):
            wrong.append(n)
    if not wrong:
        return []
    return [
        f"the adjusted close does not follow from the close and the events on {len(wrong)} days, "
        f"the first {table.sessions[wrong[0]]}, and is not used"
    ]


def _decided(request: Request, table: Table, events: Events, adjusted: Floats | None) -> Adjustment:
    votes = {vote for day, ratio in events.splits.items() if (vote := _vote(table, day, ratio, adjusted))}
    inside = [day for day in events.splits if table.sessions[0] < day <= table.sessions[-1]]
    if (inside and not votes) or len(votes) > 1:
        why = (
            "some splits are in the prices and some are not" if votes else "the move on the day says neither"
        )
        raise BadFileError(
            f"{request.file} has a split of {events.splits[inside[0]]:g} on {inside[0]}, and it cannot be "
            f"seen whether prices before it are adjusted for it: {why}",
            mend=f"say it; prices as traded: {request.command(adjustment='raw')}; adjusted for splits: "
            f"{request.command(adjustment='split_adjusted')}",
        )
    basis = votes.pop() if votes else "split_adjusted"
    paid = [day for day in events.payments if table.sessions[0] < day <= table.sessions[-1]]
    if paid and adjusted is None:
        return _without_payments(request, table, events, paid, basis)
    return basis


def _vote(table: Table, day: date, ratio: float, adjusted: Floats | None) -> Adjustment | None:
    """What the prices around a split say of their basis; None where they say nothing."""
    n = int(np.searchsorted(np.array(table.sessions, dtype="datetime64[D]"), np.datetime64(day)))
    close = table.values["close"]
    if not 0 < n < len(close):
        return None
    size = abs(math.log(ratio))
    if adjusted is not None and not np.isnan(adjusted[n - 1 : n + 1]).any():
        step = math.log(steps_of(close, adjusted)[n])
        if abs(step + math.log(ratio)) < 0.25 * size:
            return "raw"
        return "split_adjusted" if abs(step) < 0.25 * size else None
    opens = table.values.get("open")
    first = opens[n] if opens is not None and not np.isnan(opens[n]) else close[n]
    usual = np.abs(np.diff(np.log(close)))
    noise = 1.48 * float(np.median(usual)) if len(usual) else 0.0
    found = []
    for price in (first, close[n]):
        move = math.log(price / close[n - 1])
        lead = abs(move) - abs(move + math.log(ratio))  # above 0: nearer to a split that shows
        if abs(lead) < max(0.5 * size, min(3.0 * noise, 0.9 * size)):
            return None
        found.append(lead > 0)
    if found[0] != found[1]:
        return None
    return "raw" if found[0] else "split_adjusted"


def _without_payments(
    request: Request, table: Table, events: Events, paid: list[date], basis: Adjustment
) -> Adjustment:
    """The basis, or ``back_adjusted`` where closes before payments are no prices that are quoted.

    Prices are quoted in cents; an adjustment for payments leaves none of them there.
    """
    close = table.values["close"]
    if basis == "split_adjusted":
        close = close * np.array([later(events.splits, day) for day in table.sessions])
    before = np.array([day < max(paid) for day in table.sessions])
    early, late = _on_cents(close[before]), _on_cents(close[~before])
    if early > 0.9 or (early > 0.5 and late - early < 0.2):
        return basis
    if early < 0.5 and (late > 0.9 and (~before).sum() >= 3):
        return "back_adjusted"
    drop = _dropped(table, events, paid)
    if drop > 3.0:
        return basis
    if drop < -3.0:
        return "back_adjusted"
    raise BadFileError(
        f"{request.file} has payments (the first on {min(paid)}), and it cannot be seen whether prices "
        "before them are adjusted for them already",
        mend=f"say it; not adjusted for payments: {request.command(adjustment=basis)}; adjusted: "
        f"{request.command(adjustment='back_adjusted')}",
    )


def _on_cents(close: Floats) -> float:
    """The share of closes that are whole cents, or 32nds as before 2001, as far as 32 bits say; 0 to 1."""
    if not len(close):
        return 0.0
    tolerance = 2e-4 + 1e-7 * close
    known = tolerance < 0.15 * _CENT
    if not known.any():
        return 0.5
    off = np.minimum(
        np.abs(close - np.round(close / _CENT) * _CENT), np.abs(close - np.round(close * 32) / 32)
    )
    return float((off[known] <= tolerance[known]).mean())


def _dropped(table: Table, events: Events, paid: list[date]) -> float:
    """By how many standard errors prices fell by their payments rather than not; below 0: not."""
    close, days = table.values["close"], np.array(table.sessions, dtype="datetime64[D]")
    if len(close) < 30:
        return 0.0
    moves = np.diff(np.log(close))
    noise = max(1.48 * float(np.median(np.abs(moves - np.median(moves)))), 1e-9)
    lead, weight = 0.0, 0.0
    for day in paid:
        n = int(np.searchsorted(days, np.datetime64(day)))
        size = events.payments[day] / close[n - 1]
        lead += size * (-moves[n - 1] - size / 2)
        weight += size * size
    return 0.0 if not weight else 2.0 * lead / (noise * math.sqrt(weight))
