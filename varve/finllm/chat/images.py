"""Images in a conversation: as a model gets them, and as a journal keeps them.

A model that sees says so by an attribute ``vision``; everything else is shown text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from langchain_core.language_models import BaseChatModel

from varve.errors import ModelError
from varve.finllm.chat.reply_source import image_name
from varve.types import Json, Message

Block = dict[str, str]
"""A part of a message's content as LangChain takes it: a text or an image."""
REFUSED = "image_refused"
"""The finish reason of a reply that never came, since the server takes no such image."""

REFUSING_STATUS = (400, 413, 415, 422)
"""What servers answer where they cannot take an image: too large, too many, or no vision at all."""

_DATA = re.compile(r"data:(?P<mime>image/[a-z+.-]+);base64,(?P<data>[A-Za-z0-9+/=]+)")


class ImageRefusedError(ModelError):
    """The model's server took the question only without its image; the caller asks again in text."""


def sees(model: BaseChatModel) -> bool:
    """Whether images may be sent to the model."""
    return bool(getattr(model, "vision", False))


def image_block(png: bytes) -> Block:
    """A PNG as LangChain's content block, to stand in a message's content beside text blocks."""
    return {"type": "image", "base64": base64.b64encode(png).decode(), "mime_type": "image/png"}


def text_block(text: str) -> Block:
    """Text as a content block."""
    return {"type": "text", "text": text}


def take_images(messages: Sequence[Message]) -> tuple[list[Message], tuple[bytes, ...]]:
    """Messages in OpenAI's form with every image in them replaced by its name, and the images, each once.

    ``{"type": "image_url", ...}`` becomes ``{"type": "image", "mime_type": ..., "sha256": ...}``; images
    that are no data but an address stay as they are.
    """
    found: dict[str, bytes] = {}
    plain = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            message = {**message, "content": [_named(block, found) for block in content]}
        plain.append(message)
    return plain, tuple(found.values())


def _named(block: Json, found: dict[str, bytes]) -> Json:
    given = block.get("image_url") if isinstance(block, dict) else None
    url = given.get("url") if isinstance(given, dict) else None
    match = _DATA.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        return block
    data = base64.b64decode(match["data"])
    name = image_name(data)
    found[name] = data
    return {"type": "image", "mime_type": match["mime"], "sha256": name}
