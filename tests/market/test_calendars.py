from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varve.errors import SettingError, UnknownNameError
from varve.market.calendars import FIRST_DAY, LAST_DAY, TradingCalendar, get_calendar


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.fixture(scope="module")
def new_york() -> TradingCalendar:
    return get_calendar("XNYS")


@pytest.fixture(scope="module")
def always() -> TradingCalendar:
    return get_calendar("24/7")


def test_known_opens_and_closes_in_summer_and_winter(new_york: TradingCalendar) -> None:
    assert new_york.open_at(date(2024, 1, 8)) == utc(2024, 1, 8, 14, 30)
    assert new_york.close_at(date(2024, 1, 8)) == utc(2024, 1, 8, 21)
    assert new_york.open_at(date(2024, 7, 8)) == utc(2024, 7, 8, 13, 30)
    assert new_york.close_at(date(2024, 7, 8)) == utc(2024, 7, 8, 20)


def test_half_day_closes_at_one_and_decides_before_the_next_open(new_york: TradingCalendar) -> None:
    half_day = date(2024, 7, 3)
    assert new_york.close_at(half_day) == utc(2024, 7, 3, 17)
    assert new_york.decision_at(half_day) == utc(2024, 7, 5, 13)


def test_weekend_and_clock_change_move_the_decision(new_york: TradingCalendar) -> None:
    """Friday 6 March 2020 decides before Monday's open, which is in summer time already."""
    assert new_york.decision_at(date(2020, 3, 5)) == utc(2020, 3, 6, 14)
    assert new_york.decision_at(date(2020, 3, 6)) == utc(2020, 3, 9, 13)
    assert new_york.decision_at(date(2020, 10, 30)) == utc(2020, 11, 2, 14)


def test_date_only_facts_wait_for_midnight_in_new_york(new_york: TradingCalendar) -> None:
    assert new_york.date_only_available_at(date(2024, 1, 8)) == utc(2024, 1, 9, 5)
    assert new_york.date_only_available_at(date(2024, 7, 8)) == utc(2024, 7, 9, 4)
    assert new_york.date_only_available_at(date(2020, 3, 7)) == utc(2020, 3, 8, 5)
    assert new_york.date_only_available_at(date(2020, 3, 8)) == utc(2020, 3, 9, 4)


def test_the_venue_that_never_closes_decides_at_the_close(always: TradingCalendar) -> None:
    day = date(2024, 2, 29)
    assert always.open_at(day) == utc(2024, 2, 29)
    assert always.close_at(day) == always.decision_at(day) == utc(2024, 3, 1)
    assert always.date_only_available_at(day) == always.close_at(day)
    assert always.is_session(date(2024, 3, 2))


@pytest.mark.parametrize("name", ["XNYS", "24/7"])
def test_every_decision_falls_between_the_close_and_the_next_open(name: str) -> None:
    calendar = get_calendar(name)
    sessions = calendar.sessions(FIRST_DAY, LAST_DAY)
    for today, tomorrow in pairwise(sessions):
        decision = calendar.decision_at(today)
        assert calendar.close_at(today) <= decision <= calendar.open_at(tomorrow)
        if not calendar.always_open:
            assert calendar.open_at(tomorrow) - decision == timedelta(minutes=30)


@given(day=st.dates(date(1990, 1, 2), date(2035, 12, 1)), span=st.integers(0, 400))
def test_sessions_are_those_days_that_are_sessions(day: date, span: int) -> None:
    calendar = get_calendar("XNYS")
    last = min(day + timedelta(days=span), LAST_DAY)
    days = [day + timedelta(days=i) for i in range((last - day).days + 1)]
    assert calendar.sessions(day, last) == [d for d in days if calendar.is_session(d)]


@given(day=st.dates(date(1990, 1, 2), date(2035, 12, 1)))
def test_a_date_only_fact_is_known_after_that_days_close_in_both_calendars(day: date) -> None:
    for name in ("XNYS", "24/7"):
        calendar = get_calendar(name)
        known = calendar.date_only_available_at(day)
        assert known.tzinfo is UTC
        if calendar.is_session(day):
            assert known >= calendar.close_at(day)
            assert known <= calendar.decision_at(day)


def test_no_session_and_no_calendar_are_clear_errors(new_york: TradingCalendar) -> None:
    with pytest.raises(SettingError, match="2024-07-04 is no session of the calendar XNYS"):
        new_york.close_at(date(2024, 7, 4))
    with pytest.raises(SettingError, match="last session"):
        new_york.decision_at(new_york.sessions(FIRST_DAY, LAST_DAY)[-1])
    with pytest.raises(UnknownNameError, match="XNYS"):
        get_calendar("XNYC")


def test_start_after_end_has_no_sessions(new_york: TradingCalendar) -> None:
    assert new_york.sessions(date(2024, 2, 1), date(2024, 1, 1)) == []


@pytest.mark.parametrize(
    ("name", "first", "last", "bars", "per_year"),
    [
        ("XNYS", date(2023, 1, 3), date(2023, 12, 29), 249, 252.0),
        ("24/7", date(2023, 1, 1), date(2023, 12, 31), 364, 365.0),
        # Every second session, and one return a week on a venue that never closes.
        ("XNYS", date(2023, 1, 3), date(2023, 1, 9), 2, 126.0),
        ("24/7", date(2023, 1, 1), date(2023, 1, 29), 4, 365 / 7),
        # A weekend at either end counts no session.
        ("XNYS", date(2023, 1, 7), date(2023, 1, 14), 5, 252.0),
    ],
)
def test_a_year_has_as_many_bars_as_time_passed(
    name: str, first: date, last: date, bars: int, per_year: float
) -> None:
    assert get_calendar(name).bars_per_year(first, last, bars) == pytest.approx(per_year, rel=1e-12)


def test_bars_that_span_no_time_are_refused() -> None:
    with pytest.raises(SettingError, match="span no time"):
        get_calendar("XNYS").bars_per_year(date(2023, 1, 3), date(2023, 1, 3), 1)


@pytest.mark.parametrize("name", ["XLON", "XTKS", "XHKG", "XSHG", "24/5", "CMES", "XSAU"])
def test_any_venue_decides_between_the_close_and_the_next_open(name: str) -> None:
    calendar = get_calendar(name)
    days = calendar.sessions(calendar.first_day, date(2026, 6, 30))
    assert len(days) > 250
    for today, tomorrow in pairwise(days[-800:]):
        assert calendar.close_at(today) <= calendar.decision_at(today) <= calendar.open_at(tomorrow)
    assert 200 < calendar.sessions_per_year < 262


def test_currencies_trade_on_weekdays_and_decide_at_the_close() -> None:
    currencies = get_calendar("24/5")
    assert (currencies.continuous, currencies.always_open, currencies.sessions_per_year) == (True, False, 261)
    assert currencies.is_session(date(2023, 7, 4))
    assert not currencies.is_session(date(2023, 7, 8))
    friday = date(2023, 7, 7)
    assert currencies.decision_at(friday) == currencies.close_at(friday) == utc(2023, 7, 8)


def test_a_calendar_that_knows_fewer_days_says_so() -> None:
    assert get_calendar("XSAU").first_day == date(2021, 1, 1)
    with pytest.raises(SettingError, match="no session of the calendar XSAU"):
        get_calendar("XSAU").open_at(date(2019, 1, 2))


def test_other_names_and_near_names_of_calendars() -> None:
    assert get_calendar("NYSE") is get_calendar("XNYS")
    assert get_calendar("LSE").name == "XLON"
    for wrong, meant in (("xlon", "XLON"), ("24/6", "24/5"), ("NASDQ", "NASDAQ")):
        with pytest.raises(UnknownNameError) as caught:
            get_calendar(wrong)
        assert meant in str(caught.value.mend)


def test_a_venue_whose_rules_cannot_be_computed_is_refused() -> None:
    import exchange_calendars

    try:
        exchange_calendars.get_calendar("XTAE", start="1990-01-02", end="2035-12-31")
    except (ValueError, NotImplementedError):
        pass
    else:
        pytest.skip("this exchange_calendars can make the calendar of Tel Aviv")
    with pytest.raises(SettingError, match="cannot make the calendar XTAE"):
        get_calendar("XTAE")
