"""Text made harmless before it is written or shown: keys hidden, terminal codes seen, formulas marked.

Tickers, file names, notes, news, replies, names in a record and what a server says were written by others.
On a page, Jinja escapes them; in a prompt, :mod:`varve.finllm.replies.untrusted` does. A server may repeat
the key that it was sent, whole or cut, and exceptions quote requests: so not the key alone is hidden, but
each run of 8 of its characters.
"""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
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
    r"|gsk_|hf_|xai-|pplx-|nvapi-|AIza|r8_|fw_|csk-)",
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


# What a spreadsheet takes for the beginning of a formula, also behind blanks and quotes.
_FORMULA = "=+-@\t\r\n＝＋－＠"
_AHEAD = " \"'\u00a0\u200b\ufeff"
TEXT_MARK = "'"
"""What stands before a cell that would be a formula; a spreadsheet takes the cell for text then."""


class _Escapes(dict[int, str]):
    """Per character: itself, or what it is written as where it would command the terminal or not be seen."""

    def __missing__(self, point: int) -> str:
        character = chr(point)
        hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        shown = ascii(character)[1:-1] if hidden and character not in "\n\t" else character
        self[point] = shown
        return shown


_ESCAPES = _Escapes()


def visible(text: object) -> str:
    """A text as it may go to a terminal: what would command it, or turn or hide text, as a visible escape.

    Those are control characters but line end and tabulator, format characters (direction, width zero), half
    characters, and Unicode's line separators.
    """
    plain = str(text)
    return plain if plain.isascii() and plain.isprintable() else plain.translate(_ESCAPES)


def line(text: object) -> str:
    """A text as :func:`visible` gives it, on one line, so that none of its own looks like Varve's."""
    return visible(text).replace("\n", "\\n")


def shortened(text: str, limit: int = 2000) -> str:
    """A text of at most ``limit`` characters, its middle left out where it is longer."""
    if len(text) <= limit:
        return text
    end = limit // 4
    return f"{text[: limit - end - 40]} … {len(text) - limit + 40:,} characters … {text[-end:]}"


def cell(value: object) -> object:
    """A value as it may stand in a table that a spreadsheet opens: a text that would be a formula is marked.

    Numbers stay numbers, and so does a text that is one.
    """
    if not isinstance(value, str):
        return value
    if "\r" in value:  # ends a row for those who read it, and is not quoted
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    if not value.lstrip(_AHEAD).startswith(tuple(_FORMULA)):
        return value
    return value if _is_number(value) else TEXT_MARK + value


def csv_text(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table as CSV with one line end, every cell made harmless."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([cell(name) for name in header])
    writer.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def _is_number(text: str) -> bool:
    if not text.isascii() or text.strip() != text:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
