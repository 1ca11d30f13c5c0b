"""Price files: every dialect that is known read right, any other refused with what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.market.sources.prices.names import FIELDS
    from varve.market.sources.prices.read import PriceFiles, read_prices

_HOMES = {"FIELDS": "names", "PriceFiles": "read", "read_prices": "read"}

__all__ = ["FIELDS", "PriceFiles", "read_prices"]


__getattr__ = lazy(__name__, _HOMES)
