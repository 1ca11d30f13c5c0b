"""Daily prices, splits, dividends and news from Yahoo; the only source that touches the network.

Everything that Yahoo says comes through one small seam, :class:`YahooClient`; its fake for tests,
:class:`~varve.testing.yahoo.FakeYahooClient`, is shipped too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from varve.clock import Clock, from_ns, iso, to_ns, to_utc, wall_clock
from varve.errors import DataError, NoDataError, SettingError, UsageError
from varve.market.calendars import TradingCalendar, get_calendar
from varve.market.data import BarSeries, Floats, InstrumentData, Provenance
from varve.market.sources.files import rounding_tolerance
from varve.market.sources.source import Kind, Request
from varve.market.store import check_ticker
from varve.types import CorporateEvent, Document, Instrument, Json

if TYPE_CHECKING:
    from pandas import DataFrame

Article = Mapping[str, Any]
"""An article as Yahoo words it, JSON."""
_PRICES = ("open", "high", "low", "close")
_CALENDAR_OF_ZONE = {"America/New_York": "XNYS", "UTC": "24/7"}


@dataclass(frozen=True)
class YahooHistory:
    """What Yahoo quotes on one ticker from a day to the present.

    ``rows``: per day ``open``, ``high``, ``low``, ``close``, ``volume`` as quoted, that is adjusted for
    every later split and not for dividends; NaN where there is no value. ``splits`` are new shares per
    old share, ``dividends`` cash per share as quoted (split-adjusted), both by ex-date.
    """

    rows: Mapping[date, Mapping[str, float]]
    splits: Mapping[date, float] = field(default_factory=dict)
    dividends: Mapping[date, float] = field(default_factory=dict)
    currency: str = "USD"
    timezone: str = "America/New_York"


class YahooClient(Protocol):
    """The seam to Yahoo."""

    def history(self, ticker: str, start: date) -> YahooHistory | None:
        """Quotes from ``start`` to the present, which must include every split since; None for none.

        Raises:
            DataError: if Yahoo cannot be reached or refuses to answer.
        """

    def news(self, ticker: str) -> Sequence[Article]:
        """The newest articles as Yahoo words them.

        Raises:
            DataError: if Yahoo cannot be reached or refuses to answer.
        """


class YfinanceClient:
    """The real :class:`YahooClient`, over the ``yfinance`` package.

    Args:
        timeout_s: seconds to wait for each answer.
        news_count: how many articles to ask for.
    """

    def __init__(self, *, timeout_s: float = 20.0, news_count: int = 50) -> None:
        self.timeout_s, self.news_count = timeout_s, news_count

    def history(self, ticker: str, start: date) -> YahooHistory | None:
        """See :meth:`YahooClient.history`; never given an end, since later splits would be missing."""
        import yfinance

        def ask() -> YahooHistory | None:
            handle = yfinance.Ticker(ticker)
            frame = handle.history(
                start=start.isoformat(), auto_adjust=False, actions=True, timeout=self.timeout_s
            )
            if frame is None or frame.empty:
                return None
            return _from_frame(frame, handle.history_metadata)

        found: YahooHistory | None = _asked(ask, ticker)
        return found

    def news(self, ticker: str) -> Sequence[Article]:
        """See :meth:`YahooClient.news`."""
        import yfinance

        found: Sequence[Article] = _asked(
            lambda: yfinance.Ticker(ticker).get_news(count=self.news_count), ticker
        )
        return found


def _asked(ask: Callable[[], object], ticker: str) -> Any:
    """Call ``ask``, with the failures that yfinance lets through as Varve's own."""
    import logging

    from yfinance.exceptions import YFException, YFRateLimitError, YFTickerMissingError

    logger = logging.getLogger("yfinance")
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # it logs what is said here in its own way, more than once
    try:
        return ask()
    except YFTickerMissingError:
        return None
    except YFRateLimitError as error:
        raise DataError(
            f"Yahoo refuses more questions for now (asked for {ticker!r}): {error}",
            mend="wait some minutes and try again, or import a CSV file: backtest data import FILE",
        ) from error
    except (OSError, YFException) as error:
        raise DataError(
            f"Yahoo could not be asked for {ticker!r}: {_short(error)}",
            mend="check the network and try again; runs need none: backtest run --data auto",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(
            f"Yahoo's answer for {ticker!r} could not be read: {type(error).__name__}: {_short(error)}",
            mend="try again later, or upgrade yfinance: pip install --upgrade yfinance",
        ) from error
    finally:
        logger.setLevel(before)


def _short(error: BaseException) -> str:
    return str(error).split(". See http")[0][:200]


def _from_frame(frame: DataFrame, metadata: Mapping[str, Json]) -> YahooHistory:
    """A frame of ``yfinance.Ticker.history(auto_adjust=False, actions=True)``."""
    days = [stamp.date() for stamp in frame.index]
    columns = {name: frame[name.title()].to_numpy(dtype="float64") for name in (*_PRICES, "volume")}
    rows: dict[date, Mapping[str, float]] = {}
    for i, day in enumerate(days):
        row = {name: float(columns[name][i]) for name in columns}
        # yfinance adds the present day once more, at times without a value.
        if day not in rows or not (math.isnan(row["close"]) or math.isnan(row["open"])):
            rows[day] = row

    def actions(name: str) -> dict[date, float]:
        if name not in frame.columns:
            return {}
        values = frame[name].to_numpy(dtype="float64")
        return {day: float(value) for day, value in zip(days, values, strict=True) if value > 0}

    return YahooHistory(
        rows,
        actions("Stock Splits"),
        _paid(actions("Dividends"), actions("Capital Gains"), rows),
        str(metadata.get("currency") or "USD"),
        str(metadata.get("exchangeTimezoneName") or "America/New_York"),
    )


def _paid(
    dividends: Mapping[date, float], gains: Mapping[date, float], rows: Mapping[date, Mapping[str, float]]
) -> dict[date, float]:
    """Cash per share by ex-date: a fund's capital gains are paid out as its dividends are.

    Yahoo at times counts a gain in the dividend, too. The dividend then is at least the gain; whether it
    holds it is decided by which of the two sums is nearer to the fall of the close.
    """
    paid, days = dict(dividends), sorted(rows)
    for day, gain in gains.items():
        dividend, at = dividends.get(day, 0.0), days.index(day)
        fall = rows[days[at - 1]]["close"] - rows[day]["close"] if at else math.nan
        held = dividend >= gain and abs(fall - dividend) <= abs(fall - dividend - gain)
        paid[day] = dividend if held else dividend + gain
    return paid


class YahooSource:
    """Prices, splits, dividends and news from Yahoo, over the network."""

    kind: ClassVar[Kind] = "pull"
    endings: ClassVar[tuple[str, ...]] = ()
    holds: ClassVar[str] = "prices and news"
    options: ClassVar[frozenset[str]] = frozenset()

    def accepts(self, path: Path) -> bool:
        """No file."""
        return False

    def read(self, request: Request) -> InstrumentData:
        """Pull the ticker; see :func:`pull_yahoo`.

        Raises:
            UsageError: if no first day is asked for.
        """
        if request.start is None:
            raise UsageError("a pull needs a first day", mend="add --start YYYY-MM-DD")
        return pull_yahoo(request.ticker, start=request.start, end=request.end)


def pull_yahoo(
    ticker: str,
    *,
    start: date,
    end: date | None = None,
    client: YahooClient | None = None,
    clock: Clock = wall_clock,
) -> InstrumentData:
    """Daily bars as traded, splits, dividends and the newest news of a ticker.

    Yahoo's "unadjusted" quotes are adjusted for every split up to the present. With S(d) the product of
    the splits after day d, raw price = quote × S(d), raw volume = quoted volume ÷ S(d) and raw dividend =
    quoted dividend × S(d); splits after ``end`` count too, and are then left out of the events.

    Args:
        ticker: as Yahoo writes it: ``TSLA``, ``BRK-B``, ``ETH-USD``.
        start: first session.
        end: last session; None means the last that has closed. A session that is still open is left out.
        client: the seam to Yahoo; None asks the real one.
        clock: gives ``pulled_at`` and which sessions have closed.

    Raises:
        NoDataError: if Yahoo has no quotes, naming the likely cause.
        DataError: if Yahoo cannot be reached, or its quotes cannot be used.
        SettingError: if ``start`` is after ``end`` or the ticker cannot be used.
    """
    check_ticker(ticker)
    now = to_utc(clock())
    if start > (end or now.date()):
        raise SettingError(
            f"start {start} is after end {end or now.date()}", mend="give --start before --end and today"
        )
    source: YahooClient = YfinanceClient() if client is None else client
    history = source.history(ticker, start)
    if history is None or not history.rows:
        raise _nothing(ticker, start, end)
    venue = _calendar(ticker, history)
    sessions, columns, notes = _bars(ticker, history, venue, start, end, now)
    if not sessions:
        raise _nothing(ticker, start, end)
    documents, news_note = _documents(source, ticker, start, end, venue, now)
    return InstrumentData(
        Instrument(ticker, venue.name, history.currency, 1e-4 if venue.always_open else 1.0),
        BarSeries.from_sessions(venue.name, sessions, **columns),
        Provenance(
            source="yahoo",
            adjustment="raw",
            fill_rule="next_close" if venue.always_open else "next_open",
            pulled_at=iso(now),
            note="; ".join([*notes, news_note]),
        ),
        documents,
        _events(ticker, history, sessions[0], sessions[-1]),
    )


def later_splits(splits: Mapping[date, float], day: date) -> float:
    """The product of the splits whose ex-date is after ``day``: new shares per old share."""
    return math.prod(splits[split] for split in sorted(splits) if split > day)


def _nothing(ticker: str, start: date, end: date | None) -> NoDataError:
    return NoDataError(
        f"Yahoo gave no prices for {ticker!r} from {start} to {end or 'now'}; likely causes: no ticker of "
        "that name, no trading in those dates, or no network",
        mend=f"look the ticker up at https://finance.yahoo.com/quote/{ticker} and check the dates",
    )


def _calendar(ticker: str, history: YahooHistory) -> TradingCalendar:
    name = _CALENDAR_OF_ZONE.get(history.timezone)
    if name is None:
        known = ", ".join(f"{zone} ({calendar})" for zone, calendar in _CALENDAR_OF_ZONE.items())
        raise DataError(
            f"{ticker!r} trades in {history.timezone}; Varve has calendars for {known}",
            mend="pull a ticker of a New York exchange or a coin, for example TSLA or ETH-USD",
        )
    return get_calendar(name)


def _bars(
    ticker: str,
    history: YahooHistory,
    venue: TradingCalendar,
    start: date,
    end: date | None,
    now: datetime,
) -> tuple[list[date], dict[str, Floats], list[str]]:
    """Sessions, raw columns, and notes on what could not be used."""
    wanted = [day for day in sorted(history.rows) if start <= day and (end is None or day <= end)]
    on_session = [day for day in wanted if venue.is_session(day)]
    closed = [day for day in on_session if venue.close_at(day) <= now]
    needed = ("close",) if venue.always_open else ("open", "close")  # the fill's price and the mark
    sessions = [day for day in closed if not any(math.isnan(history.rows[day][name]) for name in needed)]
    factor = np.array([later_splits(history.splits, day) for day in sessions], dtype=np.float64)

    def quoted(name: str) -> Floats:
        return np.array([history.rows[day].get(name, math.nan) for day in sessions], dtype=np.float64)

    columns: dict[str, Floats] = {name: quoted(name) * factor for name in _PRICES}
    columns["volume"] = quoted("volume") / factor
    for name in _PRICES:
        for day, value in zip(sessions, columns[name], strict=True):
            if value <= 0 or math.isinf(value):
                raise DataError(
                    f"Yahoo quotes {name} {value} for {ticker!r} on {day}; expected a price above 0",
                    mend="pull a span without that day: --start and --end",
                )
    blanked = _blank_impossible(columns)
    notes = [
        f"{count} rows left out {why}"
        for count, why in (
            (len(wanted) - len(on_session), f"on days that are no session of {venue.name}"),
            (len(closed) - len(sessions), "without open or close"),
        )
        if count
    ]
    if blanked:
        notes.append(f"high and low left out on {blanked} days where they did not hold open and close")
    return sessions, columns, notes


def _blank_impossible(columns: dict[str, Floats]) -> int:
    """Blank highs and lows that contradict open and close, in place; how many days that was."""
    tolerance = np.array([rounding_tolerance(float(price)) for price in columns["close"]])
    top = np.fmax(columns["open"], columns["close"])
    bottom = np.fmin(columns["open"], columns["close"])
    wrong = (columns["high"] < top - tolerance) | (columns["low"] > bottom + tolerance)
    columns["high"][wrong] = np.nan
    columns["low"][wrong] = np.nan
    return int(wrong.sum())


def _events(ticker: str, history: YahooHistory, first: date, last: date) -> tuple[CorporateEvent, ...]:
    """Splits and raw dividends after the first bar and up to the last."""
    splits = [
        CorporateEvent(ticker, "split", day, ratio)
        for day, ratio in history.splits.items()
        if first < day <= last and ratio != 1.0
    ]
    dividends = [
        CorporateEvent(ticker, "dividend", day, cash * later_splits(history.splits, day))
        for day, cash in history.dividends.items()
        if first < day <= last
    ]
    return (*splits, *dividends)


def _documents(
    client: YahooClient, ticker: str, start: date, end: date | None, venue: TradingCalendar, now: datetime
) -> tuple[tuple[Document, ...], str]:
    """News published from ``start`` to ``end`` and by now, and a note; prices stand without news."""
    try:
        articles = client.news(ticker)
    except DataError as error:
        return (), f"no news: {error.message}"
    from_ = venue.date_only_available_at(start - timedelta(days=1))
    until = now if end is None else min(now, venue.date_only_available_at(end))
    found: dict[str, Document] = {}
    for document in _parsed(ticker, articles or ()):
        if from_ <= document.available_at < until:
            found.setdefault(document.id, document)
    note = f"{len(found)} news items, the newest that Yahoo gives"
    return tuple(found.values()), note


def _parsed(ticker: str, articles: Iterable[Article]) -> Iterable[Document]:
    """Articles in Yahoo's present wording (under ``content``) and its older one."""
    for article in articles:
        content = article.get("content") or article
        title, summary = str(content.get("title") or ""), str(content.get("summary") or "")
        published = _instant(content.get("pubDate") or content.get("providerPublishTime"))
        key = str(article.get("id") or article.get("uuid") or content.get("id") or "")
        if not title or not key or published is None:
            continue  # without these it cannot be shown, told apart or dated
        text = f"{title}. {summary}" if summary else title
        day = published.date().isoformat()
        yield Document(f"{ticker}-{day}-news-{key}", ticker, "news", text, published, published)


def _instant(value: object) -> datetime | None:
    try:
        if isinstance(value, int | float):
            return from_ns(to_ns(datetime.fromtimestamp(value, UTC)))
        return to_utc(datetime.fromisoformat(str(value)))
    except (ValueError, OverflowError, OSError):
        return None


__all__ = ["YahooClient", "YahooHistory", "YfinanceClient", "later_splits", "pull_yahoo"]
