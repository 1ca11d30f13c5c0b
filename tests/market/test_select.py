from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from varve.errors import IntegrityError, NoDataError, SettingError, StorageError, UnknownNameError
from varve.market import worlds
from varve.market.data import InstrumentData
from varve.market.select import covers, load_market
from varve.market.store import Store

MakeData = Callable[..., InstrumentData]
JULY, OCTOBER = date(2020, 8, 3), date(2020, 11, 13)


@pytest.fixture
def store(varve_home: Path, make_data: MakeData) -> Store:
    """Real TSLA and JNJ in the default store, 2020-08-03 to 2020-11-13."""
    store = Store()
    store.write(make_data("TSLA"))
    store.write(make_data("JNJ", opens=False))
    return store


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, make_data: MakeData) -> list[dict[str, Any]]:
    """A stand-in for the sample worlds, which have tests of their own; notes what it was asked for."""
    calls: list[dict[str, Any]] = []

    def sample_world(ticker: str, *, world: str = "default", seed: int = 0) -> InstrumentData:
        calls.append({"ticker": ticker, "world": world, "seed": seed})
        made = make_data(ticker, start=date(2020, 1, 2), end=date(2024, 12, 31), seed=seed)
        return replace(made, provenance=replace(made.provenance, source="sample", synthetic=True))

    monkeypatch.setattr(worlds, "TICKERS", ("TSLA", "MSFT"), raising=False)
    monkeypatch.setattr(worlds, "sample_world", sample_world, raising=False)
    return calls


def test_auto_takes_the_store_where_it_has_the_ticker(store: Store, asked: list[Any]) -> None:
    loaded = load_market("TSLA")
    assert (loaded.origin, loaded.synthetic, asked) == ("store", False, [])
    assert loaded.data.content_hash == store.read("TSLA").content_hash
    assert loaded.market["TSLA"] is loaded.data
    assert loaded.label == (
        "stored data: TSLA from test, pulled 2024-01-01, raw prices in USD, "
        "2020-08-03 to 2020-11-13, fill=next_open"
    )


def test_a_ticker_of_the_store_never_turns_into_invented_data(store: Store, asked: list[Any]) -> None:
    inside = load_market("TSLA", start=date(2020, 8, 1), end=date(2020, 11, 15))  # weekends at both ends
    assert inside.origin == "store"
    for start, end in [
        (date(2020, 7, 31), None),
        (None, date(2020, 11, 16)),
        (date(2021, 1, 4), date(2021, 2, 1)),
        (date(2020, 1, 2), date(2020, 2, 3)),
    ]:
        with pytest.raises(NoDataError, match="the store has TSLA from 2020-08-03 to 2020-11-13") as caught:
            load_market("TSLA", start=start, end=end)
        assert "--data sample" in str(caught.value)
    assert asked == []


def test_auto_falls_back_to_the_sample_world_and_passes_its_settings(store: Store, asked: list[Any]) -> None:
    loaded = load_market("MSFT", world="noise", world_seed=3)
    assert asked == [{"ticker": "MSFT", "world": "noise", "seed": 3}]
    assert loaded.label.startswith("SYNTHETIC sample world 'noise', seed 3")


def test_sample_ignores_the_store(store: Store) -> None:
    assert load_market("TSLA", mode="sample").origin == "sample"
    with pytest.raises(NoDataError, match="no data on 'JNJ'"):
        load_market("JNJ", mode="sample")


def test_store_mode_never_makes_data_up(store: Store, asked: list[Any]) -> None:
    assert load_market("JNJ", mode="store").data.provenance.fill_rule == "next_close"
    with pytest.raises(NoDataError, match="the store holds nothing on 'MSFT'; it holds JNJ, TSLA") as caught:
        load_market("MSFT", mode="store")
    assert "--data sample" in str(caught.value)
    with pytest.raises(NoDataError, match="asked for 2020-08-03 to 2021-01-04"):
        load_market("TSLA", mode="store", start=JULY, end=date(2021, 1, 4))
    assert asked == []


def test_a_ticker_in_neither_names_both_mends_and_near_names(store: Store) -> None:
    with pytest.raises(NoDataError, match="did you mean") as caught:
        load_market("MFST")
    text = str(caught.value)
    assert "MSFT" in text
    assert "backtest data import FILE --ticker MFST" in text
    assert "backtest data pull MFST --source yahoo --start" in text


def test_dates_that_are_not_covered_name_the_span(store: Store) -> None:
    with pytest.raises(NoDataError, match="sample world has MSFT from 2020-01-02 to 2024-12-31, asked for"):
        load_market("MSFT", start=date(2030, 1, 2))
    with pytest.raises(NoDataError, match="the store has JNJ from 2020-08-03 to 2020-11-13, asked for"):
        load_market("JNJ", start=date(2030, 1, 2))


def test_damaged_store_is_an_error_and_not_a_reason_for_made_up_data(store: Store) -> None:
    folder = store.folder / "TSLA"
    (folder / "bars.parquet").write_bytes((store.folder / "JNJ" / "bars.parquet").read_bytes())
    with pytest.raises(IntegrityError):
        load_market("TSLA")
    (folder / "provenance.json").write_text("{")
    with pytest.raises(StorageError):
        load_market("TSLA")


def test_bad_settings(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="unknown data mode 'stored'"):
        load_market("TSLA", mode="stored")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="cannot be used"):
        load_market("../x")


def test_covers_counts_sessions_and_not_days() -> None:
    span = ("XNYS", "2024-01-02", "2024-03-28")
    assert covers(*span, date(2023, 12, 30), date(2024, 3, 31))  # New Year's Day and Easter
    assert not covers(*span, date(2023, 12, 29), None)
    assert not covers(*span, None, date(2024, 4, 1))
    assert not covers("24/7", "2024-01-02", "2024-03-28", date(2024, 1, 1), None)
    assert not covers("XNYS", "", "", None, None)
