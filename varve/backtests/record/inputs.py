"""``inputs.parquet``: the facts that a run could see, in one file, so that its folder stands alone."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from varve.bounded import UNREADABLE, parse_json, read_parquet
from varve.clock import from_ns, to_ns
from varve.config import canonical_json
from varve.errors import BadFileError, DataError
from varve.files import replace_file
from varve.harmless import shortened
from varve.market.data import (
    BarSeries,
    Floats,
    InstrumentData,
    checked_facts,
    instrument_json,
    instrument_of,
    provenance_of,
)
from varve.market.view import GUIDANCE
from varve.types import CorporateEvent, Document, Instrument

_PRICES = ("open", "high", "low", "close", "volume")
_METADATA_KEY = b"varve"

InputRow = Mapping[str, str | int | float | date | None]
"""A bar, a document or an event as it is written."""


def visible_until(data: InstrumentData, last: int, decided_until: datetime, *, news: bool) -> InstrumentData:
    """``data`` up to bar ``last``, with documents readable at ``decided_until`` at the latest.

    What a run cannot come to see is not handed to it. ``news=False`` drops news and filings.
    """
    last_session = data.bars.session(last)
    documents = tuple(
        d for d in data.documents if d.available_at <= decided_until and (news or d.kind == GUIDANCE)
    )
    return replace(
        data,
        bars=data.bars.slice(0, last + 1),
        documents=documents,
        events=tuple(e for e in data.events if e.session <= last_session),
    )


def write_inputs(path: Path, data: InstrumentData) -> None:
    """Write bars, documents and events of one instrument to one Parquet file, whole or not at all.

    Raises:
        StorageError: if it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [*_bar_rows(data), *_document_rows(data), *_event_rows(data)]
    schema = pa.schema(
        [("kind", pa.string()), ("id", pa.string()), ("session", pa.date32()),
         ("event_time_ns", pa.int64()), ("available_at_ns", pa.int64()), ("text", pa.string()),
         *((name, pa.float64()) for name in _PRICES), ("value", pa.float64())]
    )  # fmt: skip
    meta = {"instrument": instrument_json(data.instrument), "provenance": asdict(data.provenance)}
    schema = schema.with_metadata({_METADATA_KEY: canonical_json(meta).encode()})
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    replace_file(path, buffer.getvalue())


def read_inputs(path: Path) -> InstrumentData:
    """The inverse of :func:`write_inputs`, equal to the bit.

    Raises:
        BadFileError: if the file is missing, not of the format, or holds what contradicts itself.
    """
    import pyarrow as pa

    try:
        table = read_parquet(path)
        meta = parse_json((table.schema.metadata or {})[_METADATA_KEY])
        instrument = instrument_of(meta["instrument"])
        by_kind: dict[str, list[dict[str, Any]]] = {"bar": [], "document": [], "event": []}
        for row in table.to_pylist():
            by_kind[row["kind"].partition(":")[0]].append(row)
        return _instrument_data(instrument, meta, by_kind)
    except (OSError, pa.ArrowException, *UNREADABLE) as error:
        raise BadFileError(
            f"{path} cannot be read as a run's inputs: {shortened(str(error) or type(error).__name__, 300)}",
            mend="copy the run folder again, or run again without --no-bundle",
        ) from error
    except DataError as error:
        raise BadFileError(
            f"{path} cannot be used: {error.message}", mend="copy the run folder again"
        ) from error


def _instrument_data(
    instrument: Instrument, meta: Mapping[str, Any], by_kind: Mapping[str, list[dict[str, Any]]]
) -> InstrumentData:
    documents = tuple(
        Document(
            id=row["id"],
            symbol=instrument.symbol,
            kind=row["kind"].partition(":")[2],
            text=row["text"],
            event_time=from_ns(row["event_time_ns"]),
            available_at=from_ns(row["available_at_ns"]),
        )
        for row in by_kind["document"]
    )
    events = tuple(
        CorporateEvent(instrument.symbol, row["kind"].partition(":")[2], row["session"], row["value"])
        for row in by_kind["event"]
    )
    checked_facts(documents, events)
    return InstrumentData(
        instrument=instrument,
        provenance=provenance_of(meta["provenance"]),
        bars=_bars(by_kind["bar"]),
        documents=documents,
        events=events,
    )


def _bars(rows: list[dict[str, Any]]) -> BarSeries:
    def prices(name: str) -> Floats:
        return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)

    return BarSeries(
        sessions=np.array([row["session"] for row in rows], dtype="datetime64[D]"),
        start_ns=np.array([row["event_time_ns"] for row in rows], dtype=np.int64),
        end_ns=np.array([row["available_at_ns"] for row in rows], dtype=np.int64),
        **{name: prices(name) for name in _PRICES},
    )


def _bar_rows(data: InstrumentData) -> list[InputRow]:
    bars = data.bars
    columns = {name: getattr(bars, name).tolist() for name in _PRICES}
    return [
        {
            "kind": "bar",
            "session": bars.session(i),
            "event_time_ns": int(bars.start_ns[i]),
            "available_at_ns": int(bars.end_ns[i]),
            **{name: None if np.isnan(values[i]) else values[i] for name, values in columns.items()},
        }
        for i in range(len(bars))
    ]


def _document_rows(data: InstrumentData) -> list[InputRow]:
    return [
        {
            "kind": f"document:{d.kind}",
            "id": d.id,
            "event_time_ns": to_ns(d.event_time),
            "available_at_ns": to_ns(d.available_at),
            "text": d.text,
        }
        for d in data.documents
    ]


def _event_rows(data: InstrumentData) -> list[InputRow]:
    return [{"kind": f"event:{e.kind}", "session": e.session, "value": e.value} for e in data.events]
