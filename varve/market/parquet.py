"""Bars, documents and events as Parquet files in one folder, bit for bit; pyarrow is imported at use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from varve.bounded import read_parquet
from varve.market.data import BarSeries, InstrumentData, checked_facts
from varve.types import CorporateEvent, Document

if TYPE_CHECKING:
    import pyarrow as pa

_PRICES = ("open", "high", "low", "close", "volume")


def write_tables(folder: Path, data: InstrumentData) -> None:
    """Write ``bars.parquet``, ``documents.parquet`` and ``events.parquet`` into ``folder``.

    Sessions are dates, instants int64 nanoseconds UTC (bars) or UTC timestamps (documents), prices in
    the instrument's currency with NaN, not null, where the source has none.

    Raises:
        OSError: if a file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    bars = data.bars
    tables = {
        "bars": pa.table(
            {
                "session": pa.array(bars.sessions, pa.date32()),
                "start_ns": pa.array(bars.start_ns, pa.int64()),
                "end_ns": pa.array(bars.end_ns, pa.int64()),
                **{name: pa.array(getattr(bars, name), pa.float64(), from_pandas=False) for name in _PRICES},
            }
        ),
        "documents": pa.Table.from_pylist(
            [{name: getattr(d, name) for name in _document_schema().names} for d in data.documents],
            _document_schema(),
        ),
        "events": pa.Table.from_pylist(
            [{name: getattr(e, name) for name in _event_schema().names} for e in data.events],
            _event_schema(),
        ),
    }
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")


def read_tables(folder: Path) -> tuple[BarSeries, tuple[Document, ...], tuple[CorporateEvent, ...]]:
    """What :func:`write_tables` wrote.

    Raises:
        OSError, ValueError, KeyError, pyarrow.ArrowException: if a file is missing or damaged.
    """

    def table(name: str) -> pa.Table:
        # Read through bytes: a handle on the file would outlive a swap of the folder.
        return read_parquet((folder / f"{name}.parquet").read_bytes())

    raw = table("bars")

    def column(name: str, dtype: str) -> np.ndarray:
        import pyarrow as pa

        kinds = {"datetime64[D]": pa.date32(), "int64": pa.int64(), "float64": pa.float64()}
        found = raw.column(name)
        if found.type != kinds[dtype] or found.null_count:
            raise ValueError(
                f"the column {name} holds {found.type}, {found.null_count} of its values unknown"
            )
        return np.array(found.to_numpy(), dtype=dtype)

    bars = BarSeries(
        sessions=column("session", "datetime64[D]"),
        start_ns=column("start_ns", "int64"),
        end_ns=column("end_ns", "int64"),
        **{name: column(name, "float64") for name in _PRICES},
    )
    documents = tuple(Document(**row) for row in table("documents").cast(_document_schema()).to_pylist())
    events = tuple(CorporateEvent(**row) for row in table("events").cast(_event_schema()).to_pylist())
    checked_facts(documents, events)
    return bars, documents, events


def _document_schema() -> pa.Schema:
    import pyarrow as pa

    instant = pa.timestamp("us", tz="UTC")
    text = [(name, pa.string()) for name in ("id", "symbol", "kind", "text")]
    return pa.schema([*text, ("event_time", instant), ("available_at", instant)])


def _event_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [("symbol", pa.string()), ("kind", pa.string()), ("session", pa.date32()), ("value", pa.float64())]
    )
