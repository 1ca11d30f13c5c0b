"""News, filings, tool results and memories, made harmless before they enter a prompt.

Such text comes from outside. It may hold pieces that a chat template or Varve's own prompt would
take for structure: ``<|im_start|>``, ``[INST]``, ``<<<NEWS``. :func:`clean` takes them all out,
:func:`section` puts what is left between marks that it cannot contain.

The cut rule: a token is reckoned as four characters, so ``max_tokens`` allows ``4 × max_tokens``
characters, the closing ``…`` among them. A longer text is cut at the last space that leaves more
than half of that room, else in the middle of a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from varve.errors import SettingError

CHARACTERS_PER_TOKEN = 4
ELLIPSIS = "…"

# Pieces of chat templates in square brackets (Llama 2, Mistral, BERT, GLM).
_BRACKETED = (
    "INST",
    "SYS",
    "SYSTEM_PROMPT",
    "TOOL_CALLS",
    "TOOL_CALL",
    "TOOL_RESULTS",
    "TOOL_CONTENT",
    "AVAILABLE_TOOLS",
    "ARGS",
    "CALL_ID",
    "THINK",
    "IMG",
    "IMG_BREAK",
    "IMG_END",
    "PREFIX",
    "SUFFIX",
    "MIDDLE",
    "gMASK",
    "sMASK",
    "MASK",
    "CLS",
    "SEP",
    "PAD",
    "UNK",
    "BOS",
    "EOS",
)
# Tags of chat templates, found even where blanks were put between the letters. Tags without blanks
# are found whatever their name.
_TAGS = (
    "s",
    "think",
    "thinking",
    "reasoning",
    "analysis",
    "final",
    "bos",
    "eos",
    "eot",
    "pad",
    "unk",
    "mask",
    "system",
    "user",
    "assistant",
    "human",
    "model",
    "tool",
    "tools",
    "tool_call",
    "tool_calls",
    "tool_response",
    "function",
    "function_call",
    "function_calls",
    "start_of_turn",
    "end_of_turn",
    "im_start",
    "im_end",
    "endoftext",
)
_ROLES = ("Instruction", "Response", "Input", "System", "User", "Assistant", "Human")


def _spaced(words: Sequence[str]) -> str:
    """A pattern for any of the words, longest first, with at most one blank between letters."""
    ordered = sorted(words, key=lambda word: (-len(word), word))
    return "|".join(" ?".join(re.escape(letter) for letter in word) for word in ordered)


# Blanks are single before this is used. No look-around and no anchors: whatever a prefix of a text
# matches, the text matches too, so a cut cannot bring a match to life.
_STRUCTURE = re.compile(
    r"<[!/?]?(?:[a-z_]|--)[^<>]*>"  # any tag or comment, with or without attributes
    rf"|< ?/? ?(?:{_spaced(_TAGS)}) ?>"
    r"|< ?\|[^<>]*>"  # <|...|> with anything inside
    r"|< ?\||\| ?>"  # and the halves of one
    r"|<(?: ?<)+|>(?: ?>)+"  # <<SYS>>, and the marks of a section
    r"|◁[^◁▷]*▷|\[ ?\|[^\[\]]*\| ?\]|\]~!?b[\[\]]|\[e~\["  # Kimi, EXAONE, MiniMax
    rf"|\[ ?/? ?(?:{_spaced(_BRACKETED)}) ?\]"
    rf"|# ?# ?# ?(?:{'|'.join(_ROLES)}) ?:?",
    re.IGNORECASE,
)
_SUSPICIOUS = re.compile(r"[<>\[\]|#◁]")
_BLANKS = re.compile(r"\s+")
_SECTION_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
# Invisible characters that Unicode does not class as control or format characters.
_INVISIBLE = frozenset((0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)).union(
    range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)
)


class _Fold(dict[int, str]):
    """Per character: itself, an ASCII letter or sign it stands for, a blank, or nothing."""

    def __missing__(self, point: int) -> str:
        self[point] = folded = _fold(chr(point))
        return folded


def _fold(character: str) -> str:
    category = unicodedata.category(character)
    if category.startswith("Z") or character in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85":
        return " "
    if category in ("Cc", "Cf", "Cs", "Co") or ord(character) in _INVISIBLE:
        return ""
    if not character.isascii():
        # Full-width and mathematical look-alikes; superscript digits keep their meaning.
        plain = unicodedata.normalize("NFKC", character)
        if len(plain) == 1 and plain.isascii() and not plain.isdigit():
            return plain
    return character


_FOLD = _Fold()


def clean(text: str, max_tokens: int) -> tuple[str, bool]:
    """``text`` on one line without structure, cut to ``max_tokens``, and whether it was cut.

    Control and invisible characters go, blanks and line ends become single spaces, template tokens
    and section marks become a space, over and over until none is left.

    Raises:
        SettingError: if ``max_tokens`` is below 1.
    """
    if max_tokens < 1:
        raise SettingError(f"max_tokens cannot be {max_tokens}: at least 1 is needed")
    limit = CHARACTERS_PER_TOKEN * max_tokens
    line = _one_line(text)
    # Nested pieces cost one round each; a bound on the length keeps a hostile text cheap.
    head = _without_structure(line[: 4 * limit + 4096])
    if len(head) <= limit and len(line) <= 4 * limit + 4096:
        return head, False
    return _cut(head, limit), True


def section(name: str, lines: Sequence[str]) -> str:
    """A marked section of a prompt: ``<<<NAME``, one line each, ``NAME>>>``.

    Lines are made harmless once more, so that none can end the section or break into two.

    Raises:
        SettingError: if ``name`` is not upper-case letters, digits and underscores.
    """
    if not _SECTION_NAME.fullmatch(name):
        raise SettingError(f"section name {name!r} cannot be used: upper-case letters, digits, _ expected")
    body = [_without_structure(_one_line(line)) for line in lines]
    return "\n".join([f"<<<{name}", *body, f"{name}>>>"])


def _one_line(text: str) -> str:
    return _BLANKS.sub(" ", text.translate(_FOLD)).strip()


def _without_structure(line: str) -> str:
    while _SUSPICIOUS.search(line):
        stripped, found = _STRUCTURE.subn(" ", line)
        if not found:
            return line
        line = _BLANKS.sub(" ", stripped).strip()
    return line


def _cut(line: str, limit: int) -> str:
    if len(line) < limit:  # shorter only because the rest was never looked at
        return line + ELLIPSIS if not line.endswith(ELLIPSIS) else line
    room = limit - len(ELLIPSIS)
    head = line[:room]
    if not line[room : room + 1].isspace():
        space = head.rfind(" ")
        if space > room // 2:
            head = head[:space]
    return head.rstrip() + ELLIPSIS
