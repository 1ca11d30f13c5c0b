"""An expert's guidance: read from a file, stored beside prices, and never seen before its time."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from tests.support.helpers import prepared, with_data
from varve.backtests.record.inputs import read_inputs, visible_until, write_inputs
from varve.backtests.simulate.steps import simulate
from varve.errors import BadFileError
from varve.market.calendars import get_calendar
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.market.sources.guidance import is_guidance, read_guidance
from varve.market.store import Store
from varve.market.worlds import sample_world
from varve.types import Instrument, Portfolio

TSLA = Instrument("TSLA")
GOOD = (
    "available_at,text\n"
    '2023-03-10,"Margins hold, buy weakness."\n'
    "\n"
    "2023-03-14T14:30:00+01:00,The report will miss.\n"
)


def given(tmp_path, text, name="guidance.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_dates_are_readable_when_the_day_is_over_and_instants_at_once(tmp_path):
    day, instant = read_guidance(given(tmp_path, GOOD), TSLA)
    assert (day.kind, day.symbol, day.text) == ("guidance", "TSLA", "Margins hold, buy weakness.")
    assert day.available_at == datetime(2023, 3, 11, 5, 0, tzinfo=UTC)
    assert instant.available_at == instant.event_time == datetime(2023, 3, 14, 13, 30, tzinfo=UTC)
    assert day.id != instant.id
    assert read_guidance(given(tmp_path, GOOD), TSLA) == (day, instant)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("soon,Buy.", "row 2: available_at 'soon' is no date"),
        ("2023-02-30,Buy.", "row 2: available_at '2023-02-30' is no date"),
        ("2023-03-10T10:00:00,Buy.", "has no time zone"),
        ("1889-03-10,Buy.", "outside 1990-01-02 to 2035-12-31"),
        ("2099-03-10,Buy.", "outside 1990-01-02 to 2035-12-31"),
        (",Buy.", "row 2: available_at '' is no date"),
        ("2023-03-10,", "row 2: the text is empty"),
        ("2023-03-10,Buy, now", "row 2: 3 fields, 2 expected"),
        ("2023-03-10," + "x" * 4001, "the text has 4,001 characters"),
        ("2023-03-10,Buy.\n2023-03-10,Buy.", "row 3 is the same as row 2"),
        ("", "has a header but no rows"),
        ('2023-03-10,"Buy', "unexpected end of data"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_row(tmp_path, rows, message):
    with pytest.raises(BadFileError) as caught:
        read_guidance(given(tmp_path, f"available_at,text\n{rows}\n"), TSLA)
    assert message in str(caught.value)
    assert caught.value.mend


def test_only_the_header_makes_guidance(tmp_path):
    assert is_guidance(given(tmp_path, GOOD))
    assert is_guidance(given(tmp_path, "\ufeffAvailable_At, Text\n"))
    assert not is_guidance(given(tmp_path, "date,close\n2023-03-10,1\n"))
    assert not is_guidance(tmp_path / "absent.csv")


def with_guidance(data, tmp_path):
    return replace(data, documents=(*data.documents, *read_guidance(given(tmp_path, GOOD), data.instrument)))


def seen(data, session):
    venue = get_calendar(data.instrument.calendar)
    at = venue.decision_at(session)
    view = MarketData({data.instrument.symbol: data}).as_of(at)
    before = venue.decision_at(data.bars.session(int(data.bars.sessions.searchsorted(session)) - 1))
    return Observation(0, data.instrument, session, at, before, view, Portfolio("USD", 1.0, 1.0))


def test_nobody_sees_it_before_its_time_and_only_who_asks_sees_it_after(tmp_path):
    data = with_guidance(sample_world("TSLA"), tmp_path)
    texts = {
        # The decision after 10 March falls on the 13th, when the day is over.
        day: [d.text for d in seen(data, date(2023, 3, day)).guidance(last=5)]
        for day in (9, 10, 13, 14)
    }
    assert [len(found) for found in texts.values()] == [0, 1, 1, 2]
    later = seen(data, date(2023, 3, 14))
    assert [d.text for d in later.guidance()] == ["The report will miss."]
    assert all(d.kind != "guidance" for d in later.view.documents("TSLA"))
    assert all(d.kind != "guidance" for d in later.new_documents())


def test_new_guidance_is_in_the_observation_hash_and_none_changes_nothing(tmp_path):
    plain = sample_world("TSLA")
    data = with_guidance(plain, tmp_path)
    same = [
        seen(data, d).hash == seen(plain, d).hash
        for d in (date(2023, 3, 9), date(2023, 3, 10), date(2023, 3, 15))
    ]
    assert same == [True, False, True]


def test_finmem_decides_as_it_would_without(tmp_path):
    run = prepared("finmem", end=date(2023, 3, 31))
    with_it = with_data(run, with_guidance(run.data, tmp_path))

    def told(steps):
        return [(step.decision, [call.messages for call in step.model_calls]) for step in steps]

    assert told(simulate(run)) == told(simulate(with_it))


def test_without_news_guidance_stays_and_the_bundle_keeps_it(tmp_path):
    data = with_guidance(sample_world("TSLA"), tmp_path)
    last = int(data.bars.sessions.searchsorted(date(2023, 3, 13)))
    cut = visible_until(data, last, datetime(2023, 3, 14, 13, tzinfo=UTC), news=False)
    assert [d.text for d in cut.documents] == ["Margins hold, buy weakness."]
    write_inputs(tmp_path / "inputs.parquet", cut)
    assert read_inputs(tmp_path / "inputs.parquet").content_hash == cut.content_hash


PRICES = "date,close\n2023-03-09,10\n2023-03-10,11\n2023-03-13,12\n2023-03-14,12.5\n"


def test_import_puts_it_beside_stored_prices_and_again_in_its_place(tmp_path, backtest):
    code, _, err = backtest("data", "import", given(tmp_path, GOOD), "--ticker", "ACME")
    assert code == 3
    assert "holds nothing on 'ACME'" in err
    assert backtest("data", "import", given(tmp_path, PRICES, "prices.csv"), "--ticker", "ACME")[0] == 0
    code, out, _ = backtest("data", "import", given(tmp_path, GOOD), "--ticker", "acme")
    assert code == 0
    assert "stored 2 pieces of guidance on ACME, readable from 2023-03-11" in out
    assert len(Store().read("ACME").documents) == 2
    shorter = given(tmp_path, "available_at,text\n2023-03-09,Wait.\n", "second.csv")
    assert backtest("data", "import", shorter, "--ticker", "ACME")[0] == 0
    stored = Store().read("ACME")
    assert [d.text for d in stored.documents] == ["Wait."]
    assert len(stored.bars) == 4
    assert "1 guidance" in backtest("data", "show", "ACME")[1]


def test_a_bad_row_leaves_the_store_as_it_was(tmp_path, backtest):
    backtest("data", "import", given(tmp_path, PRICES, "prices.csv"), "--ticker", "ACME")
    before = Store().read("ACME").content_hash
    code, _, err = backtest(
        "data", "import", given(tmp_path, "available_at,text\nsoon,Buy.\n"), "--ticker", "ACME"
    )
    assert code == 3
    assert "row 2: available_at 'soon' is no date" in err
    assert Store().read("ACME").content_hash == before
