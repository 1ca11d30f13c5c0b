"""Recorded decisions by the papers' rules and by realistic ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.studies.rescore.page import PAGE_FILE, write_rescored
    from varve.backtests.studies.rescore.rescore import Rescored
    from varve.backtests.studies.rescore.sentences import rescore_card, signed, table

_HOMES = {
    "PAGE_FILE": "page",
    "Rescored": "rescore",
    "rescore_card": "sentences",
    "signed": "sentences",
    "table": "sentences",
    "write_rescored": "page",
}

__all__ = [
    "PAGE_FILE",
    "Rescored",
    "rescore_card",
    "signed",
    "table",
    "write_rescored",
]


__getattr__ = lazy(__name__, _HOMES)
