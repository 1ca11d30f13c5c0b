"""A file source from another package: a date and a close on each line of a ``.ticks`` file."""

from datetime import date
from pathlib import Path

from varve.api import BarSeries, DataError, Instrument, InstrumentData, Provenance, SourceRequest


class TickFile:
    """Closes from lines of date and price."""

    kind = "file"
    endings = (".ticks",)
    holds = "closes"
    options = frozenset({"calendar"})

    def accepts(self, path: Path) -> bool:
        return True

    def read(self, request: SourceRequest) -> InstrumentData:
        calendar = request.calendar or "XNYS"
        try:
            rows = [line.split() for line in request.file.read_text().splitlines()]
            closes = {date.fromisoformat(day): float(price) for day, price in rows}
        except (OSError, ValueError) as error:
            raise DataError(f"{request.file} holds no dates and closes: {error}") from error
        return InstrumentData(
            Instrument(request.ticker, calendar, "USD", 1.0),
            BarSeries.from_sessions(calendar, list(closes), list(closes.values())),
            Provenance("ticks", "raw", "next_close"),
        )
