"""Keep keys out of everything that is written or shown: the one door for secrets.

A server may repeat the key that it was sent, whole or cut, and exceptions quote requests. So not the key
alone is hidden, but each run of 8 of its characters.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable that holds the key of a model server."""
HIDDEN = "[hidden]"
"""What stands in the place of a secret."""
PIECE = 8
"""So many consecutive characters of a secret, behind its public prefix, are as secret as all of it."""

# What every key of a maker begins with, and says nothing of the key.
_PUBLIC = re.compile(
    r"(?:sk-(?:proj-|svcacct-|admin-|ant-(?:api\d\d-)?|or-(?:v\d-)?|lf-|test-|live-)?|pk-(?:lf-)?"
    r"|gsk_|hf_|xai-|pplx-|nvapi-|AIza|r8_|fw_|csk-|Bearer )",
    re.IGNORECASE,
)
# What people set where a client insists on a key and the server wants none.
_PLACEHOLDERS = frozenset((
    "none", "null", "empty", "dummy", "dummy-key", "placeholder", "ollama", "lm-studio", "not-needed",
    "not-used", "no-key", "no-key-required", "sk-no-key-required", "sk-none", "sk-xxx", "unused", "anything",
))  # fmt: skip
# Characters that nobody sees; what cleans a text later would put the pieces together again.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]+"
)


def key_in_environment() -> str | None:
    """Return the key of a model server that the environment holds; None for none or a placeholder."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return key if key and key.lower() not in _PLACEHOLDERS else None


def is_secret(text: str) -> bool:
    """Whether a text is long enough to be a key, and no placeholder."""
    return len(text) >= PIECE and text.lower() not in _PLACEHOLDERS


def hide(text: str, secrets: tuple[str, ...] = ()) -> str:
    """``text`` with every secret, and every 8 consecutive characters of one, replaced.

    Args:
        secrets: beside the key in the environment.
    """
    key = key_in_environment()
    pieces = _pieces(secrets if key is None or not is_secret(key) else (*secrets, key))
    if not pieces:
        return text
    unseen = None if text.isprintable() else _UNSEEN.search(text)
    if unseen is None:
        return _covered(text, _places(text, pieces))
    # Where each character that is seen stands in the whole text.
    where = [i for i, character in enumerate(text) if not _UNSEEN.match(character)]
    found = _places("".join(text[i] for i in where), pieces)
    return _covered(text, [(where[start], where[end - 1] + 1) for start, end in found])


@lru_cache(maxsize=16)
def _pieces(secrets: tuple[str, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for secret in secrets:
        public = _PUBLIC.match(secret)
        rest = secret[public.end() :] if public else secret
        if len(rest) < PIECE:
            found[secret] = None
        for start in range(len(rest) - PIECE + 1):
            found[rest[start : start + PIECE]] = None
    return tuple(found)


def _places(text: str, pieces: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where pieces stand, start and end, joined where they touch."""
    hits: list[tuple[int, int]] = []
    for piece in pieces:
        start = text.find(piece)
        while start >= 0:
            hits.append((start, start + len(piece)))
            start = text.find(piece, start + 1)
    joined: list[tuple[int, int]] = []
    for start, end in sorted(hits):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _covered(text: str, places: list[tuple[int, int]]) -> str:
    """The text with these places hidden, the public prefix before one among them."""
    parts, last = [], 0
    for start, end in places:
        before = text[last:start]
        public = max((m.end() == len(before) and m.start() for m in _PUBLIC.finditer(before)), default=False)
        parts += [before if public is False else before[:public], HIDDEN]
        last = end
    return "".join([*parts, text[last:]])
