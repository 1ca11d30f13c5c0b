"""The language model: the chat-model seam, its calls, its replies, and untrusted text.

Light on import: the modules that need langchain are loaded where a model is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

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


__getattr__ = lazy(__name__, _HOMES)
