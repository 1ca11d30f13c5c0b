"""The constants of layered memory, in three presets; every one can be set.

Sources: FinMem (arXiv 2311.13743), section 3.2, and the constants of its released code as read by the
authors of this module. What differs is said in ``docs/memory.md``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from varve.config import FrozenConfig

TIERS = ("short", "mid", "long", "reflection")
"""News; quarterly reports; annual reports; the agent's own reflections."""

SESSIONS_PER_CALENDAR_DAY = 252 / 365
"""FinMem decays importance per session; closed-form decay runs on calendar days."""


class TierConfig(FrozenConfig):
    """One tier's clock and doors.

    ``recency_days`` is τ of recency exp(−Δ/τ), Δ in calendar days. ``importance_decay`` is the factor
    of importance per session. A memory moves up when its importance reaches ``promote_at`` and down
    when it is below ``demote_below`` (None: no such door), each only with the credits that the
    memory's settings ask for. ``drawn`` are (importance, probability) pairs.
    """

    recency_days: float = Field(gt=0)
    importance_decay: float = Field(gt=0, le=1)
    promote_at: float | None = None
    demote_below: float | None = None
    drawn: tuple[tuple[float, float], ...]

    @property
    def decay_per_day(self) -> float:
        """Factor of importance per calendar day."""
        return float(self.importance_decay**SESSIONS_PER_CALENDAR_DAY)


_SHALLOW = ((50.0, 0.5), (70.0, 0.45), (90.0, 0.05))
_MIDDLE = ((40.0, 0.05), (60.0, 0.8), (80.0, 0.15))
_DEEP = ((40.0, 0.05), (60.0, 0.15), (80.0, 0.8))
_PAPER_SHALLOW = ((40.0, 0.8), (60.0, 0.15), (80.0, 0.05))


def _tiers(shallow: tuple[tuple[float, float], ...], short_days: float, doors: bool) -> dict[str, Any]:
    # In the released code a memory also falls when its importance sinks below its tier's door.
    return {
        "short": {"recency_days": short_days, "importance_decay": 0.92, "promote_at": 60.0, "drawn": shallow},
        "mid": {
            "recency_days": 90.0, "importance_decay": 0.967, "promote_at": 80.0,
            "demote_below": 60.0 if doors else None, "drawn": _MIDDLE,
        },
        "long": {
            "recency_days": 365.0, "importance_decay": 0.988,
            "demote_below": 80.0 if doors else None, "drawn": _DEEP,
        },
        "reflection": {"recency_days": 365.0, "importance_decay": 0.988, "drawn": _DEEP},
    }  # fmt: skip


_PRESETS: dict[str, dict[str, Any]] = {
    "varve": {
        "credit_points": 18.0,
        "promote_credits": 2,
        "demote_credits": -2,
        "purge_importance_below": None,
        "tiers": _tiers(_SHALLOW, 14.0, doors=False),
    },
    "finmem-code": {
        "credit_points": 18.0,
        "promote_credits": 1,
        "demote_credits": -1,
        "purge_importance_below": None,
        "tiers": _tiers(_SHALLOW, 3.0, doors=True),
    },
    "finmem-paper": {
        "credit_points": 5.0,
        "promote_credits": 1,
        "demote_credits": -1,
        "purge_importance_below": 5.0,
        "tiers": _tiers(_PAPER_SHALLOW, 14.0, doors=True),
    },
}


class MemoryConfig(FrozenConfig):
    """Settings of a layered memory.

    Score of a memory = ``similarity_weight`` · cosine + ``recency_weight`` · exp(−Δ/τ) +
    ``importance_weight`` · min(importance, 100)/100. Importance at the start is ``drawn`` (seeded, from
    the tier's table), ``constant``, or ``judged`` (handed in by the caller). Credit adds or takes
    ``credit_points``. A memory is purged when Δ > ``purge_after_taus`` · τ, or below
    ``purge_importance_below`` where that is set.
    """

    preset: Literal["varve", "finmem-code", "finmem-paper"] = "varve"
    similarity_weight: float = Field(default=1.0, ge=0)
    recency_weight: float = Field(default=1.0, ge=0)
    importance_weight: float = Field(default=1.0, ge=0)
    importance: Literal["drawn", "constant", "judged"] = "drawn"
    constant_importance: float = Field(default=50.0, ge=0, le=100)
    credit_points: float = Field(gt=0)
    promote_credits: int = Field(ge=1)
    demote_credits: int = Field(le=-1)
    purge_after_taus: float = Field(default=3.0, gt=0)
    purge_importance_below: float | None = None
    flush_every_sessions: int = Field(default=21, ge=1)
    tiers: dict[Literal["short", "mid", "long", "reflection"], TierConfig]

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        preset = _PRESETS.get(values.get("preset", "varve"))
        if preset is None:
            return values
        tiers = {
            name: {**constants, **values.get("tiers", {}).get(name, {})}
            for name, constants in preset["tiers"].items()
        }
        unknown = {k: v for k, v in values.get("tiers", {}).items() if k not in tiers}
        return {**preset, **values, "tiers": {**tiers, **unknown}}
