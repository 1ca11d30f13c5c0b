"""Where a reply can come from instead of the model: the reply cache, or a run's own journal.

Light on import. One seam for both: :class:`ReplySource`. A session asks it first and goes to the model
only where it has nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NotRequired, Protocol, TypedDict

from varve.types import Json, JsonObject, Message, Reply, Usage


class Identity(TypedDict):
    """What a run record says of its model: see :func:`varve.finllm.chat.open_model.model_identity`."""

    name: str
    fingerprint: str
    settings: JsonObject
    vision: NotRequired[bool]


@dataclass(frozen=True)
class Asked:
    """One call as it goes into the journal: everything that the model is shown, secrets hidden.

    In the messages images stand by the SHA-256 of their bytes; ``images`` are the bytes.
    """

    stage: str
    attempt: int
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Json], ...]
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Answered:
    """A reply as it goes into the journal, and what it cost when it was made."""

    reply: Reply
    usage: Usage


def image_name(data: bytes) -> str:
    """What an image is called in a message that is kept: the SHA-256 (hex) of its bytes."""
    return hashlib.sha256(data).hexdigest()


class ReplySource(Protocol):
    """Replies made before."""

    def find(self, asked: Asked) -> Answered | None:
        """The reply to that call, or None where the model has to be asked.

        Raises:
            IntegrityError: if the call is not the one that was recorded in its place.
        """
        ...

    def keep(self, asked: Asked, answered: Answered) -> None:
        """Note a reply of the model that could be used; bad ones are never handed in."""
        ...
