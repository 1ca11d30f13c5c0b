"""Splits and dividends rebuilt from an adjusted close that stands beside the close.

An adjusted close is the close times the factors of all later events; a dividend D on the ex-date has the
factor 1 − D ÷ (close before it), a split of r new shares per old one has 1 ÷ r where the close is raw. So the
ratio of the two is constant between events, and each step of it is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

import numpy as np

from varve.market.data import Floats
from varve.market.sources.prices.events import Events

FLOAT_NOISE = 1e-6
"""So far, as a share, the ratio of two columns of six digits or more wanders without an event."""
COARSE = 0.25
"""A dividend that is known no better than to this share of itself is not rebuilt."""
RATIOS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 100.0, 1.5, 1.25, 1.1)
"""New shares per old one of usual splits; their inverses are the reverse ones."""


@dataclass
class Rebuilt:
    """What the ratio of two columns says; ``problem`` where it says nothing that can be used."""

    events: Events = field(default_factory=Events)
    problem: str = ""


def steps_of(close: Floats, adjusted: Floats) -> Floats:
    """Per bar, shape (n,), by what factor an event of that bar changed the earlier prices; the first is 1."""
    ratio = adjusted / close
    return np.concatenate([[1.0], ratio[:-1] / ratio[1:]])


def rebuilt(sessions: list[date], close: Floats, adjusted: Floats, digits: tuple[int, int]) -> Rebuilt:
    """The events that lead from the close to the adjusted close.

    Args:
        sessions: of the bars, oldest first.
        close, adjusted: currency per share, one per bar.
        digits: behind the point, of close and adjusted close as they are written.
    """
    if np.isnan(adjusted).any():
        return Rebuilt(problem="it is not known in every row")
    ratio = adjusted / close
    noise = 0.5 * 10.0 ** -digits[0] / close + 0.5 * 10.0 ** -digits[1] / adjusted + FLOAT_NOISE / 2
    at = _where(ratio, noise)
    edges = [0, *at, len(close)]
    parts = [slice(a, b) for a, b in pairwise(edges)]
    level = [float(np.median(ratio[part])) for part in parts]
    uneven = [
        part for part, mean in zip(parts, level, strict=True)
        if (np.abs(ratio[part] / mean - 1.0) > 2.0 * noise[part]).any()
    ]  # fmt: skip
    if uneven:
        return Rebuilt(problem=f"it drifts against the close from {sessions[uneven[0].start]} on")
    found = Events()
    for n, bar in enumerate(at):
        step = level[n] / level[n + 1]
        sure = max(1e-12, float(noise[bar - 1] + noise[bar])) / math.sqrt(
            max(1, min(parts[n].stop - parts[n].start, parts[n + 1].stop - parts[n + 1].start, 25))
        )
        if problem := _explain(found, sessions[bar], close[bar - 1 : bar + 1], step, sure):
            return Rebuilt(problem=f"{problem} on {sessions[bar]}")
    return Rebuilt(found)


def _where(ratio: Floats, noise: Floats) -> list[int]:
    """The bars at which the ratio takes a step that rounding does not explain."""
    step = np.abs(ratio[:-1] / ratio[1:] - 1.0)
    return [int(n) + 1 for n in np.flatnonzero(step > noise[:-1] + noise[1:])]


def _explain(found: Events, day: date, pair: Floats, step: float, sure: float) -> str:
    """Take a step for a split or a dividend; what is wrong where it can be neither."""
    before, after = float(pair[0]), float(pair[1])
    if abs(math.log(step)) > 0.09 and abs(math.log(after / before) - math.log(step)) < 0.25 * abs(
        math.log(step)
    ):
        ratio = min((r for one in RATIOS for r in (one, 1 / one)), key=lambda r: abs(math.log(r * step)))
        rest = step * ratio
        if abs(math.log(rest)) < 0.05:
            found.splits[day] = ratio
            if 1.0 - rest > max(2.0 * sure, 1e-4):
                # Of a day with both: the dividend is paid per new share, the close before is of old ones.
                found.payments[day] = round(before / ratio * (1.0 - rest), 6)
            return ""
    if step > 1.0:
        return f"it steps up by {step - 1.0:.2%}, as no dividend does,"
    cash = before * (1.0 - step)
    if before * sure > COARSE * cash:
        return "it is rounded too coarsely for the dividend"
    if step < 0.5:
        return f"it steps by a factor of {step:.3g}, and the close does not"
    found.payments[day] = _rounded(cash, before * sure)
    return ""


def doubtful(payments: Mapping[date, float]) -> str:
    """Say which rebuilt payments look wrong in the source; empty where none does.

    One that is there twice within days, and a lasting change by about a usual split's ratio, which is what a
    source leaves that did not bring its dividends onto the basis of its prices.
    """
    days, said = sorted(payments), []
    for one, two in pairwise(days):
        if (two - one).days <= 12:
            said.append(f"two within days of each other, {one} and {two}")
    values = [payments[day] for day in days]
    for n in range(4, len(days) - 3):
        before, after = values[n - 4 : n], values[n : n + 4]
        near = max(before) < 1.25 * min(before) and max(after) < 1.25 * min(after)
        for ratio in RATIOS[:8]:
            if near and any(
                abs(math.log(values[n - 1] / values[n] * way)) < 0.02 for way in (ratio, 1 / ratio)
            ):
                said.append(f"from {days[n]} on about {values[n] / values[n - 1]:.3g} times those before")
    return f"of these, look at {', and at '.join(said[:4])}" if said else ""


def _rounded(value: float, within: float) -> float:
    """The value with the fewest digits that is as near as it is known."""
    for digits in (2, 3, 4, 5):
        if abs(round(value, digits) - value) <= within:
            return round(value, digits)
    return round(value, 6)
