"""Yahoo as a test wants it: answers that were given before, and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeVar

from varve.errors import DataError
from varve.market.sources.yahoo import Article, YahooHistory

V = TypeVar("V")


class FakeYahooClient:
    """A :class:`YahooClient` that answers from what it was given and counts its calls.

    Args:
        histories: ticker to its history; other tickers have none.
        articles: the news of every ticker.
        error: raised by every call instead of an answer.
    """

    def __init__(
        self,
        histories: Mapping[str, YahooHistory] | None = None,
        *,
        articles: Sequence[Article] = (),
        error: DataError | None = None,
        news_error: DataError | None = None,
    ) -> None:
        self.histories, self.articles = dict(histories or {}), tuple(articles)
        self.error, self.news_error = error, news_error or error
        self.calls: list[tuple[str, ...]] = []

    def history(self, ticker: str, start: date) -> YahooHistory | None:
        """The given history from ``start`` on; splits before the first row are left out, as Yahoo does."""
        self.calls.append(("history", ticker, start.isoformat()))
        if self.error is not None:
            raise self.error
        found = self.histories.get(ticker)
        if found is None:
            return None

        def since(values: Mapping[date, V]) -> dict[date, V]:
            return {day: value for day, value in values.items() if day >= start}

        return YahooHistory(
            since(found.rows), since(found.splits), since(found.dividends), found.currency, found.timezone
        )

    def news(self, ticker: str) -> Sequence[Article]:
        """The given articles."""
        self.calls.append(("news", ticker))
        if self.news_error is not None:
            raise self.news_error
        return self.articles
