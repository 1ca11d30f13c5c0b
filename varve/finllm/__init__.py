"""The language model: the chat-model seam, its calls, its replies, and untrusted text.

Light on import: the modules that need langchain are loaded where a model is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.finllm.chat.open_model import model_identity, open_model
    from varve.finllm.chat.session import ModelSession

_HOMES = {
    "ModelSession": "chat.session",
    "model_identity": "chat.open_model",
    "open_model": "chat.open_model",
}

__all__ = ["ModelSession", "model_identity", "open_model"]


__getattr__ = lazy(__name__, _HOMES)
