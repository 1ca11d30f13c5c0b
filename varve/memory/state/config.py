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

from varve.config import FrozenConfig, merged

TIERS: tuple[str, ...] = ("short", "mid", "long", "reflection")
LADDER: tuple[str, ...] = ("short", "mid", "long")
"""Tiers between which a memory can be promoted or demoted; reflections stay where they are."""

SESSIONS_PER_DAY = 252 / 365
"""Trading sessions in a calendar day, the exponent that turns per-session decay into per-day decay."""

Preset = Literal["varve", "finmem-code", "finmem-paper"]
TierName = Literal["short", "mid", "long", "reflection"]


class TierConfig(FrozenConfig):
    """One tier's clock and thresholds.

    Args:
        tau_days: τ of recency = exp(−Δ/τ), in calendar days.
        importance_factor: what is left of importance after one session without credit.
        promote_at: importance from which a credited memory may rise; None where nothing rises.
        demote_below: importance below which a debited memory may sink; None for no such condition.
        importance_constant: a new memory's importance when ``importance`` is ``constant``.
        importance_values: what a new memory's importance is drawn from when it is ``drawn``.
        importance_weights: the probability of each value.
    """

    tau_days: float = Field(gt=0, allow_inf_nan=False)
    importance_factor: float = Field(gt=0, le=1)
    promote_at: float | None = None
    demote_below: float | None = None
    importance_constant: float = Field(ge=0, le=100)
    importance_values: tuple[float, ...]
    importance_weights: tuple[float, ...]

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
    """What an agent reads of any memory's settings; the base of each kind's own.

    Args:
        importance: how a new memory gets its importance; ``judged`` asks the language model.
        max_text_chars: longest text that is taken.
    """

    importance: Literal["drawn", "constant", "judged"] = "constant"
    max_text_chars: int = Field(default=100_000, ge=1)


class MemoryConfig(MemorySettings):
    """Everything that a layered memory does by number.

    ``MemoryConfig.build(preset="finmem-code", short={"tau_days": 10})`` takes a preset and changes
    one constant of it.

    Args:
        preset: ``varve``, ``finmem-code`` or ``finmem-paper``; what is not given comes from it.
        similarity_weight: of the cosine in the score; likewise ``recency_weight`` and
            ``importance_weight`` (of importance ÷ 100, cut at 1).
        recall: ``scored``, or ``random``: as many of what could be recalled, by lot (an ablation).
        recalled_tiers: tiers that recall looks into; memories of the others are kept, and never shown (an
            ablation, down to none at all).
        score_tie: scores are compared in steps of this size; equal steps are ties.
        importance: how a new memory gets its importance: ``drawn``, ``constant``, or ``judged`` (by the
            language model, where an agent has the memory).
        credit_points: importance points for one credit.
        credit_cumulative: multiply by the running sum of credits where that has the credit's sign, as
            FinMem's released code does (there a debit can add points; here it never does).
        importance_min: floor of importance after a credit, None for none; likewise ``importance_max``.
        credits_to_promote: net credits since the memory entered its tier that a promotion needs.
        credits_to_demote: net debits that a demotion needs.
        purge_after_taus: purge when Δ is more than so many τ.
        purge_importance_below: purge when importance has sunk below this; None for never.
        purge_needs_debit: let ``purge_importance_below`` count only for memories with negative net
            credits, so that decay alone removes nothing before ``purge_after_taus``.
        flush_every_sessions: sessions between two writes to disk; each costs chromadb about 25 ms a tier,
            and what lies between is in the run's journal.
        max_text_chars: longest text that is taken.
    """

    preset: Preset = "varve"
    similarity_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    recency_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    importance_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    score_tie: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    recall: Literal["scored", "random"] = "scored"
    recalled_tiers: tuple[TierName, ...] = ("short", "mid", "long", "reflection")
    importance: Literal["drawn", "constant", "judged"]  # of the preset
    credit_points: float = Field(allow_inf_nan=False, ge=0)
    credit_cumulative: bool = False
    importance_min: float | None = None
    importance_max: float | None = None
    credits_to_promote: float = Field(gt=0)
    credits_to_demote: float = Field(gt=0)
    purge_after_taus: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    purge_importance_below: float | None = None
    purge_needs_debit: bool = False
    flush_every_sessions: int = Field(default=252, ge=1)
    short: TierConfig
    mid: TierConfig
    long: TierConfig
    reflection: TierConfig

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        preset = given.get("preset", "varve")
        return merged(PRESETS[preset], given) if preset in PRESETS else given

    def __init__(self, **values: Any) -> None:  # the preset fills what a type checker would miss
        super().__init__(**values)

    def tier(self, name: str) -> TierConfig:
        """The settings of one of :data:`TIERS`."""
        found: TierConfig = getattr(self, name)
        return found


# FinMem, released code: importance of new memories per layer, thresholds of 60 and 80 for rising and
# sinking, factors of .92, .967 and .988 per session.
_SHORT: dict[str, Any] = {
    "tau_days": 14.0,
    "importance_factor": 0.92,
    "promote_at": 60.0,
    "importance_constant": 50.0,
    "importance_values": (50.0, 70.0, 90.0),
    "importance_weights": (0.5, 0.45, 0.05),
}
_MID: dict[str, Any] = {
    "tau_days": 90.0,
    "importance_factor": 0.967,
    "promote_at": 80.0,
    "importance_constant": 60.0,
    "importance_values": (40.0, 60.0, 80.0),
    "importance_weights": (0.05, 0.8, 0.15),
}
_LONG: dict[str, Any] = {
    "tau_days": 365.0,
    "importance_factor": 0.988,
    "importance_constant": 80.0,
    "importance_values": (40.0, 60.0, 80.0),
    "importance_weights": (0.05, 0.15, 0.8),
}

_VARVE: dict[str, Any] = {
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
_CODE: dict[str, Any] = {
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

_PAPER: dict[str, Any] = {
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

PRESETS: dict[str, dict[str, Any]] = {"varve": _VARVE, "finmem-code": _CODE, "finmem-paper": _PAPER}
"""The settings of each preset, before anything that a user sets."""
