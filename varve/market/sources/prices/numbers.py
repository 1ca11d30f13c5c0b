"""Numbers as price files have them: currency signs, thousands, decimal marks, suffixes, and blanks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

UNKNOWN = frozenset(
    {"", "null", "nan", "n/a", "na", "-", "--", "—", "none", "nil", "#n/a", "<na>", "nat", "."}
)
"""How files write that there is no value, in lower case."""

SIGNS = {"$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "₹": "INR", "¥": "", "kr": "", "C$": "CAD"}
"""Currency signs and what they stand for; empty where several currencies have the sign."""

_SIGN = re.compile(
    r"^(?P<minus>[+-]?)\s*(?P<sign>US\$|C\$|[$€£₹¥])?\s*(?P<rest>.*?)\s*(?P<after>[€£₹¥]|kr)?$"
)
_SUFFIX = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_SPACES = "\u00a0\u202f\u2009 '’"
_PLAIN = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?")


def is_unknown(text: str) -> bool:
    """Whether a cell says that there is no value."""
    return text.strip().lower() in UNKNOWN


def currency_sign(text: str) -> str:
    """The currency sign of a cell; empty without one."""
    found = _SIGN.match(text.strip())
    return (found["sign"] or found["after"] or "") if found else ""


def looks_numeric(text: str) -> bool:
    """Whether a cell is a number under some decimal mark, or says that it has none."""
    if is_unknown(text):
        return False
    for mark in ".,":
        try:
            parse(text.rstrip("%"), mark, suffix=True)
        except ValueError:
            continue
        return True
    return False


def parse(text: str, mark: str, *, suffix: bool = False) -> float:
    """The number that a cell holds.

    Args:
        text: the cell; a currency sign, thousands separators and spaces between digits are taken off.
        mark: the decimal mark, ``.`` or ``,``; the other one separates thousands.
        suffix: whether ``K``, ``M``, ``B`` and ``T`` are understood, as in ``1.2M``.

    Raises:
        ValueError: for anything that is no finite number.
    """
    found = _SIGN.match(text.strip())
    rest = found["rest"] if found else ""
    times = 1.0
    if suffix and rest[-1:].lower() in _SUFFIX:
        times, rest = _SUFFIX[rest[-1:].lower()], rest[:-1].rstrip()
    plain = _without_thousands(rest, mark)
    if found is None or (not rest.isascii() and not set(rest) <= set("0123456789.," + _SPACES)):
        raise ValueError(f"not a number: {text!r}")
    if not _PLAIN.fullmatch(plain):
        raise ValueError(f"not a number: {text!r}")
    value = float(plain) * times
    if not math.isfinite(value):
        raise ValueError(f"not a finite number: {text!r}")
    return -value if found["minus"] == "-" else value


def _without_thousands(text: str, mark: str) -> str:
    """Digits with a decimal point at most; the text itself where separators stand in wrong places."""
    whole, point, part = text.partition(mark)
    other = "." if mark == "," else ","
    for separator in (other, *_SPACES):
        if separator in whole:
            groups = whole.split(separator)
            # 1,234,567; and 12,34,567 as India writes it. The last group has three digits in both.
            right = (
                all(group.isdigit() for group in groups)
                and len(groups[-1]) == 3
                and 1 <= len(groups[0]) <= 3
                and all(2 <= len(group) <= 3 for group in groups[1:])
            )
            if not right:
                return text + "?"
            whole = "".join(groups)
    return whole + ("." + part if point else "")


def decimal_mark(cells: Iterable[str]) -> str | None:
    """The decimal mark that a file's numbers have; None where they leave two readings.

    ``1,234.5`` and ``1,234,567`` say that it is the point; ``1.234,5``, ``12,5`` and ``1.234.567`` that it
    is the comma. ``1,234`` alone says neither. Without any comma it is the point.

    Raises:
        ValueError: with two cells that contradict each other.
    """
    proof: dict[str, str] = {}
    doubtful = False
    for cell in cells:
        if "," not in cell and cell.count(".") < 2:
            if "." in cell and not is_unknown(cell):
                proof.setdefault("weak point", cell)
            continue
        comma, point = cell.rfind(","), cell.rfind(".")
        if comma >= 0 and point >= 0:
            proof.setdefault("." if point > comma else ",", cell)
        elif point >= 0 or cell.count(",") == 1:
            digits = re.sub(r"\D+$", "", cell[comma + 1 :])
            if point >= 0 or len(digits) != 3 or cell.strip("$€£ -").startswith((",", "0,")):
                proof.setdefault(",", cell)
            else:
                doubtful = True
        else:
            proof.setdefault(".", cell)
    if "." in proof and "," in proof:
        raise ValueError(f"{proof['.']!r} has a decimal point and {proof[',']!r} a decimal comma")
    if "," in proof:
        return ","
    if "." in proof:
        return "."
    # 101.5 beside 1,234: with a decimal comma the first would be no number at all.
    if doubtful and _is_no_thousands(proof.get("weak point", "")):
        return "."
    return None if doubtful else "."


def _is_no_thousands(cell: str) -> bool:
    _, point, part = cell.rpartition(".")
    return bool(point) and len(re.sub(r"\D+$", "", part)) != 3
