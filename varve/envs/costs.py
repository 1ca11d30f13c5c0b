"""What trading costs: commission, half-spread, impact, and a cap on participation."""

from __future__ import annotations

from pydantic import Field

from varve.config import FrozenConfig
from varve.errors import UnknownNameError


class CostModel(FrozenConfig):
    """Costs of one fill of quantity Q at reference price P, in the instrument's currency.

    Price paid: P × (1 ± (half-spread + impact)), with impact = k · σ · √(Q / ADV); σ is the standard
    deviation of close-to-close returns and ADV the mean volume (shares) over the ``adv_sessions`` bars
    before the fill. Commission: max(minimum, Q · P · bps / 10⁴ + Q · per share). At most
    ``participation_cap`` × ADV is filled (None: no cap).

    Without volume there is no impact and no cap, and the half-spread is doubled.
    """

    commission_bps: float = Field(default=0.0, ge=0)
    commission_per_share: float = Field(default=0.0, ge=0)
    commission_minimum: float = Field(default=0.0, ge=0)
    half_spread_bps: float = Field(default=0.0, ge=0)
    impact_coefficient: float = Field(default=0.0, ge=0)
    participation_cap: float | None = Field(default=None, gt=0, le=1)
    adv_sessions: int = Field(default=20, ge=2)

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


COSTS: dict[str, CostModel] = {
    "zero": CostModel(),
    "retail": CostModel(
        commission_bps=1.0, half_spread_bps=2.5, impact_coefficient=0.1, participation_cap=0.05
    ),
}
"""Presets. ``retail``: a small account at a discount broker, about 3.5 bps a side before impact."""


def get_costs(name: str) -> CostModel:
    """The preset of that name.

    Raises:
        UnknownNameError: if there is none; near names are suggested.
    """
    if name not in COSTS:
        raise UnknownNameError("cost preset", name, COSTS)
    return COSTS[name]
