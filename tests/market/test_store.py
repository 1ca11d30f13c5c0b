from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from varve.errors import DataError, IntegrityError, NoDataError, SettingError, StorageError
from varve.market import store as store_module
from varve.market.data import InstrumentData
from varve.market.store import Store, check_ticker
from varve.types import CorporateEvent, Document

MakeData = Callable[..., InstrumentData]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


@pytest.fixture
def data(make_data: MakeData) -> InstrumentData:
    made = make_data("TSLA", splits={date(2020, 8, 31): 5.0})
    at = datetime(2020, 9, 1, 1, 2, 3, 456789, tzinfo=UTC)
    filing = Document("f", "TSLA", "10-K", "Zahlen: Größe, 数字 🙂\n\x00", at - timedelta(days=1), at)
    dividend = CorporateEvent("TSLA", "dividend", date(2020, 9, 15), 0.1 + 0.2)
    return replace(made, documents=(*made.documents, filing), events=(*made.events, dividend))


def same(a: InstrumentData, b: InstrumentData) -> bool:
    columns = ("sessions", "start_ns", "end_ns", "open", "high", "low", "close", "volume")
    return (
        all(getattr(a.bars, c).tobytes() == getattr(b.bars, c).tobytes() for c in columns)
        and all(getattr(a.bars, c).dtype == getattr(b.bars, c).dtype for c in columns)
        and (a.instrument, a.provenance, a.documents, a.events)
        == (b.instrument, b.provenance, b.documents, b.events)
        and a.content_hash == b.content_hash
    )


@pytest.mark.parametrize("opens", [True, False])
def test_what_is_written_is_read_to_the_bit(store: Store, data: InstrumentData, opens: bool) -> None:
    if not opens:
        nothing = np.full(len(data.bars), np.nan)
        data = replace(data, bars=replace(data.bars, open=nothing, high=nothing, low=nothing, volume=nothing))
    entry = store.write(data)
    read = store.read("TSLA")
    assert same(read, data)
    assert read.documents[0].available_at.tzinfo is not None
    assert entry == store.list()[0] == store.entry("TSLA")
    assert (entry.bars, entry.documents, entry.events) == (len(data.bars), len(data.documents), 2)
    assert (entry.first_session, entry.last_session) == ("2020-08-03", "2020-11-13")
    assert (entry.source, entry.calendar, entry.currency, entry.problem) == ("test", "XNYS", "USD", None)


def test_data_without_documents_and_events_is_read_back(store: Store, data: InstrumentData) -> None:
    bare = replace(data, documents=(), events=())
    store.write(bare)
    assert same(store.read("TSLA"), bare)


def test_files_are_where_the_docs_say(store: Store, data: InstrumentData) -> None:
    store.write(data)
    names = sorted(path.name for path in (store.folder / "TSLA").iterdir())
    assert names == ["bars.parquet", "documents.parquet", "events.parquet", "provenance.json"]
    raw = json.loads((store.folder / "TSLA" / "provenance.json").read_text())
    expected = {"source", "pulled_at", "adjustment", "content_hash", "fill_rule", "instrument"}
    assert expected | {"schema_version"} <= set(raw)
    assert [path.name for path in store.folder.iterdir() if path.name.startswith(".")] == [".lock"]


def test_default_folder_is_under_varve_home(varve_home: Path, data: InstrumentData) -> None:
    Store().write(data)
    assert (varve_home / "data" / "TSLA" / "bars.parquet").is_file()


def test_has_list_remove(store: Store, data: InstrumentData, make_data: MakeData) -> None:
    assert (store.has("TSLA"), store.list(), store.tickers()) == (False, [], ())
    store.write(data)
    store.write(make_data("ACME"))
    assert store.tickers() == ("ACME", "TSLA")
    store.remove("TSLA")
    assert (store.has("TSLA"), store.has("ACME")) == (False, True)
    with pytest.raises(NoDataError):
        store.remove("TSLA")


def test_unknown_ticker_names_near_ones_and_what_mends_it(store: Store, data: InstrumentData) -> None:
    store.write(data)
    with pytest.raises(NoDataError, match=r"'TSAL'.*near names: TSLA") as caught:
        store.read("TSAL")
    assert "backtest data import FILE --ticker TSAL" in str(caught.value)
    assert "backtest data pull TSAL" in str(caught.value)


BAD_TICKERS = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "/etc",
    ".x",
    "x.",
    "a..b",
    "TSLA\n",
    "T SLA",
    "ÄB",
    "-x",
]


@pytest.mark.parametrize("ticker", [*BAD_TICKERS, "\x00", "x" * 33, "~"])
def test_unsafe_tickers_are_refused_everywhere(store: Store, data: InstrumentData, ticker: str) -> None:
    bad = replace(data, instrument=replace(data.instrument, symbol=ticker))
    actions: list[Callable[[], Any]] = [
        lambda: store.write(bad),
        lambda: store.read(ticker),
        lambda: store.has(ticker),
        lambda: store.remove(ticker),
        lambda: store.entry(ticker),
    ]
    for act in actions:
        with pytest.raises(SettingError, match="cannot be used"):
            act()
    assert not store.folder.exists()


@given(ticker=st.text(max_size=40))
def test_a_ticker_that_passes_is_one_plain_folder_name(ticker: str) -> None:
    try:
        check_ticker(ticker)
    except SettingError:
        return
    path = Path("/data") / ticker
    assert path.parent == Path("/data")
    assert path.resolve() == path
    assert not ticker.startswith(".")


@pytest.mark.parametrize("ticker", ["TSLA", "BRK-B", "ETH-USD", "^GSPC", "EURUSD=X", "0700.HK", "jnj", "A_1"])
def test_usual_tickers_pass(ticker: str) -> None:
    assert check_ticker(ticker) == ticker


def test_spellings_that_differ_in_case_only_are_refused(store: Store, data: InstrumentData) -> None:
    store.write(data)
    lower = replace(data, instrument=replace(data.instrument, symbol="tsla"))
    with pytest.raises(SettingError, match="upper and lower case"):
        store.write(lower)


def test_links_are_not_followed(store: Store, data: InstrumentData, tmp_path: Path) -> None:
    outside = Store(tmp_path / "outside")
    outside.write(data)
    store.folder.mkdir()
    (store.folder / "TSLA").symlink_to(outside.folder / "TSLA")
    for act in (lambda: store.read("TSLA"), lambda: store.write(data), lambda: store.remove("TSLA")):
        with pytest.raises(StorageError, match="symbolic link"):
            act()
    assert store.list()[0].problem is not None
    (store.folder / "TSLA").unlink()
    store.write(data)
    bars = store.folder / "TSLA" / "bars.parquet"
    bars.unlink()
    bars.symlink_to(outside.folder / "TSLA" / "bars.parquet")
    with pytest.raises(StorageError, match="symbolic link"):
        store.read("TSLA")
    assert same(outside.read("TSLA"), data)


def other(data: InstrumentData) -> InstrumentData:
    return replace(data, bars=replace(data.bars, close=data.bars.close * 1.5))


def test_a_write_replaces_whole(store: Store, data: InstrumentData) -> None:
    store.write(data)
    store.write(other(data))
    assert same(store.read("TSLA"), other(data))
    assert sorted(p.name for p in store.folder.iterdir()) == [".lock", "TSLA"]


@pytest.mark.parametrize("broken", ["write_tables", "_sync", "_swap_in"])
def test_an_error_at_any_step_leaves_the_old_data_whole(
    store: Store, data: InstrumentData, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    store.write(data)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    owner = Store if broken == "_swap_in" else store_module
    monkeypatch.setattr(owner, broken, full)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        store.write(other(data))
    assert "VARVE_HOME" in str(caught.value)
    monkeypatch.undo()
    assert same(store.read("TSLA"), data)
    assert sorted(p.name for p in store.folder.iterdir()) == [".lock", "TSLA"]


@pytest.mark.parametrize("nth", [1, 2])
def test_an_error_in_a_rename_leaves_the_old_data_whole(
    store: Store, data: InstrumentData, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    store.write(data)
    rename, calls = Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == nth:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StorageError, match="Input/output error"):
        store.write(other(data))
    monkeypatch.undo()
    assert len(calls) >= nth
    assert same(store.read("TSLA"), data)


CRASH = """
import os, sys
from pathlib import Path
from dataclasses import replace
from varve.market.store import Store
store, nth = Store(Path(sys.argv[1])), int(sys.argv[2])
data = store.read("TSLA")
rename, count = Path.rename, 0
def dying(self, target):
    global count
    count += 1
    if count == nth:
        os._exit(9)
    return rename(self, target)
Path.rename = dying
store.write(replace(data, bars=replace(data.bars, close=data.bars.close * 1.5)))
"""


@pytest.mark.parametrize("nth", [1, 2])
def test_a_process_killed_between_the_renames_leaves_the_old_data_whole(
    store: Store, data: InstrumentData, nth: int
) -> None:
    store.write(data)
    ended = subprocess.run([sys.executable, "-c", CRASH, str(store.folder), str(nth)], check=False)
    assert ended.returncode == 9
    assert (store.folder / "TSLA").exists() == (nth == 1)
    assert store.has("TSLA")
    assert same(store.read("TSLA"), data)
    store.write(other(data))
    assert same(store.read("TSLA"), other(data))


def test_a_crash_after_the_swap_keeps_the_new_data(store: Store, data: InstrumentData) -> None:
    store.write(data)
    (store.folder / "TSLA").rename(store.folder / ".previous-TSLA")
    store.write(other(data))
    assert same(store.read("TSLA"), other(data))
    assert not (store.folder / ".previous-TSLA").exists()


@pytest.mark.parametrize("name", ["bars", "documents", "events"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "missing", "other"])
def test_damaged_parquet_is_one_clear_error(
    store: Store, data: InstrumentData, make_data: MakeData, tmp_path: Path, name: str, damage: str
) -> None:
    store.write(data)
    path = store.folder / "TSLA" / f"{name}.parquet"
    raw = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "other":
        elsewhere = Store(tmp_path / "elsewhere")
        elsewhere.write(make_data("TSLA", seed=9, end=date(2020, 10, 1), splits={date(2020, 9, 2): 3.0}))
        path.write_bytes((elsewhere.folder / "TSLA" / f"{name}.parquet").read_bytes())
    else:
        path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else b"x" * len(raw))
    with pytest.raises((StorageError, IntegrityError), match="'TSLA'") as caught:
        store.read("TSLA")
    assert isinstance(caught.value, IntegrityError) == (damage == "other")
    assert "backtest data import FILE --ticker TSLA" in str(caught.value)
    store.write(data)
    assert same(store.read("TSLA"), data)


def test_every_flipped_byte_is_noticed_or_harmless(store: Store, data: InstrumentData) -> None:
    store.write(data)
    rng = np.random.default_rng(7)
    for name in ("bars", "documents", "events"):
        path = store.folder / "TSLA" / f"{name}.parquet"
        raw = path.read_bytes()
        for at in rng.integers(0, len(raw), 40):
            flipped = bytearray(raw)
            flipped[at] ^= 0xFF
            path.write_bytes(bytes(flipped))
            with contextlib.suppress(DataError, IntegrityError):
                assert same(store.read("TSLA"), data)
        path.write_bytes(raw)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema_version": 1}', "null", '{"schema_version": "1"}']
)
def test_damaged_provenance_is_one_clear_error_and_leaves_the_list_usable(
    store: Store, data: InstrumentData, make_data: MakeData, text: str
) -> None:
    store.write(data)
    store.write(make_data("ACME"))
    (store.folder / "TSLA" / "provenance.json").write_text(text)
    with pytest.raises(StorageError, match=r"provenance\.json"):
        store.read("TSLA")
    listed = store.list()
    assert [entry.ticker for entry in listed] == ["ACME", "TSLA"]
    assert listed[0].problem is None
    assert listed[1].problem is not None


def test_newer_schema_is_refused_by_name(store: Store, data: InstrumentData) -> None:
    store.write(data)
    path = store.folder / "TSLA" / "provenance.json"
    path.write_text(json.dumps({"schema_version": 2, "renamed": True}))
    with pytest.raises(StorageError, match="newer Varve: its schema is 2") as caught:
        store.read("TSLA")
    assert "install the newer Varve" in str(caught.value)


def test_a_folder_with_another_tickers_data_is_refused(store: Store, data: InstrumentData) -> None:
    store.write(data)
    (store.folder / "TSLA").rename(store.folder / "AMZN")
    with pytest.raises(IntegrityError, match="'AMZN' holds data of 'TSLA'"):
        store.read("AMZN")


def test_unwritable_home_is_one_clear_error(tmp_path: Path, data: InstrumentData) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file" / "data")
    with pytest.raises(StorageError, match="cannot be made: Not a directory") as caught:
        store.write(data)
    assert "set VARVE_HOME" in str(caught.value)
    with pytest.raises(StorageError, match="cannot be read"):
        store.has("TSLA")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_read_only_home_can_be_read_and_not_written(store: Store, data: InstrumentData) -> None:
    store.write(data)
    (store.folder / ".lock").unlink()
    store.folder.chmod(0o555)
    try:
        assert same(store.read("TSLA"), data)
        with pytest.raises(StorageError, match="Permission denied"):
            store.write(data)
    finally:
        store.folder.chmod(0o755)


def test_content_hash_knows_one_nan(data: InstrumentData) -> None:
    quiet = np.full(len(data.bars), np.nan)
    negative = -quiet
    assert quiet.tobytes() != negative.tobytes()
    one, two = (replace(data, bars=replace(data.bars, open=column)) for column in (quiet, negative))
    assert one.content_hash == two.content_hash
    assert one.content_hash != data.content_hash
