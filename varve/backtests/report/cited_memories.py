"""The memories that a decision cited, as the report shows them: what each says, and its life."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from varve.backtests.report.metric_rows import ABSENT
from varve.memory.history import Life, Moment

MAX_MEMORY_CHARS = 700

_SAID = {
    "added": "stored in {tier}",
    "imported": "brought along in {tier}",
    "merged": "the same text again",
    "promoted": "up to {tier}",
    "demoted": "down to {tier}",
    "purged": "purged from {tier} ({reason})",
    "credited": "{amount:+g} credit",
    "credit_missed": "{amount:+g} credit came too late",
}


class CitedMemory(NamedTuple):
    """What the page says of a memory; ``life`` is (day, what happened, whether after the decision)."""

    id: str
    about: str
    text: str
    sum: str
    life: list[tuple[str, str, bool]]


def cited_memory(key: str, lives: Mapping[str, Life], at: datetime) -> CitedMemory:
    """Tell of a memory that the decision at ``at`` cited; its life in the order of time."""
    life = lives.get(key)
    if life is None:
        return CitedMemory(key, "not in the journal", "", "", [])
    sums = [
        f"recalled {life.recalled}×",
        f"cited {life.cited}×",
        f"credits {paid(life)}",
        " → ".join(move.tier for move in life.path),
    ]
    if life.purged_at is not None:
        sums.append(f"purged {life.purged_at:%Y-%m-%d}")
    return CitedMemory(
        id=key,
        about=f"{life.kind} · in {_tier_at(life, at)} then · readable {life.available_at:%Y-%m-%d}",
        text=life.text if len(life.text) <= MAX_MEMORY_CHARS else life.text[: MAX_MEMORY_CHARS - 1] + "…",
        sum=" · ".join(sums),
        life=[(f"{moment.at:%Y-%m-%d}", _said(moment), moment.at > at) for moment in life.moments],
    )


def paid(life: Life) -> str:
    """Credits and debits of a memory."""
    up, down = life.credits
    return (
        " ".join(part for part in (f"+{up:g}" if up else "", f"−{down:g}" if down else "") if part) or ABSENT
    )


def _tier_at(life: Life, at: datetime) -> str:
    before = [move.tier for move in life.path if move.at <= at]
    return before[-1] if before else life.tier


def _said(moment: Moment) -> str:
    text = _SAID.get(moment.what, moment.what)
    return text.format(tier=moment.tier, amount=moment.amount, reason=moment.reason)
