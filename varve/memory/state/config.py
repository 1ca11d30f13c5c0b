"""Settings of layered memory: three presets, every constant of which can be set.

Days are calendar days. Importance factors are per session, as FinMem publishes them, and are applied
per calendar day as ``factor ** (252 / 365)``.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from varve.config import FrozenConfig, Settings, merged

TIERS: tuple[str, ...] = ("short", "mid", "long", "reflection")
LADDER: tuple[str, ...] = ("short", "mid", "long")
"""Tiers between which a memory can be promoted or demoted; reflections stay where they are."""

SESSIONS_PER_DAY = 252 / 365
"""Trading sessions in a calendar day, the exponent that turns per-session decay into per-day decay."""

Preset = Literal["varve", "finmem-code", "finmem-paper"]
TierName = Literal["short", "mid", "long", "reflection"]


class TierConfig(FrozenConfig):
    """One tier's clock and thresholds."""

    tau_days: float = Field(gt=0, le=1e6, allow_inf_nan=False)
    """τ of recency = exp(−Δ ÷ τ), in calendar days."""
    importance_factor: float = Field(gt=0, le=1)
    """What is left of importance after one session without credit."""
    promote_at: float | None = None
    """Importance from which a credited memory may rise; none where nothing rises."""
    demote_below: float | None = None
    """Importance below which a debited memory may sink; none for no such condition."""
    importance_constant: float = Field(ge=0, le=100)
    """A new memory's importance where importance is constant."""
    importance_values: tuple[float, ...]
    """What a new memory's importance is drawn from where importance is drawn."""
    importance_weights: tuple[float, ...]
    """The probability of each of importance_values."""

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if len(self.importance_values) != len(self.importance_weights) or not self.importance_values:
            raise ValueError("importance_values and importance_weights must be of one length, at least 1")
        if min(self.importance_weights) < 0 or not math.isclose(sum(self.importance_weights), 1.0):
            raise ValueError("importance_weights must not be negative and must add up to 1")
        return self

    def drawn(self, content: str) -> float:
        """One of ``importance_values`` by their weights, drawn by a hash of ``content`` alone."""
        point = int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest()) / 2**64
        place = bisect.bisect_right(list(itertools.accumulate(self.importance_weights)), point)
        return self.importance_values[min(place, len(self.importance_values) - 1)]

    @property
    def log_factor_per_day(self) -> float:
        """Natural logarithm of what is left of importance after one calendar day; at most 0."""
        return math.log(self.importance_factor) * SESSIONS_PER_DAY


class MemorySettings(FrozenConfig):
    """What an agent reads of any memory's settings; the base of each kind's own."""

    importance: Literal["drawn", "constant", "judged"] = "constant"
    """How a new memory gets its importance; judged asks the language model."""
    max_text_chars: int = Field(default=100_000, ge=1)
    """Longest text that is taken, in characters."""


class MemoryConfig(MemorySettings):
    """Everything that a layered memory does by number.

    ``MemoryConfig.build(preset="finmem-code", short={"tau_days": 10})`` takes a preset and changes
    one constant of it. With ``credit_cumulative``, FinMem's released code lets a debit add points; here it
    never does. What lies between two flushes is in the run's journal. ``purge_needs_debit`` keeps decay
    alone from removing anything before ``purge_after_taus``.
    """

    preset: Preset = "varve"
    """What is not set comes from it."""
    similarity_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of the cosine in the score of a memory."""
    recency_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of recency in the score."""
    importance_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of importance ÷ 100, cut at 1, in the score."""
    score_tie: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    """Scores are compared in steps of this size; equal steps are ties."""
    recall: Literal["scored", "random"] = "scored"
    """scored, or random: as many of what could be recalled, by lot (an ablation)."""
    recalled_tiers: tuple[TierName, ...] = ("short", "mid", "long", "reflection")
    """Tiers that recall looks into; memories of the others are kept, never shown (an ablation)."""
    importance: Literal["drawn", "constant", "judged"]
    """How a new memory gets its importance; judged asks the language model."""
    credit_points: float = Field(allow_inf_nan=False, ge=0)
    """Importance points for one credit."""
    credit_cumulative: bool = False
    """Multiply by the running sum of credits where that has the credit's sign."""
    importance_min: float | None = None
    """Floor of importance after a credit; none for no floor."""
    importance_max: float | None = None
    """Ceiling of importance after a credit; none for no ceiling."""
    credits_to_promote: float = Field(gt=0)
    """Net credits since the memory entered its tier that a promotion needs."""
    credits_to_demote: float = Field(gt=0)
    """Net debits that a demotion needs."""
    purge_after_taus: float = Field(default=3.0, gt=0, le=1e6, allow_inf_nan=False)
    """A memory is purged when Δ is more than so many τ."""
    purge_importance_below: float | None = None
    """A memory is purged when importance has sunk below this; none for never."""
    purge_needs_debit: bool = False
    """Let purge_importance_below count only for memories with negative net credits."""
    flush_every_sessions: int = Field(default=252, ge=1)
    """Sessions between two writes to disk; each costs about 25 ms a tier."""
    short: TierConfig
    """The tier of news."""
    mid: TierConfig
    """The tier of quarterly reports."""
    long: TierConfig
    """The tier of annual reports."""
    reflection: TierConfig
    """The tier of the agent's own words."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        preset = given.get("preset", "varve")
        known = isinstance(preset, str) and preset in PRESETS
        return merged(PRESETS[preset], given) if known else given

    def __init__(self, **values: Any) -> None:  # the preset fills what a type checker would miss
        super().__init__(**values)

    def tier(self, name: str) -> TierConfig:
        """The settings of one of :data:`TIERS`."""
        found: TierConfig = getattr(self, name)
        return found


# FinMem, released code: importance of new memories per layer, thresholds of 60 and 80 for rising and
# sinking, factors of .92, .967 and .988 per session.
_SHORT: Settings = {
    "tau_days": 14.0,
    "importance_factor": 0.92,
    "promote_at": 60.0,
    "importance_constant": 50.0,
    "importance_values": (50.0, 70.0, 90.0),
    "importance_weights": (0.5, 0.45, 0.05),
}
_MID: Settings = {
    "tau_days": 90.0,
    "importance_factor": 0.967,
    "promote_at": 80.0,
    "importance_constant": 60.0,
    "importance_values": (40.0, 60.0, 80.0),
    "importance_weights": (0.05, 0.8, 0.15),
}
_LONG: Settings = {
    "tau_days": 365.0,
    "importance_factor": 0.988,
    "importance_constant": 80.0,
    "importance_values": (40.0, 60.0, 80.0),
    "importance_weights": (0.05, 0.15, 0.8),
}

_VARVE: Settings = {
    "importance": "constant",
    "credit_points": 18.0,
    "importance_min": 0.0,
    "importance_max": 100.0,
    "credits_to_promote": 2.0,
    "credits_to_demote": 2.0,
    "purge_after_taus": 3.0,
    "short": _SHORT,
    "mid": _MID,
    "long": _LONG,
    "reflection": _LONG,
}

# The released code counts recency in sessions (its τ for news is 3), purges below a recency of .05,
# which is Δ > ln 20 · τ, or below an importance of 5, and adds 5 points times the running counter.
_CODE: Settings = {
    "importance": "drawn",
    "credit_points": 5.0,
    "credit_cumulative": True,
    "credits_to_promote": 1.0,
    "credits_to_demote": 1.0,
    "purge_after_taus": math.log(20.0),
    "purge_importance_below": 5.0,
    "purge_needs_debit": True,
    "short": {**_SHORT, "tau_days": 3.0 / SESSIONS_PER_DAY},
    "mid": {**_MID, "tau_days": 90.0 / SESSIONS_PER_DAY, "demote_below": 60.0},
    "long": {**_LONG, "tau_days": 365.0 / SESSIONS_PER_DAY, "demote_below": 80.0},
    "reflection": {**_LONG, "tau_days": 365.0 / SESSIONS_PER_DAY},
}

_PAPER: Settings = {
    "importance": "drawn",
    "credit_points": 5.0,
    "credits_to_promote": 1.0,
    "credits_to_demote": 1.0,
    "purge_after_taus": math.log(20.0),
    "purge_importance_below": 5.0,
    "short": {**_SHORT, "importance_values": (40.0, 60.0, 80.0), "importance_weights": (0.8, 0.15, 0.05)},
    "mid": {**_MID, "demote_below": 60.0},
    "long": {**_LONG, "demote_below": 80.0},
    "reflection": _LONG,
}

PRESETS: dict[str, Settings] = {"varve": _VARVE, "finmem-code": _CODE, "finmem-paper": _PAPER}
"""The settings of each preset, before anything that a user sets."""
