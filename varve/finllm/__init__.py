"""The language model: the chat-model seam, its calls, its replies, and untrusted text.

Light on import: the modules that need langchain are loaded where a model is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from varve.finllm.fake import FakeModelServer
    from varve.finllm.models import model_identity, open_model
    from varve.finllm.session import ModelSession

_HOMES = {
    "FakeModelServer": "fake",
    "ModelSession": "session",
    "model_identity": "models",
    "open_model": "models",
}

__all__ = ["FakeModelServer", "ModelSession", "model_identity", "open_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"varve.finllm has no {name!r}")
    from importlib import import_module

    return getattr(import_module(f"varve.finllm.{_HOMES[name]}"), name)
