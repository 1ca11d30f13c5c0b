"""Text from elsewhere, made harmless where it is shown: on a terminal and in a cell of a table.

Tickers, file names, notes, news, replies, names in a record and what a server says were written by others. On
a page, Jinja escapes them; in a prompt, :mod:`varve.finllm.replies.untrusted` does.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Sequence

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
    if not isinstance(value, str) or not value.lstrip(_AHEAD).startswith(tuple(_FORMULA)):
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
