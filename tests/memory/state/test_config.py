"""The numbers of each preset, written out once more, and the settings that are refused."""

import math

import pytest

from varve.errors import SettingError
from varve.memory import MemoryConfig
from varve.memory.state.config import MemorySettings

ALIKE = {
    "max_text_chars": 100_000,
    "similarity_weight": 1.0,
    "recency_weight": 1.0,
    "importance_weight": 1.0,
    "score_tie": 1e-4,
    "recall": "scored",
    "recalled_tiers": ("short", "mid", "long", "reflection"),
    "flush_every_sessions": 252,
}
PRESETS = {
    "varve": {
        "importance": "constant",
        "credit_points": 18.0,
        "credit_cumulative": False,
        "importance_min": 0.0,
        "importance_max": 100.0,
        "credits_to_promote": 2.0,
        "credits_to_demote": 2.0,
        "purge_after_taus": 3.0,
        "purge_importance_below": None,
        "purge_needs_debit": False,
    },
    "finmem-code": {
        "importance": "drawn",
        "credit_points": 5.0,
        "credit_cumulative": True,
        "importance_min": None,
        "importance_max": None,
        "credits_to_promote": 1.0,
        "credits_to_demote": 1.0,
        "purge_after_taus": math.log(20),
        "purge_importance_below": 5.0,
        "purge_needs_debit": True,
    },
    "finmem-paper": {
        "importance": "drawn",
        "credit_points": 5.0,
        "credit_cumulative": False,
        "importance_min": None,
        "importance_max": None,
        "credits_to_promote": 1.0,
        "credits_to_demote": 1.0,
        "purge_after_taus": math.log(20),
        "purge_importance_below": 5.0,
        "purge_needs_debit": False,
    },
}
YEAR = 365 / 252  # calendar days in a session
# Per tier: τ in days, factor, up at, down below, constant, values, their weights.
SHORT = (14.0, 0.92, 60.0, None, 50.0, (50.0, 70.0, 90.0), (0.5, 0.45, 0.05))
MID = (90.0, 0.967, 80.0, None, 60.0, (40.0, 60.0, 80.0), (0.05, 0.8, 0.15))
LONG = (365.0, 0.988, None, None, 80.0, (40.0, 60.0, 80.0), (0.05, 0.15, 0.8))
TIERS = {
    "varve": (SHORT, MID, LONG, LONG),
    "finmem-code": (
        (3.0 * YEAR, *SHORT[1:]),
        (90.0 * YEAR, 0.967, 80.0, 60.0, *MID[4:]),
        (365.0 * YEAR, 0.988, None, 80.0, *LONG[4:]),
        (365.0 * YEAR, *LONG[1:]),
    ),
    "finmem-paper": (
        (*SHORT[:5], (40.0, 60.0, 80.0), (0.8, 0.15, 0.05)),
        (*MID[:3], 60.0, *MID[4:]),
        (*LONG[:3], 80.0, *LONG[4:]),
        LONG,
    ),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_numbers_of_a_preset(preset):
    made = MemoryConfig.build(preset=preset).model_dump()
    for tier, (days, *others) in zip(("short", "mid", "long", "reflection"), TIERS[preset], strict=True):
        found = made.pop(tier)
        assert found.pop("tau_days") == pytest.approx(days)
        assert list(found.values()) == others
    assert made == {"preset": preset, **ALIKE, **PRESETS[preset]}


def test_the_numbers_of_any_memory():
    assert MemorySettings().model_dump() == {"importance": "constant", "max_text_chars": 100_000}
    assert MemoryConfig.build() == MemoryConfig.build(preset="varve")


@pytest.mark.parametrize(
    ("name", "least"),
    [("similarity_weight", 0), ("recency_weight", 0), ("importance_weight", 0), ("credit_points", 0)],
)
def test_a_weight_is_finite_and_not_negative(name, least):
    assert getattr(MemoryConfig.build(**{name: least}), name) == least
    for bad in (least - 0.01, math.inf, math.nan):
        with pytest.raises(SettingError, match=name):
            MemoryConfig.build(**{name: bad})


@pytest.mark.parametrize("name", ["score_tie", "purge_after_taus", "credits_to_promote", "credits_to_demote"])
def test_a_step_is_above_0(name):
    assert getattr(MemoryConfig.build(**{name: 0.5}), name) == 0.5
    for bad in (0, -1, math.nan):
        with pytest.raises(SettingError, match=name):
            MemoryConfig.build(**{name: bad})


@pytest.mark.parametrize("name", ["score_tie", "purge_after_taus"])
def test_a_step_is_finite(name):
    with pytest.raises(SettingError, match=name):
        MemoryConfig.build(**{name: math.inf})


@pytest.mark.parametrize("name", ["max_text_chars", "flush_every_sessions"])
def test_a_count_is_at_least_1(name):
    assert getattr(MemoryConfig.build(**{name: 1}), name) == 1
    with pytest.raises(SettingError, match=name):
        MemoryConfig.build(**{name: 0})


@pytest.mark.parametrize(
    ("setting", "bad", "good"),
    [
        ("tau_days", (0, math.inf, math.nan), 0.5),
        ("importance_factor", (0, 1.01), 1.0),
        ("importance_constant", (-1, 100.5), 100.0),
    ],
)
def test_a_tier_keeps_within_its_bounds(setting, bad, good):
    assert getattr(MemoryConfig.build(short={setting: good}).short, setting) == good
    for value in bad:
        with pytest.raises(SettingError, match=setting):
            MemoryConfig.build(short={setting: value})
