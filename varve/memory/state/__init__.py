"""The state of a memory: settings, records, columns, tiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.memory.state.columns import DAY_NS, Vector, Weights
    from varve.memory.state.config import LADDER, TIERS, MemoryConfig, MemorySettings, TierConfig
    from varve.memory.state.records import (
        CreditReport,
        MemoryRecord,
        NewMemory,
        Recalled,
        SessionReport,
        citation,
        normalised,
        of_citation,
        text_key,
    )
    from varve.memory.state.tiers import (
        TOLD_WHOLE,
        Entry,
        State,
        data_of,
        id_of,
        number_of,
        own_changes,
        record_of,
    )
    from varve.memory.state.validation import (
        Where,
        check_count,
        check_instant,
        check_metadata,
        check_number,
        check_share,
        check_text,
        check_tiers,
        check_where,
        passes,
    )

_HOMES = {
    "CreditReport": "records",
    "DAY_NS": "columns",
    "Entry": "tiers",
    "LADDER": "config",
    "MemoryConfig": "config",
    "MemoryRecord": "records",
    "MemorySettings": "config",
    "NewMemory": "records",
    "Recalled": "records",
    "SessionReport": "records",
    "State": "tiers",
    "TIERS": "config",
    "TOLD_WHOLE": "tiers",
    "TierConfig": "config",
    "Vector": "columns",
    "Weights": "columns",
    "Where": "validation",
    "check_count": "validation",
    "check_instant": "validation",
    "check_metadata": "validation",
    "check_number": "validation",
    "check_share": "validation",
    "check_text": "validation",
    "check_tiers": "validation",
    "check_where": "validation",
    "citation": "records",
    "data_of": "tiers",
    "id_of": "tiers",
    "normalised": "records",
    "number_of": "tiers",
    "of_citation": "records",
    "own_changes": "tiers",
    "passes": "validation",
    "record_of": "tiers",
    "text_key": "records",
}

__all__ = [
    "DAY_NS",
    "LADDER",
    "TIERS",
    "TOLD_WHOLE",
    "CreditReport",
    "Entry",
    "MemoryConfig",
    "MemoryRecord",
    "MemorySettings",
    "NewMemory",
    "Recalled",
    "SessionReport",
    "State",
    "TierConfig",
    "Vector",
    "Weights",
    "Where",
    "check_count",
    "check_instant",
    "check_metadata",
    "check_number",
    "check_share",
    "check_text",
    "check_tiers",
    "check_where",
    "citation",
    "data_of",
    "id_of",
    "normalised",
    "number_of",
    "of_citation",
    "own_changes",
    "passes",
    "record_of",
    "text_key",
]


__getattr__ = lazy(__name__, _HOMES)
