"""How often bars come is found at import: gaps are said, and what is not daily is refused until declared."""

import itertools
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.errors import DataError, UnknownNameError
from varve.market.calendars import get_calendar
from varve.market.data import BarSeries, InstrumentData, Provenance
from varve.market.frequency import density, missing_sentence, with_frequency
from varve.market.sources.investorbench import read_investorbench
from varve.market.sources.prices import read_prices
from varve.market.store import Store
from varve.types import Instrument


def sessions_of(calendar="XNYS", start=date(2021, 1, 4), end=date(2022, 3, 14)):
    return get_calendar(calendar).sessions(start, end)


def held(sessions, calendar="XNYS", close=None, frequency=None):
    closes = np.linspace(50, 90, len(sessions)) if close is None else close
    bars = BarSeries.from_sessions(calendar, sessions, closes)
    provenance = Provenance("test", "raw", "next_close", frequency=frequency)
    return InstrumentData(Instrument("A", calendar), bars, provenance)


def weekly(calendar="XNYS", **rest):
    """The last session of each week."""
    days = sessions_of(calendar)
    return held([a for a, b in itertools.pairwise(days) if a.isocalendar()[1] != b.isocalendar()[1]],
                calendar, **rest)  # fmt: skip


def monthly(calendar="XNYS", **rest):
    days = sessions_of(calendar)
    return held([a for a, b in itertools.pairwise(days) if a.month != b.month], calendar, **rest)


def without(days, gone):
    return [day for i, day in enumerate(days) if i not in gone]


def test_daily_bars_are_found_and_nothing_is_missing():
    for calendar in ("XNYS", "24/7"):
        data = held(sessions_of(calendar), calendar)
        assert with_frequency(data).provenance.frequency == "daily"
        assert missing_sentence(data) == ""
        assert with_frequency(data).content_hash == data.content_hash


def test_a_missing_fifth_is_said_with_its_longest_gap():
    days = sessions_of()[:300]
    gone = {*range(50, 59), *range(70, 262, 4)}
    data = with_frequency(held(without(days, gone)))
    assert len(gone) == 57
    assert data.provenance.frequency == "daily"
    assert missing_sentence(data) == (
        f"57 of 300 sessions of XNYS have no bar, the longest gap is 9 sessions after {days[49]}"
    )
    # Within a window, only what is missing there.
    assert missing_sentence(data, 0, 49) == ""
    assert missing_sentence(data, 40, 55).startswith("9 of 25 sessions")


@settings(max_examples=200, deadline=None)
@given(order=st.permutations(range(1, 99)), count=st.integers(0, 60))
def test_gaps_add_up_and_one_limit_parts_said_from_refused(order, count):
    gone = set(order[:count])
    data = held(without(sessions_of()[:100], gone))
    found = density(data, frequency="daily")
    assert found.missing == len(gone)
    assert found.bars + found.missing == found.sessions == 100
    longest = max(
        (len(run) for run in "".join("x" if i in gone else " " for i in range(100)).split()), default=0
    )
    assert found.longest == longest
    if len(gone) <= 33:
        assert with_frequency(data).provenance.frequency == "daily"
    else:
        with pytest.raises(DataError, match=r"--frequency|bars over"):
            with_frequency(data)
    assert with_frequency(data, "daily").provenance.frequency == "daily"


@pytest.mark.parametrize("calendar", ["XNYS", "24/7"])
@pytest.mark.parametrize(("made", "name", "one"), [(weekly, "weekly", "week"), (monthly, "monthly", "month")])
def test_other_frequencies_are_refused_by_name_until_declared(made, name, one, calendar):
    data = made(calendar)
    with pytest.raises(DataError) as error:
        with_frequency(data)
    count = len(sessions_of(calendar, data.bars.session(0), data.bars.session(len(data.bars) - 1)))
    assert f"{len(data.bars)} bars over {count} sessions of {calendar}, about one a {one}" in str(error.value)
    assert f"--frequency {name}" in error.value.mend
    declared = with_frequency(data, name)
    assert declared.provenance.frequency == name
    assert missing_sentence(declared) == ""
    assert declared.content_hash == data.content_hash
    # What says so itself need not be declared again.
    assert with_frequency(made(calendar, frequency=name)).provenance.frequency == name


def test_weeks_without_a_bar_are_counted_in_weeks():
    data = weekly()
    kept = [data.bars.session(i) for i in range(len(data.bars)) if i not in (10, 11, 30)]
    found = with_frequency(held(kept), "weekly")
    assert missing_sentence(found) == (
        f"3 of {len(data.bars)} weeks have no bar, the longest gap is 2 weeks after {kept[9]}"
    )


@pytest.mark.parametrize(
    ("data", "declared", "mend"),
    [
        (held(sessions_of()), "weekly", "leave --frequency out"),
        (held(sessions_of()), "monthly", "leave --frequency out"),
        (weekly(), "monthly", "add --frequency weekly"),
        (monthly(), "weekly", "add --frequency monthly"),
        (held(sessions_of()[::2]), "weekly", "give weekly bars"),
        (held(sessions_of()[::63]), "monthly", "give monthly bars"),
    ],
)
def test_a_wrong_declaration_is_refused(data, declared, mend):
    with pytest.raises(DataError, match=f"not {declared} bars") as error:
        with_frequency(data, declared)
    assert error.value.mend == mend


@pytest.mark.parametrize(
    ("step", "words"), [(2, "one in 2 sessions"), (3, "one in 3 sessions"), (63, "one a quarter")]
)
def test_what_is_no_frequency_is_named_too(step, words):
    with pytest.raises(DataError, match=words):
        with_frequency(held(sessions_of()[::step]))


def test_a_name_that_is_no_frequency_is_refused():
    with pytest.raises(UnknownNameError, match="daily, monthly, weekly"):
        with_frequency(held(sessions_of()), "hourly")


@pytest.mark.parametrize("count", [1, 2, 4])
def test_of_a_few_bars_nothing_is_found_out(count):
    assert with_frequency(held(sessions_of()[::40][:count])).provenance.frequency == "daily"


def filled(share_of_weekend_moves=0.0):
    """A share's closes on every day, Friday's repeated at weekends."""
    days = sessions_of("24/7", end=date(2021, 12, 31))
    rng = np.random.default_rng(0)
    closes = [100.0]
    for day in days[1:]:
        moves = get_calendar("XNYS").is_session(day) or rng.random() < share_of_weekend_moves
        closes.append(closes[-1] * (1.0 + (rng.normal(0, 0.01) if moves else 0.0)))
    return held(days, "24/7", np.array(closes))


def test_a_venue_that_closes_is_not_taken_for_one_that_never_does():
    data = filled()
    with pytest.raises(
        DataError, match=r"102 of its 102 bars on Saturdays and Sundays, and 8 on other days"
    ) as error:
        with_frequency(data)
    assert "--calendar XNYS" in error.value.mend
    with pytest.raises(DataError, match="0 of its 300 bars are on a Saturday or Sunday"):
        with_frequency(held(sessions_of()[:300], "24/7"))
    for one in (data, held(sessions_of()[:300], "24/7")):
        assert with_frequency(one, "daily").provenance.frequency == "daily"


def test_a_coin_that_moves_at_weekends_or_never_is_no_share():
    assert with_frequency(filled(0.5)).provenance.frequency == "daily"
    days = sessions_of("24/7")
    assert with_frequency(held(days, "24/7", np.ones(len(days)))).provenance.frequency == "daily"


def test_the_store_keeps_it_and_reads_what_was_stored_without(varve_home):
    import json

    days = sessions_of()[:100]
    store = Store()
    entry = store.write(with_frequency(held(without(days, {5, 6, 20}))))
    assert (entry.frequency, entry.missing) == ("daily", 3)
    assert store.read("A").provenance.frequency == "daily"
    path = store.folder / "A" / "provenance.json"
    raw = json.loads(path.read_text())
    del raw["frequency"], raw["missing"]
    path.write_text(json.dumps(raw))
    assert store.read("A").provenance.frequency is None
    assert (store.entry("A").frequency, store.entry("A").missing) == (None, None)
    store.write(with_frequency(weekly(), "weekly"))
    assert store.entry("A").frequency == "weekly"


def written(path, sessions):
    rows = [f"{day},{50 + i % 7}" for i, day in enumerate(sessions)]
    path.write_text("\n".join(["date,close", *rows]) + "\n")
    return path


def test_a_gap_is_said_in_import_list_show_run_and_report(backtest, varve_home, tmp_path):
    days = sessions_of()[:300]
    file = written(tmp_path / "nflx.csv", without(days, {*range(250, 259), *range(20, 212, 4)}))
    code, out, _ = backtest("data", "import", str(file), "--ticker", "NX")
    said = f"57 of 300 sessions of XNYS have no bar, the longest gap is 9 sessions after {days[249]}"
    assert (code, said in out) == (0, True)
    assert said in backtest("data", "show", "NX")[1]
    assert "57" in backtest("data", "list")[1]
    code, out, err = backtest(
        "run", "--agent", "buy-and-hold", "--ticker", "NX", "--start", str(days[240]), "--end", str(days[299])
    )
    assert code == 0
    in_run = (
        f"in this run 9 of 60 sessions of XNYS have no bar, the longest gap is 9 sessions after {days[249]}"
    )
    for text in (out, err):
        assert in_run in " ".join(text.split())
    (folder,) = (varve_home / "runs").iterdir()
    assert in_run in (folder / "report.html").read_text()


def test_weekly_bars_say_so_at_import_and_in_the_first_line(backtest, varve_home, tmp_path):
    data = weekly()
    file = written(tmp_path / "w.csv", [data.bars.session(i) for i in range(len(data.bars))])
    code, _, err = backtest("data", "import", str(file), "--ticker", "W")
    assert (code, "--frequency weekly" in err) == (3, True)
    assert not Store().tickers()
    code, out, _ = backtest("data", "import", str(file), "--ticker", "W", "--frequency", "weekly")
    assert (code, "weekly bars" in out) == (0, True)
    assert "weekly" in backtest("data", "list")[1]
    _, _, err = backtest("run", "--agent", "buy-and-hold", "--ticker", "W")
    assert "weekly bars" in " ".join(err.split())
    code, _, err = backtest("data", "import", str(file), "--ticker", "W", "--frequency", "hourly")
    assert (code, "unknown frequency" in err) == (2, True)


def test_a_file_of_weeks_may_date_them_by_holidays(backtest, varve_home, tmp_path):
    mondays = [date(2023, 1, 2) + timedelta(weeks=i) for i in range(20)]
    file = written(tmp_path / "w.csv", mondays)
    code, _, err = backtest("data", "import", str(file), "--ticker", "W")
    assert (code, "--frequency" in err) == (3, True)
    code, out, _ = backtest("data", "import", str(file), "--ticker", "W", "--frequency", "weekly")
    assert (code, "counted as the next one: 3" in out) == (0, True)
    found = Store().read("W").bars
    assert [found.session(i) for i in range(3)] == [date(2023, 1, 3), date(2023, 1, 9), date(2023, 1, 17)]


def test_guidance_takes_no_frequency_and_keeps_that_of_the_prices(backtest, varve_home, tmp_path):
    Store().write(with_frequency(weekly(), "weekly"))
    file = tmp_path / "g.csv"
    file.write_text("available_at,text\n2021-03-01,Buy.\n")
    assert backtest("data", "import", str(file), "--ticker", "A")[0] == 0
    assert Store().entry("A").frequency == "weekly"
    # Prices that an older Varve took for daily ones are not judged again by their guidance.
    Store().write(weekly())
    assert backtest("data", "import", str(file), "--ticker", "A")[0] == 0
    code, _, err = backtest("data", "import", str(file), "--ticker", "A", "--frequency", "weekly")
    assert (code, "--frequency mean" in err) == (2, True)


def test_no_real_daily_file_is_refused(shared_data):
    folders = (shared_data / "stocknet" / "prices", shared_data / "prices")
    files = [path for folder in folders for path in sorted(folder.glob("*.csv"))]
    whole = [path for path in files if "null" not in path.read_text()]
    assert len(whole) > 55
    for path in whole:
        data = with_frequency(read_prices(path, "A"))
        assert (data.provenance.frequency, missing_sentence(data)) == ("daily", ""), path.name


def test_real_coins_with_gaps_are_said(shared_data):
    data = with_frequency(read_investorbench(shared_data / "investorbench" / "eth.json", "ETH"))
    assert missing_sentence(data).startswith("65 of 383 sessions of 24/7 have no bar")
    assert (
        missing_sentence(with_frequency(read_investorbench(shared_data / "investorbench" / "jnj.json", "J")))
        == ""
    )


def test_the_weekly_file_is_a_share_of_weeks(shared_data):
    file = shared_data / "market_files" / "weekly.csv"
    with pytest.raises(DataError, match="56 bars over 265 sessions of XNYS, about one a week"):
        with_frequency(read_prices(file, "W"))
    bars = with_frequency(read_prices(file, "W", frequency="weekly"), "weekly").bars
    returns = bars.close[1:] / bars.close[:-1] - 1.0
    a_year = get_calendar("XNYS").bars_per_year(bars.session(0), bars.session(len(bars) - 1), len(returns))
    assert returns.mean() / returns.std(ddof=1) * a_year**0.5 == pytest.approx(2.4, abs=0.05)


def test_the_monthly_coin_is_refused_and_then_right(shared_data):
    file = shared_data / "market_files" / "coin_monthly.csv"
    with pytest.raises(DataError, match="about one a month"):
        with_frequency(read_prices(file, "C", calendar="24/7"))
    data = with_frequency(read_prices(file, "C", calendar="24/7", frequency="monthly"), "monthly")
    assert (data.provenance.frequency, missing_sentence(data)) == ("monthly", "")
