"""Chat models of this process: templates, tool calls, grammars, weighed actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.finllm.local.chat_model import LocalModel
    from varve.finllm.local.tool_formats import FAMILIES, PLAIN, calls_grammar, read_calls, written_call

_HOMES = {
    "FAMILIES": "tool_formats",
    "LocalModel": "chat_model",
    "PLAIN": "tool_formats",
    "calls_grammar": "tool_formats",
    "read_calls": "tool_formats",
    "written_call": "tool_formats",
}

__all__ = [
    "FAMILIES",
    "PLAIN",
    "LocalModel",
    "calls_grammar",
    "read_calls",
    "written_call",
]


__getattr__ = lazy(__name__, _HOMES)
