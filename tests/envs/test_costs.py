"""The presets of costs, number by number, and the numbers that are refused."""

import pytest

from varve import registry
from varve.envs.costs import CostModel, get_costs
from varve.errors import SettingError

ZERO = {
    "commission_bps": 0.0,
    "commission_per_share": 0.0,
    "commission_minimum": 0.0,
    "half_spread_bps": 0.0,
    "impact_coefficient": 0.0,
    "participation_cap": None,
    "adv_sessions": 20,
}
RETAIL = {"commission_bps": 1.0, "half_spread_bps": 2.5, "impact_coefficient": 0.1, "participation_cap": 0.05}


def test_the_numbers_of_the_presets():
    assert registry.names("costs") == ["retail", "zero"]
    assert get_costs("zero").model_dump() == CostModel().model_dump() == ZERO
    assert get_costs("retail").model_dump() == {**ZERO, **RETAIL}


def test_a_side_of_the_retail_preset_costs_3_5_bps_and_more_without_volume():
    retail = get_costs("retail")
    assert retail.rate() == pytest.approx(3.5e-4)
    assert retail.rate(has_volume=False) == pytest.approx(6e-4)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("commission_bps", 0, -0.1),
        ("commission_per_share", 0, -0.1),
        ("commission_minimum", 0, -0.1),
        ("half_spread_bps", 0, -0.1),
        ("impact_coefficient", 0, -0.1),
        ("participation_cap", 1, 1.01),
        ("participation_cap", 0.001, 0),
        ("adv_sessions", 2, 1),
    ],
)
def test_the_bounds_of_each_number(name, good, bad):
    assert getattr(CostModel.build(**{name: good}), name) == good
    with pytest.raises(SettingError, match=name):
        CostModel.build(**{name: bad})
