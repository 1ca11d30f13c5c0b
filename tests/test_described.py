"""Every setting of every class that a user can set is described: default, what it can be, and its meaning."""

import pytest
from pydantic import Field

from varve import registry
from varve.backtests.config import RunConfig
from varve.config import FrozenConfig, described
from varve.envs.costs import CostModel, get_costs

CLASSES = [
    RunConfig,
    CostModel,
    *(
        registry.load(group, name).Config
        for group in ("agents", "strategies")
        for name in registry.names(group)
    ),
    *(registry.load("sizers", name) for name in registry.names("sizers")),
]


class Inner(FrozenConfig):
    """In another."""

    share: float | None = Field(default=None, gt=0, le=1)
    """A share."""


class Outer(FrozenConfig):
    """One of each kind."""

    count: int = Field(ge=1)
    """How many."""
    names: tuple[str, ...] = ("a",)
    inner: Inner = Field(default_factory=Inner)


@pytest.mark.parametrize("cls", dict.fromkeys(CLASSES), ids=lambda cls: cls.__name__)
def test_every_setting_has_a_meaning_and_says_what_it_can_be(cls):
    for setting in described(cls):
        assert setting.meaning.endswith((".", "NAME")) or "see: backtest" in setting.meaning, setting
        assert setting.allowed != "any", setting


def test_defaults_bounds_and_what_is_needed():
    count, names, share = described(Outer)
    assert count == ("count", None, True, "whole number, ≥ 1", "How many.")
    assert names == ("names", ["a"], False, "list of text", "")
    assert share == ("inner.share", None, False, "number or none, > 0, ≤ 1", "A share.")


def test_defaults_are_those_of_a_preset():
    found = {setting.name: setting.default for setting in described(CostModel, get_costs("retail"), "costs.")}
    assert found["costs.commission_bps"] == 1.0
