"""What trading costs: commission, half-spread, impact, and a cap on participation."""

from __future__ import annotations

from pydantic import Field

from varve import registry
from varve.config import FrozenConfig
from varve.errors import UsageError


class CostModel(FrozenConfig):
    """Costs of one fill of quantity Q at reference price P, in the instrument's currency.

    Price paid: P × (1 ± (half-spread + impact)), with impact = k · σ · √(Q / ADV); σ is the standard
    deviation of close-to-close returns and ADV the mean volume (shares) over the ``adv_sessions`` bars
    before the fill. Commission: max(minimum, Q · P · bps / 10⁴ + Q · per share). At most
    ``participation_cap`` × ADV is filled (None: no cap).

    Without volume there is no impact and no cap, and the half-spread is doubled.
    """

    commission_bps: float = Field(default=0.0, ge=0)
    """Commission in basis points (hundredths of a percent) of the value traded."""
    commission_per_share: float = Field(default=0.0, ge=0)
    """Commission for each share (or coin), in the instrument's currency."""
    commission_minimum: float = Field(default=0.0, ge=0)
    """Least commission of a fill, in the instrument's currency."""
    half_spread_bps: float = Field(default=0.0, ge=0)
    """Half the bid-ask spread, in basis points of the price; twice that without volume."""
    impact_coefficient: float = Field(default=0.0, ge=0)
    """k of the price impact k · σ · √(quantity ÷ mean volume)."""
    participation_cap: float | None = Field(default=None, gt=0, le=1)
    """Most of the mean volume that one fill takes, a fraction."""
    adv_sessions: int = Field(default=20, ge=2)
    """Bars before the fill over which volume and σ are taken."""

    def half_spread(self, *, has_volume: bool) -> float:
        """Half-spread as a fraction of the price."""
        return self.half_spread_bps * (1e-4 if has_volume else 2e-4)

    def commission(self, quantity: float, price: float) -> float:
        """Commission in currency for an absolute ``quantity`` at ``price``."""
        charged = quantity * (price * self.commission_bps * 1e-4 + self.commission_per_share)
        return max(self.commission_minimum, charged)

    def rate(self, *, has_volume: bool = True) -> float:
        """The entry cost rate of a position that is kept, a fraction: half-spread and commission in bps."""
        return self.half_spread(has_volume=has_volume) + self.commission_bps * 1e-4


def zero() -> CostModel:
    """No costs at all."""
    return CostModel()


def retail() -> CostModel:
    """A small account at a discount broker, about 3.5 bps a side before impact."""
    return CostModel(commission_bps=1.0, half_spread_bps=2.5, impact_coefficient=0.1, participation_cap=0.05)


def get_costs(name: str, **settings: object) -> CostModel:
    """The registered preset of that name, with some of its ``settings`` changed.

    A preset is a cost model, or a function that makes one.

    Raises:
        UnknownNameError: if there is none; near names are suggested.
        SettingError: if a setting is unknown or cannot be used.
        UsageError: if what is registered is no cost model.
    """
    found = registry.load("costs", name)
    preset = found() if callable(found) else found
    if not isinstance(preset, CostModel):
        raise UsageError(
            f"cost preset {name!r} gives a {type(preset).__name__}, a CostModel expected",
            mend="mend the package that registers it",
        )
    return type(preset).build(**{**preset.model_dump(), **settings}) if settings else preset
