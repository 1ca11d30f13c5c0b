"""A Parquet file of prices as a sheet; what it says of its size is checked before it is read."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varve.errors import BadFileError
from varve.market.sources.prices.opening import MAX_BYTES
from varve.market.sources.prices.sheet import MAX_COLUMNS, MAX_ROWS, Sheet, _of_ticker
from varve.market.sources.source import Request

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_MAX_TEXT = 200
_NESTED = "a list, a map or a structure"


def sheet_of_parquet(request: Request, raw: bytes) -> Sheet:
    """The table in a Parquet file, as pandas or another program wrote it: index, plain and paired names.

    Raises:
        BadFileError: if it is damaged, larger than what is read, or holds nested values alone.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = request.file
    try:
        wanted = pq.ParquetFile(pa.BufferReader(raw))
        _check_size(path, wanted.metadata)
        texts = [
            f.name
            for f in wanted.schema_arrow
            if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
        ]
        # A text that is there a million times is kept once.
        file = pq.ParquetFile(pa.BufferReader(raw), read_dictionary=texts)
        names, columns = _columns(path, file)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BadFileError(
            f"{path} is a Parquet file that cannot be read: {str(error)[:200]}", mend="get the file again"
        ) from error
    except RecursionError:
        raise BadFileError(f"{path} is nested far too deep", mend="write one flat table") from None
    notes: list[str] = []
    keep = _paired(request, names, notes)
    if keep is not None:
        names, columns = [names[n] for n in keep], [columns[n] for n in keep]
    rows = [(n + 1, list(cells)) for n, cells in enumerate(zip(*columns, strict=True))]
    if not rows:
        raise BadFileError(f"{path} has a header but no rows", mend="give a file with one row per session")
    return Sheet(names, rows, notes, typed=True)


def _check_size(path: Path, metadata: pq.FileMetaData) -> None:
    groups = [metadata.row_group(n).total_byte_size for n in range(min(metadata.num_row_groups, 10_000))]
    size = sum(groups)
    if metadata.num_rows > MAX_ROWS or metadata.num_columns > MAX_COLUMNS or size > MAX_BYTES:
        raise BadFileError(
            f"{path} declares {metadata.num_rows:,} rows, {metadata.num_columns:,} columns and "
            f"{size >> 20:,} MiB; at most {MAX_ROWS:,} rows, {MAX_COLUMNS:,} columns and "
            f"{MAX_BYTES >> 20} MiB are read",
            mend="cut the file to the instrument and the years that are wanted",
        )


def _columns(path: Path, file: pq.ParquetFile) -> tuple[list[str], list[list[str]]]:
    """Names and cells of the flat columns; pandas' index first."""
    import pyarrow as pa

    schema = file.schema_arrow
    flat = [f.name for f in schema if not pa.types.is_nested(f.type)]
    if not flat:
        raise BadFileError(f"{path} holds {_NESTED} in every column", mend="write one flat table")
    index = [name for name in _index_names(schema) if name in flat]
    order = [*index, *(name for name in flat if name not in index)]
    if len(set(order)) < len(order):
        raise BadFileError(f"{path} has two columns of one name", mend="rename or remove all but one")
    found: dict[str, list[str]] = {name: [] for name in order}
    size = 0
    for batch in file.iter_batches(batch_size=4096, columns=order):
        size += batch.nbytes
        if size > 4 * MAX_BYTES or len(found[order[0]]) > MAX_ROWS:
            raise BadFileError(
                f"{path} holds more than it declares", mend="write it again, cut to what is wanted"
            )
        for name in order:
            found[name] += _cells(batch.column(name))
    return [_bare(name) for name in order], [found[name] for name in order]


def _index_names(schema: pa.Schema) -> list[str]:
    """The columns that pandas takes for the index; none for an index that only counts."""
    try:
        meta = json.loads((schema.metadata or {}).get(b"pandas", b"{}")[: 1 << 20])
        return [one for one in meta.get("index_columns", []) if isinstance(one, str)]
    except (ValueError, AttributeError, RecursionError):
        return []


def _bare(name: str) -> str:
    """An index that has no name is written under one that pandas makes up."""
    return "" if name.startswith("__index_level_") else name


def _cells(column: Any) -> list[str]:
    """The values of a column as text that reads back as the same value; empty for none."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        zone = kind.tz
        column = column.cast(pa.timestamp("us", tz=zone), safe=False)
    if pa.types.is_dictionary(kind):
        words = ["" if one is None else str(one)[:_MAX_TEXT] for one in column.dictionary.to_pylist()]
        return ["" if n is None else words[n] for n in column.indices.to_pylist()]
    return ["" if one is None else _text(one) for one in column.to_pylist()]


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else repr(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value)[:_MAX_TEXT]


def _paired(request: Request, names: list[str], notes: list[str]) -> list[int] | None:
    """Take apart names of two levels, ``('Close', 'MSFT')``, in place; the columns of the ticker."""
    pairs = [_pair(name) for name in names]
    if not any(pairs):
        return None
    from varve.market.sources.prices.names import field_of

    second = [pair[1] for pair in pairs if pair]
    swapped = all(field_of(one) in (None, "ticker") for one in [p[0] for p in pairs if p]) and any(
        field_of(one) for one in second
    )
    tickers = []
    for n, pair in enumerate(pairs):
        if pair is None:
            tickers.append("")
            continue
        names[n], label = (pair[1], pair[0]) if swapped else pair
        tickers.append(label)
    return _of_ticker(request, names, tickers, notes)


def _pair(name: str) -> tuple[str, str] | None:
    if not name.startswith("(") or len(name) > _MAX_TEXT:
        return None
    try:
        parts = ast.literal_eval(name)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(parts, tuple) and len(parts) == 2:
        return str(parts[0]), str(parts[1])
    return None
