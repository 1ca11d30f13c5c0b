"""Read what a stranger may have written, within bounds: size, depth, rows. The one door for each form.

A file of a few kilobytes can hold brackets nested by the thousand, a number of a million digits, or a column
that unpacks to more than there is memory. Each reader here looks at what is declared before it reads, and
counts what comes; what is beyond its bounds raises :class:`BeyondBounds`, a ``ValueError``.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import pyarrow as pa

MAX_DEPTH = 60
"""How deep values may lie in each other."""
MAX_DIGITS = 40
"""How many characters a whole number may have."""
MAX_TOML_BYTES = 4 * 2**20
"""The largest TOML file that is read."""
MAX_ROWS = 2_000_000
"""The most rows of a Parquet file that are read."""
MAX_TABLE_BYTES = 2**30
"""The most bytes that a Parquet file may unpack to."""
_BATCH_ROWS = 65_536
_MAX_COLUMNS = 500
_MAX_METADATA = 64 * 2**20


UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    AssertionError,
)
"""What reading values of a kind that was not expected raises, whatever they are."""


class BeyondBounds(ValueError):
    """A text or file holds more, or deeper, than is read."""


def read_text(path: Path, limit: int = MAX_TOML_BYTES) -> str:
    """The text of a file that the user named, UTF-8.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no UTF-8, has more than ``limit`` bytes, or its name cannot be one.
    """
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BeyondBounds(f"it has more than {limit:,} bytes")
    return content.decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text that holds what JSON has: no NaN, no infinity, no half characters.

    Raises:
        ValueError: if it is no JSON, or beyond bounds.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = json.loads(text, parse_float=_finite, parse_int=_whole, parse_constant=_no_number)
    except RecursionError as error:
        raise BeyondBounds(_TOO_DEEP) from error
    # No value lies deeper than brackets are opened.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        check_depth(value)
    if "\\u" in text:
        check_characters(value)
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        ValueError: if it is no TOML, or beyond bounds.
    """
    # A name of ten thousand parts takes the reader half a minute.
    if _DEEP_NAME.search(text):
        raise BeyondBounds(_TOO_DEEP)
    try:
        value = tomllib.loads(text)
    except RecursionError as error:
        raise BeyondBounds(_TOO_DEEP) from error
    check_depth(value)
    return value


_PART = r"""(?:[\w-]++|"[^"\n]{0,80}"|'[^'\n]{0,80}')[ \t]{0,9}\.[ \t]{0,9}"""
_DEEP_NAME = re.compile(rf"(?<![\w-])(?:{_PART}){{{MAX_DEPTH}}}")
"""Dotted parts of a name, one behind the other; no sentence has so many."""
_TOO_DEEP = f"its values are nested too deep: at most {MAX_DEPTH} levels are read"


def check_depth(value: object, limit: int = MAX_DEPTH) -> None:
    """Check that no value lies deeper in lists and tables than ``limit``.

    Raises:
        BeyondBounds: otherwise.
    """
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise BeyondBounds(_TOO_DEEP)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BeyondBounds(f"the number {text[:MAX_DIGITS]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise BeyondBounds(f"a whole number of {len(text):,} digits")
    return int(text)


def _no_number(text: str) -> NoReturn:
    raise BeyondBounds(f"{text} is no JSON")


def check_characters(value: object) -> None:
    """Check that no text in lists and tables holds half a character, which no file can hold.

    Raises:
        BeyondBounds: otherwise.
    """
    waiting: list[Any] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if not one.isascii() and any("\ud800" <= character <= "\udfff" for character in one):
                raise BeyondBounds("it holds half a character")
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one


def read_parquet(source: Path | bytes, *, rows: int = MAX_ROWS, size: int = MAX_TABLE_BYTES) -> pa.Table:
    """The table of a Parquet file; what it declares is checked first, and what it unpacks to is counted.

    Texts are read as the places of each in a list of those that differ, which is how a small file holds one
    text a million times, and written out only where there is room.

    Args:
        rows: at most so many rows.
        size: at most so many bytes, unpacked.

    Raises:
        OSError, ValueError, pyarrow.ArrowException: if it cannot be read, or is beyond bounds.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def opened(texts: list[str]) -> pq.ParquetFile:
        return pq.ParquetFile(
            pa.BufferReader(source) if isinstance(source, bytes) else source,
            read_dictionary=texts,
            thrift_string_size_limit=_MAX_METADATA,
            thrift_container_size_limit=10 * MAX_ROWS,
        )

    with opened([]) as first:
        told = first.metadata
        _check_declared(told, rows, size)
        texts = [
            first.schema.column(i).path
            for i in range(told.num_columns)
            if first.schema.column(i).physical_type == "BYTE_ARRAY"
        ]
    batches, found, unpacked = [], 0, 0
    with opened(texts) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            found, unpacked = found + batch.num_rows, unpacked + sum(map(_written_out, batch.columns))
            if found > rows:
                raise BeyondBounds(f"it holds more than {rows:,} rows")
            if unpacked > size:
                raise BeyondBounds(f"it unpacks to more than {size:,} bytes")
            batches.append(batch)
        schema = file.schema_arrow
    if not batches:
        fields = [field.with_type(_plain_type(field.type)) for field in schema]
        return pa.schema(fields, metadata=schema.metadata).empty_table()
    plain = [[_plain(column) for column in batch.columns] for batch in batches]
    table = pa.Table.from_batches([pa.RecordBatch.from_arrays(one, names=schema.names) for one in plain])
    return table.replace_schema_metadata(schema.metadata)


def _check_declared(told: Any, rows: int, size: int) -> None:
    if told.num_rows > rows:
        raise BeyondBounds(f"it has {told.num_rows:,} rows; at most {rows:,} are read")
    if told.num_columns > _MAX_COLUMNS:
        raise BeyondBounds(f"it has {told.num_columns:,} columns; at most {_MAX_COLUMNS} are read")
    declared = 0
    for group in range(told.num_row_groups):
        for column in range(told.num_columns):
            part = told.row_group(group).column(column)
            if part.total_uncompressed_size < 0 or part.num_values < 0:
                raise BeyondBounds("it declares a size below zero")
            declared += part.total_uncompressed_size
        if declared > size:
            raise BeyondBounds(f"it unpacks to more than {size:,} bytes")


def _written_out(array: pa.Array) -> int:
    """How many bytes an array has where every text stands by itself."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        lengths = pc.binary_length(array.dictionary)
        return int(pc.sum(pc.take(lengths, array.indices)).as_py() or 0) + 8 * len(array)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _written_out(array.flatten()) + 8 * len(array)
    if pa.types.is_fixed_size_list(array.type):
        return _written_out(array.flatten())
    if pa.types.is_struct(array.type):
        return sum(map(_written_out, array.flatten()))
    return int(array.nbytes)


def _plain(array: pa.Array) -> pa.Array:
    plain = _plain_type(array.type)
    return array if plain == array.type else array.cast(plain)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_type(kind.value_type))
    return kind
