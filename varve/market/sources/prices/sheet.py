"""A price file as a table of text: which rows are names, which are data, and what surrounds them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from varve.errors import BadFileError
from varve.market.sources.prices.dates import looks_like_date
from varve.market.sources.prices.names import field_of, plain
from varve.market.sources.prices.numbers import looks_numeric
from varve.market.sources.prices.opening import EXPECTED
from varve.market.sources.source import Request

MAX_ROWS, MAX_COLUMNS = 1_000_000, 2_000
"""So many rows and columns are read; the daily bars of 500 instruments over 5 years are 630,000 rows."""

Row = tuple[int, list[str]]
"""Its line in the file, from 1, and its cells."""
_MARKUP_HEADER = re.compile(r"<\w+>([,;\t|]\s*<\w+>)+\s*")


@dataclass
class Sheet:
    """Names of columns and rows of cells, all of one width.

    ``names`` is empty where the file has no header. ``typed`` is true where numbers are numbers, as in
    Parquet, so that a decimal mark is no question. ``notes`` says what was left out.
    """

    names: list[str]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    typed: bool = False
    header_row: int = 1

    def column(self, at: int) -> list[str]:
        """The cells of a column, oldest row of the file first."""
        return [cells[at] for _, cells in self.rows]


def sheet_of_text(request: Request, text: str) -> Sheet:
    """The table in a text of separated values.

    Raises:
        BadFileError: if it is another format, a row is cut short, or the quotes do not close.
    """
    path = request.file
    _refuse_markup(request, text)
    every = list(_rows(path, text))
    if len(every) > MAX_ROWS or any(len(cells) > MAX_COLUMNS for _, cells in every[:50]):
        raise BadFileError(
            f"{path} has more than {MAX_ROWS:,} rows or {MAX_COLUMNS:,} columns",
            mend="cut the file to the instrument and the years that are wanted",
        )
    first = next((n for n, (_, cells) in enumerate(every) if _is_data(cells)), None)
    head = every[: first if first is not None else min(len(every), 1)]
    if first is None and len(every) > 1 and all(_names_in(cells) for _, cells in every[:2]):
        # Names and nothing below: whatever follows the last row of names is data that no date begins.
        head = every[:1]
    notes: list[str] = []
    names, row, keep = _header(request, head, notes)
    rows = _with_footers_cut(every[len(head) :], notes)
    sheet = Sheet(names, _even(path, names, rows), notes, header_row=row)
    if keep is not None:
        sheet = Sheet([names[n] for n in keep], [(r, [c[n] for n in keep]) for r, c in sheet.rows], notes)
    if not sheet.rows:
        raise BadFileError(f"{path} has a header but no rows", mend="give a file with one row per session")
    return _without_blank_columns(sheet)


def _refuse_markup(request: Request, text: str) -> None:
    start = text.lstrip()[:1]
    first = text.lstrip().split("\n", 1)[0]
    if start not in ("{", "[", "<") or _MARKUP_HEADER.fullmatch(first):
        return
    path = request.file
    what = "HTML or XML" if start == "<" else "JSON"
    mend = "download the data itself, not the page about it"
    if start != "<":
        mend = f"if it is INVESTOR-BENCH's, rename it to {path.stem}.json and import that"
    raise BadFileError(f"{path} looks like {what}, not {EXPECTED}", mend=mend)


def _rows(path: Path, text: str) -> Iterator[Row]:
    """Rows that are not blank, with the line on which each ends."""
    head = [line for line in text.split("\n")[:200] if line.strip()]
    told = next((line.strip()[4:] for line in head[:1] if line.lower().startswith("sep=")), "")
    separated = next((line for line in head if any(mark in line for mark in ",;\t|")), "")
    delimiter = told or max("\t;|,", key=separated.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter[:1], strict=True)
    try:
        for cells in reader:
            if reader.line_num == 1 and told:
                continue
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise BadFileError(
            f"{path}, row {reader.line_num}: {error}", mend=f"give {EXPECTED}, with every quote closed"
        ) from error


def _is_data(cells: list[str]) -> bool:
    return any(looks_like_date(cell) for cell in cells) and not _names_in(cells)


def _names_in(cells: list[str]) -> int:
    """How many cells are names that price files give to their columns."""
    return sum(field_of(cell) is not None for cell in cells)


def _header(request: Request, head: list[Row], notes: list[str]) -> tuple[list[str], int, list[int] | None]:
    """Names of the columns, the row that they are in, and which columns are of the ticker (None for all)."""
    if not head:
        return [], 0, None
    at = max(range(len(head)), key=lambda n: (_names_in(head[n][1]), n))
    row, names = head[at]
    around = head[:at] + head[at + 1 :]
    tickers = next((cells for _, cells in around if _is_of_tickers(cells, names)), None)
    before = [cells for _, cells in head[:at] if cells is not tickers]
    if before:
        notes.append(f"{len(before)} lines above the header left out")
    if tickers is None:
        return names, row, None
    width = max(len(names), len(tickers))
    names, tickers = _padded(names, width), _padded(tickers, width)
    index = next((cells for _, cells in around if len([c for c in cells if c]) == 1 and cells[0]), [""])
    if not _label(tickers[0]):
        names[0] = index[0] or (names[0] if field_of(names[0]) == "date" else "Date")
        tickers[0] = ""
    return names, row, _of_ticker(request, names, tickers, notes)


def _is_of_tickers(cells: list[str], names: list[str]) -> bool:
    """Whether a row beside the names says, column by column, whose they are."""
    labels = [cell for cell in cells[1:] if cell]
    return (
        len(cells) <= len(names)
        and len(labels) >= max(1, _names_in(names[1:]) - 1)
        and not any(field_of(label) or looks_numeric(label) for label in labels)
        and not _names_in(cells[:1])
    ) or (bool(labels) and plain(cells[0]) in ("ticker", "tickers", "symbol", "symbols") and len(names) > 1)


def _label(text: str) -> str:
    """The ticker that a cell of a row of tickers names; empty for the row's own name."""
    return "" if plain(text) in ("ticker", "tickers", "symbol", "symbols", "price", "") else text


def _of_ticker(request: Request, names: list[str], tickers: list[str], notes: list[str]) -> list[int]:
    there = list(dict.fromkeys(label for label in map(_label, tickers) if label))
    wanted = [name for name in there if name.upper() == request.ticker.upper()]
    if not wanted and len(there) > 1:
        raise several(request, there)
    name = (wanted or there)[0]
    notes.append(calls_it(request, name))
    return [n for n, label in enumerate(tickers) if not _label(label) or label == name]


def several(request: Request, there: list[str]) -> BadFileError:
    """The refusal of a file of several instruments, none of them the one asked for."""
    listed = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
    return BadFileError(
        f"{request.file} holds {len(there)} instruments, none called {request.ticker!r}: {listed}",
        mend=f"name one of them: {request.command(ticker=there[0])}",
    )


def calls_it(request: Request, name: str) -> str:
    """Say what the file calls the instrument, where that is not what it is stored as."""
    return "" if name.upper() == request.ticker.upper() else f"the file calls it {name[:40]!r}"


def _with_footers_cut(rows: list[Row], notes: list[str]) -> list[Row]:
    """Rows without the lines of words behind them, as some programs write."""
    end = len(rows)
    while end and _is_footer(rows[end - 1][1]):
        end -= 1
    if end == 0:
        return rows
    if end < len(rows):
        notes.append(f"{len(rows) - end} lines below the last row left out")
    return rows[:end]


def _is_footer(cells: list[str]) -> bool:
    first = next(cell for cell in cells if cell)
    return not any(looks_like_date(cell) for cell in cells) and bool(re.match(r"[^\W\d]{2,}|[*#(\"]", first))


def _padded(cells: list[str], width: int) -> list[str]:
    return cells + [""] * (width - len(cells))


def _even(path: Path, names: list[str], rows: list[Row]) -> list[Row]:
    """Rows of one width; blank cells beyond it are cut, and those that only blank names lack are added."""
    width = len(names) or max((len(cells) for _, cells in rows), default=0)
    needed = len("".join("x" if name else " " for name in names).rstrip()) or width
    found = []
    for row, cells in rows:
        extra = cells[width:]
        if len(cells) < needed or any(extra):
            wide = f"the header has {needed}" if names else f"the widest row has {width}"
            raise BadFileError(
                f"{path}, row {row}: {len(cells)} fields, {wide}: {','.join(cells)[:80]!r}",
                mend="the row may be cut short, or a value may hold an unquoted separator",
            )
        found.append((row, _padded(cells[:width], width)))
    return found


def _without_blank_columns(sheet: Sheet) -> Sheet:
    """Leave out columns without a name and without a value."""
    if not sheet.names:
        return sheet
    kept = [n for n, name in enumerate(sheet.names) if name or any(cells[n] for _, cells in sheet.rows)]
    if len(kept) < len(sheet.names):
        sheet.rows = [(row, [cells[n] for n in kept]) for row, cells in sheet.rows]
        sheet.names = [sheet.names[n] for n in kept]
    return sheet
