"""A file's bytes as text: packed or not, in the encodings that programs write, and never more than fits."""

from __future__ import annotations

import zlib
from pathlib import Path

from varve.errors import BadFileError
from varve.market.sources.files import file_kind, missing_file

MAX_BYTES = 128 << 20
"""So much of a file is read, unpacked: 128 MiB."""

EXPECTED = "CSV text (a header row, then one row per session) or Parquet"
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20


def read_bytes(path: Path, expected: str = EXPECTED) -> bytes:
    """A file's bytes, unpacked where it is gzip.

    Raises:
        BadFileError: if it is missing, unreadable, empty, damaged or too large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise missing_file(path) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadFileError(f"{path} cannot be read: {why}", mend=f"give a file of {expected}") from error
    if raw.startswith(_GZIP) and len(raw) <= MAX_BYTES:
        raw = _unpacked(path, raw)
    if len(raw) > MAX_BYTES:
        raise BadFileError(
            f"{path} holds more than {MAX_BYTES >> 20} MiB; daily prices of one instrument take a few",
            mend="cut the file to the instrument and the years that are wanted",
        )
    if not raw:
        raise BadFileError(f"{path} is empty; expected {expected}", mend="give a file with data in it")
    return raw


def _unpacked(path: Path, raw: bytes) -> bytes:
    """What a gzip file holds, up to a byte more than the bound: a bomb is not unpacked to its end."""
    found, rest = bytearray(), raw
    try:
        while rest and len(found) <= MAX_BYTES:
            packed = zlib.decompressobj(wbits=31)
            found += packed.decompress(rest, MAX_BYTES + 1 - len(found))
            while packed.unconsumed_tail and len(found) <= MAX_BYTES:
                found += packed.decompress(packed.unconsumed_tail, min(_CHUNK, MAX_BYTES + 1 - len(found)))
            if len(found) <= MAX_BYTES and not packed.eof:
                raise zlib.error("it is cut short")
            # A gzip file may hold several members; zeros may follow the last.
            rest = packed.unused_data.lstrip(b"\x00")
    except zlib.error as error:
        raise BadFileError(
            f"{path} is a gzip archive that cannot be unpacked: {error}", mend="get the file again"
        ) from error
    return bytes(found)


def text_of(path: Path, raw: bytes, expected: str = EXPECTED) -> tuple[str, str]:
    """The text of bytes in UTF-8 or UTF-16, else Latin-1 as Windows has it; and what to say of it.

    Raises:
        BadFileError: if they are binary, or blank.
    """
    said = ""
    if what := file_kind(raw):
        raise BadFileError(f"{path} is {what}, not {expected}", mend=f"export it as {expected} first")
    encoding = _utf_16(raw)
    try:
        text = raw.decode(encoding or "utf-8-sig")
        said = "read as UTF-16" if encoding else ""
    except UnicodeDecodeError:
        text = "" if encoding else raw.decode("cp1252", "replace")
        said = "read as Latin-1 (Windows-1252), being no UTF-8"
    text = text.removeprefix("\ufeff")
    # No table holds control characters; a binary file does.
    if any(ord(mark) < 32 and mark not in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x1a" for mark in set(text[:65536])):
        raise BadFileError(
            f"{path} holds zero bytes or control characters: it is binary, not {expected}",
            mend=f"save it as {expected} in UTF-8",
        )
    if not text.strip():
        raise BadFileError(f"{path} is empty; expected {expected}", mend="give a file with data in it")
    return text.rstrip("\x1a"), said


def _utf_16(raw: bytes) -> str:
    """The encoding of UTF-16 text, by its mark or by where its zeros are; empty for other text."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    start = raw[:4096]
    if len(start) >= 8 and len(start) % 2 == 0:
        even, odd = start[::2].count(0), start[1::2].count(0)
        if odd > 0.8 * (len(start) // 2) and not even:
            return "utf-16-le"
        if even > 0.8 * (len(start) // 2) and not odd:
            return "utf-16-be"
    return ""
