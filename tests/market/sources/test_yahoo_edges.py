"""News at the very midnights between which it is kept."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.market.sources.test_yahoo import NOW, history, pull, row

ROWS = {date(2024, 2, 27): row(200.0), date(2024, 2, 28): row(201.0)}


def kept(published: str, **options: Any) -> bool:
    article = {"id": "a", "content": {"title": "Tesla", "pubDate": published}}
    data = pull(history(ROWS), start=date(2024, 2, 27), articles=(article,), **options)
    return len(data.documents) == 1


@pytest.mark.parametrize(
    ("published", "within"),
    [
        ("2024-02-27T04:59:59.999Z", False),  # 23:59 in New York, the day before
        ("2024-02-27T05:00:00Z", True),  # midnight there
        ("2024-02-28T04:59:59.999Z", True),
        ("2024-02-28T05:00:00Z", False),
    ],
)
def test_news_of_a_day_is_that_from_its_midnight_to_the_next(published: str, within: bool) -> None:
    assert kept(published, end=date(2024, 2, 27)) is within


@pytest.mark.parametrize(("minute", "within"), [("14:59:59", True), ("15:00:00", False), ("15:00:01", False)])
def test_news_is_older_than_the_pull_whatever_the_end(minute: str, within: bool) -> None:
    assert NOW.isoformat() == "2024-03-01T15:00:00+00:00"
    assert kept(f"2024-03-01T{minute}Z") is within
    assert kept(f"2024-03-01T{minute}Z", end=date(2024, 3, 5)) is within
