"""The conversation with a model: the session, the reply cache, records of replies, model cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.finllm.chat.faults import KEY_VARIABLE
    from varve.finllm.chat.images import ImageRefusedError, image_block, sees, text_block
    from varve.finllm.chat.model_cards import (
        USER_FILE,
        ModelCard,
        card_of,
        cards,
        knowledge_of,
        knowledge_warning,
    )
    from varve.finllm.chat.open_model import deciding, model_identity
    from varve.finllm.chat.reply_cache import CachedReplies, ReplyCache, cache_path, reply_key
    from varve.finllm.chat.reply_records import recorded_model
    from varve.finllm.chat.reply_source import Answered, Asked, ReplySource, image_name
    from varve.finllm.chat.session import ModelSession

_HOMES = {
    "Answered": "reply_source",
    "Asked": "reply_source",
    "CachedReplies": "reply_cache",
    "ImageRefusedError": "images",
    "KEY_VARIABLE": "faults",
    "ModelCard": "model_cards",
    "ModelSession": "session",
    "ReplyCache": "reply_cache",
    "ReplySource": "reply_source",
    "USER_FILE": "model_cards",
    "cache_path": "reply_cache",
    "card_of": "model_cards",
    "cards": "model_cards",
    "deciding": "open_model",
    "image_block": "images",
    "image_name": "reply_source",
    "knowledge_of": "model_cards",
    "knowledge_warning": "model_cards",
    "model_identity": "open_model",
    "recorded_model": "reply_records",
    "reply_key": "reply_cache",
    "sees": "images",
    "text_block": "images",
}

__all__ = [
    "KEY_VARIABLE",
    "USER_FILE",
    "Answered",
    "Asked",
    "CachedReplies",
    "ImageRefusedError",
    "ModelCard",
    "ModelSession",
    "ReplyCache",
    "ReplySource",
    "cache_path",
    "card_of",
    "cards",
    "deciding",
    "image_block",
    "image_name",
    "knowledge_of",
    "knowledge_warning",
    "model_identity",
    "recorded_model",
    "reply_key",
    "sees",
    "text_block",
]


__getattr__ = lazy(__name__, _HOMES)
