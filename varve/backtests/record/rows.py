"""Rows of the journal as they are read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
Rows = list[dict[str, Any]]
