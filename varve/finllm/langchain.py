"""Names for what LangChain's methods of a chat model pass about. Imports LangChain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from langchain_core.tools import BaseTool

from varve.types import ToolSchema

Tool = ToolSchema | type | Callable[..., object] | BaseTool
"""What a model can be bound to."""

More: TypeAlias = Any
"""What a caller gives a model's method beside its own arguments; LangChain hands it on unlooked at."""
