"""A cost preset from another package."""

from varve.api import CostModel

DEAR = CostModel(commission_bps=100.0, half_spread_bps=50.0)
