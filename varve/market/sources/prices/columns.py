"""Which column is what: by the file's own names, by the user's mapping, or refused with a mapping to give."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from varve.errors import BadFileError, SettingError, UnknownNameError, near_names
from varve.market.sources.prices.dates import looks_like_date
from varve.market.sources.prices.names import FIELDS, field_of, plain_of, rank
from varve.market.sources.prices.numbers import is_unknown, looks_numeric, parse
from varve.market.sources.prices.sheet import Sheet, calls_it, several
from varve.market.sources.source import Request

_OHLC = ("open", "high", "low", "close")
_PRICE_WORDS = ("close", "settle", "last", "price", "nav", "value", "kurs")
_NOT_THIS_DAY = re.compile(r"\b(prev|previous|change|chg|%|return|pct|yesterday)")
_KLINES = ("date", "open", "high", "low", "close", "volume", "close time", "quote volume", "trades",
           "taker base volume", "taker quote volume", "ignore")  # fmt: skip
"""The columns of Binance's klines, which come without a header."""


@dataclass
class Columns:
    """Where each field is, and what is left over.

    ``at`` maps a field to its column, ``unused`` names the columns that are none. ``calendar`` is that of
    the file's kind, where the kind tells it.
    """

    sheet: Sheet
    at: dict[str, int]
    unused: list[str] = field(default_factory=list)
    mapped_close_is_adjusted: bool = False
    calendar: str | None = None

    def name(self, one: str) -> str:
        """What the file calls a field."""
        return self.sheet.names[self.at[one]]

    def cells(self, one: str) -> list[str]:
        """The cells of a field."""
        return self.sheet.column(self.at[one])


def columns_of(request: Request, sheet: Sheet) -> Columns:
    """Find the columns of a sheet.

    Raises:
        BadFileError: if one that is needed is not there, or two could be the same; a mapping is proposed
            that never gives a field the name of another.
        SettingError, UnknownNameError: if the mapping or the names that were given cannot be used.
    """
    calendar = None
    if not sheet.names or request.header:
        sheet, calendar = _named(request, sheet)
    at = _resolved(request, sheet)
    sheet, at = _of_one_ticker(request, sheet, at)
    adjusted = "close" in at and field_of(sheet.names[at["close"]], request.ticker) == "adj_close"
    used = set(at.values())
    unused = [
        name if name else "(no name)"
        for n, name in enumerate(sheet.names)
        if n not in used and not _is_counter(sheet, n)
    ]
    return Columns(sheet, at, unused, adjusted, calendar)


def _named(request: Request, sheet: Sheet) -> tuple[Sheet, str | None]:
    """The sheet with the names that were given for it, or those of Binance's klines."""
    width = len(sheet.rows[0][1])
    given = [name.strip().lower() for name in request.header]
    if given:
        for name in given:
            if name not in (*FIELDS, "-", ""):
                raise UnknownNameError("price column", name, FIELDS)
        twice = [name for name in given if name in FIELDS and given.count(name) > 1]
        if twice or len(given) > width:
            why = f"name {twice[0]!r} twice" if twice else f"name {len(given)} columns of {width}"
            raise SettingError(
                f"--columns {','.join(given)} would {why}", mend="give each column one name, in order"
            )
        names = [name if name in FIELDS else f"column {n + 1}" for n, name in enumerate(given)]
        names += [f"column {n + 1}" for n in range(len(given), width)]
        for old, new in zip(sheet.names, names, strict=False):
            _refuse_other(request, new, old)
        return replace(sheet, names=names), None
    if _is_klines(sheet):
        sheet.notes.append("taken for klines of Binance, which never closes")
        return replace(sheet, names=list(_KLINES)), "24/7"
    raise _no_header(request, sheet, width)


def _is_klines(sheet: Sheet) -> bool:
    """Whether the rows are twelve numbers that begin with the instants of a bar's start, and hold its end."""
    cells = sheet.rows[0][1]
    if len(cells) != len(_KLINES) or not all(looks_numeric(cell) for cell in cells):
        return False
    start, end = (float(cells[n]) if re.fullmatch(r"\d{13,16}", cells[n]) else 0.0 for n in (0, 6))
    return 0.0 < start < end and _fits(sheet, (1, 2, 3, 4))


def _fits(sheet: Sheet, order: tuple[int, int, int, int]) -> bool:
    """Whether columns in this order hold open, high, low and close, as far as their ranges say."""
    for _, cells in sheet.rows[:200]:
        try:
            o, h, low, c = (parse(cells[n], ".") for n in order)
        except (ValueError, IndexError):
            return False
        if not low <= min(o, c) <= max(o, c) <= h:
            return False
    return True


def _no_header(request: Request, sheet: Sheet, width: int) -> BadFileError:
    cells = sheet.rows[0][1]
    dated = [n for n, cell in enumerate(cells) if looks_like_date(cell)][:1] or [0]
    rest = list(range(dated[0] + 1, width))
    timed = [n for n in rest[:1] if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", cells[n])]
    rest = rest[len(timed) :]
    names = ["-"] * width
    names[dated[0]] = "date"
    if timed:
        names[timed[0]] = "time"
    said = "name them in order, with - for one to leave out: --columns date,-,close, for example"
    if len(rest) >= 4 and _fits(sheet, (rest[0], rest[1], rest[2], rest[3])):
        for n, name in zip(rest, (*_OHLC, "volume"), strict=False):
            names[n] = name
    elif len(rest) == 1:
        names[rest[0]] = "close"
    if "close" in names:
        while names[-1] == "-":
            names.pop()
        said = f"say what its columns are: {request.command(header=tuple(names))}"
    return BadFileError(f"{request.file} has no header: its first row is {','.join(cells)[:80]!r}", mend=said)


def _resolved(request: Request, sheet: Sheet) -> dict[str, int]:
    at: dict[str, int] = {}
    for name in request.columns:
        if name not in FIELDS:
            raise UnknownNameError("price column", name, FIELDS)
    for name, header in request.columns.items():
        at[name] = _mapped(request, sheet, name, header)
    taken = set(at.values())
    for name in FIELDS:
        if name not in at and (found := _by_name(request, sheet, name, taken)) is not None:
            at[name] = found
            taken.add(found)
    if "date" not in at and (first := _unnamed_date(sheet)) is not None:
        at["date"] = first
    for name in ("date", "close"):
        if name not in at:
            raise _missing(request, sheet, name, name)
    return at


def _mapped(request: Request, sheet: Sheet, name: str, header: str) -> int:
    same = [n for n, text in enumerate(sheet.names) if text == header.strip()]
    same = same or [n for n, text in enumerate(sheet.names) if text.casefold() == header.strip().casefold()]
    same = same or [
        n
        for n, text in enumerate(sheet.names)
        if plain_of(text, request.ticker) == plain_of(header, request.ticker)
    ]
    if len(same) > 1:
        raise _twice(request, sheet, name, same)
    if not same:
        raise _missing(request, sheet, name, header)
    _refuse_other(request, name, sheet.names[same[0]])
    return same[0]


def _refuse_other(request: Request, name: str, header: str) -> None:
    """Raise where a field would be given a column that the file itself calls another one."""
    own = field_of(header, request.ticker)
    allowed = {name, *(("adj_close",) if name == "close" else ()), *(("date",) if name == "time" else ())}
    # What a file calls last or price may be any price that the user knows it to be.
    loose = plain_of(header, request.ticker) in ("price", "last", "name", "c", "o", "h", "l", "v")
    if own is None or own in allowed or loose or name not in FIELDS:
        return
    rest = {one: text for one, text in request.columns.items() if one != name}
    raise SettingError(
        f"{name} cannot be the column {header!r}: the file itself says that it is the {own}",
        mend=f"leave the mapping out: {request.command(columns=rest, header=())}",
    )


def _by_name(request: Request, sheet: Sheet, name: str, taken: set[int]) -> int | None:
    ranked = [
        (place, n)
        for n, text in enumerate(sheet.names)
        if n not in taken and (place := rank(name, text, request.ticker)) is not None
    ]
    if not ranked:
        return None
    best = min(place for place, _ in ranked)
    same = [n for place, n in ranked if place == best]
    if len(same) > 1:
        raise _twice(request, sheet, name, same)
    return same[0]


def _twice(request: Request, sheet: Sheet, name: str, same: list[int]) -> BadFileError:
    texts = [sheet.names[n] for n in same]
    mend = "rename or remove all but one"
    if len(set(texts)) == len(texts):
        mend = " or ".join(request.command(columns={**request.columns, name: text}) for text in texts[:2])
        mend = f"say which: {mend}"
    return BadFileError(
        f"{request.file}, row {sheet.header_row}: the header has {len(same)} columns named "
        f"{' and '.join(map(repr, dict.fromkeys(texts)))} for {name}; expected one",
        mend=mend,
    )


def _unnamed_date(sheet: Sheet) -> int | None:
    """The first column, where it has no name and holds dates: pandas writes an index like that."""
    if sheet.names[0] and not sheet.names[0].lower().startswith(("unnamed", "index", "__index")):
        return None
    return 0 if all(looks_like_date(cell) for cell in sheet.column(0)[:20]) else None


def _is_counter(sheet: Sheet, n: int) -> bool:
    """Whether a column only counts rows, as pandas' index does."""
    if n or (sheet.names[0] and not sheet.names[0].lower().startswith(("unnamed", "index", "__index"))):
        return False
    cells = sheet.column(0)
    return all(cell.isdigit() and len(cell) < 10 for cell in cells)


def _missing(request: Request, sheet: Sheet, name: str, wanted: str) -> BadFileError:
    """The refusal of a file without a column, with the mapping that may be meant.

    Where the other column that is needed is not found either, it is in the mapping too.
    """
    mapping = {**request.columns}
    for one, text in ((name, wanted), ("date", "date"), ("close", "close")):
        found = one != name and any(field_of(header, request.ticker) == one for header in sheet.names)
        if (one == name or one not in mapping) and not found:
            likely = _likely(request, sheet, one, text)
            if likely and (one == name or name in mapping):
                mapping[one] = likely
    if name in mapping and mapping[name] != request.columns.get(name):
        mend = f"map it: {request.command(columns=mapping)}"
    else:
        mend = f"say which column it is: --column {name}=HEADER, or give a file that has one"
    return BadFileError(
        f"{request.file}, row {sheet.header_row}: no column {wanted!r} for {name}; the header is "
        f"{', '.join(sheet.names)[:200]!r}",
        mend=mend,
    )


def _likely(request: Request, sheet: Sheet, name: str, wanted: str) -> str:
    """The header of the column that may be meant by a field, never another field's; empty for none."""
    own = (None, name, "adj_close") if name == "close" else (None, name)
    fits = looks_like_date if name in ("date", "time") else looks_numeric
    free = [
        text
        for n, text in enumerate(sheet.names)
        if text and field_of(text, request.ticker) in own and fits(_first_known(sheet, n))
    ]
    free = [text for text in free if not _NOT_THIS_DAY.search(text.lower())]
    words = {"date": ("date", "time", "day", "dat"), "close": _PRICE_WORDS}.get(name, ())
    inside = [text for word in (wanted.lower(), *words) for text in free if word in text.lower()]
    close = inside or near_names(wanted, free)
    return close[0] if close else (free[0] if name in ("date", "close") and len(free) == 1 else "")


def _first_known(sheet: Sheet, n: int) -> str:
    return next((cell for cell in sheet.column(n) if not is_unknown(cell)), "")


def _of_one_ticker(request: Request, sheet: Sheet, at: dict[str, int]) -> tuple[Sheet, dict[str, int]]:
    """The rows of the ticker, in a file that has a column of tickers."""
    if "ticker" not in at:
        return sheet, at
    cells = sheet.column(at["ticker"])
    there = list(dict.fromkeys(cell for cell in cells if not is_unknown(cell)))
    mine = request.ticker.upper()
    wanted = [name for name in there if name.upper() == mine]
    # Stooq writes the market behind the name: AAPL.US.
    wanted = wanted or [name for name in there if name.upper().rpartition(".")[0] == mine]
    if len(there) > 1 and len(wanted) != 1:
        raise several(request, there)
    if there:
        name = (wanted or there)[0]
        sheet.notes.append(calls_it(request, name))
        if len(there) > 1:
            rows = [row for row, cell in zip(sheet.rows, cells, strict=True) if cell == name]
            sheet = replace(sheet, rows=rows)
    return sheet, at
