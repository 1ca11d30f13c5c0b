"""Reading a user's file: missing, empty, binary, of another format or encoding are each one clear error."""

from __future__ import annotations

import math
from pathlib import Path

from varve.errors import BadFileError, near_names

_MAGIC = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"\xd0\xcf\x11\xe0": "an old Excel spreadsheet",
    b"\x1f\x8b": "a gzip archive",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG image",
}


def read_text(path: Path, expected: str) -> str:
    """The text of a UTF-8 file (a byte-order mark is dropped); ``expected`` names the format wanted.

    Raises:
        BadFileError: if it is missing, a folder, unreadable, empty, binary or not UTF-8.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        raise BadFileError(
            f"{path} cannot be read: {error.strerror or error}", mend=f"give a file of {expected}"
        ) from error
    if what := file_kind(raw):
        raise BadFileError(f"{path} is {what}, not {expected}", mend=f"export it as {expected} first")
    if b"\x00" in raw[:65536]:
        raise BadFileError(
            f"{path} holds zero bytes: it is binary or UTF-16, not {expected}",
            mend=f"save it as {expected} in UTF-8",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise BadFileError(
            f"{path}, row {row}: byte 0x{raw[error.start]:02x} is not UTF-8; expected {expected} in UTF-8",
            mend=f"convert it: iconv -f LATIN1 -t UTF-8 {path.name} > utf8-{path.name}",
        ) from error
    if not text.strip():
        raise BadFileError(f"{path} is empty; expected {expected}", mend="give a file with data in it")
    return text


def file_kind(raw: bytes) -> str:
    """What kind of binary file begins like this, in words; empty for none that is known."""
    return next((what for magic, what in _MAGIC.items() if raw.startswith(magic)), "")


def rounding_tolerance(price: float) -> float:
    """How far highs and lows may be off by rounding, in currency: a cent, or 0.1 % of a smaller price."""
    return min(0.01, 1e-3 * price) + 1e-6 * price


def missing_file(path: Path) -> BadFileError:
    """The refusal of a file that is not there; a near name in its folder is suggested."""
    folder = path.parent
    try:
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    except OSError:
        names = []
    close = near_names(path.name, sorted(names))
    hint = f"did you mean {folder / close[0]}?" if close else "check the path"
    return BadFileError(f"there is no file {path}", mend=hint)


def number(text: str) -> float:
    """A plain decimal number.

    Raises:
        ValueError: for anything else: blanks, NaN, infinities, thousands separators, currency signs.
    """
    value = float(text)
    # float() takes "1_000" and non-ASCII digits; a file with them is more likely damaged than meant.
    if "_" in text or not text.isascii() or not math.isfinite(value):
        raise ValueError(f"not a plain number: {text!r}")
    return value
