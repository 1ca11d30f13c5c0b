"""A memory from another package: it recalls what could be read first."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from varve.api import FlatWindow, Recalled


class OldestFirst(FlatWindow):
    """Recalls the oldest texts first."""

    def recall(
        self,
        query: str,
        now: datetime,
        k: int,
        tiers: str | Iterable[str] | None = None,
        ticker: str | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> dict[str, list[Recalled]]:
        newest_first = super().recall(query, now, max(k, len(self)) if k > 0 else k, tiers, ticker, where)
        return {
            tier: [hit._replace(score=1.0 - hit.score) for hit in reversed(hits)][:k]
            for tier, hits in newest_first.items()
        }
