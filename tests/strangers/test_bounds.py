"""What a small file can unpack to, how deep it can nest, and how long a program in it can run, is bounded."""

import io
import json
import resource
import shutil
import sqlite3
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from langchain_core.messages import HumanMessage

from tests.strangers.doors import expected
from tests.support.mutations import EACH_KIND, places, replaced, without
from tests.support.tiny_models import write_tiny_llm
from varve.backtests.record.inputs import read_inputs
from varve.bounded import BeyondBounds, check_depth, parse_json, parse_toml, read_parquet
from varve.config import read_toml
from varve.errors import BadFileError, IntegrityError, ModelError, StorageError, VarveError
from varve.files import read_json
from varve.finllm.chat.open_model import open_model
from varve.finllm.chat.reply_cache import ReplyCache
from varve.finllm.engine.model_folder import read_folder
from varve.market.store import Store
from varve.memory.disk.snapshot import read_snapshot

DEEP = 10_000
ROWS = 1_000_000


def written(table, **more):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **more)
    return buffer.getvalue()


def repeated(length):
    """A million times one text, which Parquet keeps once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * ROWS, pa.int32()), pa.array(["x" * length]))


TENS = pa.array(range(0, ROWS + 1, 10), pa.int32())
BOMBS = {
    "one text a million times": lambda: written(pa.table({"text": repeated(6500)}), store_schema=False),
    "in lists": lambda: written(
        pa.table({"l": pa.ListArray.from_arrays(TENS, repeated(6500))}),
        store_schema=False,
    ),
    "zeros": lambda: written(
        pa.table({"v": pa.array(bytes(2**20) for _ in range(1100))}), compression="zstd", use_dictionary=False
    ),
    "rows": lambda: written(pa.table({"n": pa.nulls(2 * ROWS + 1, pa.int8())})),
    "columns": lambda: written(pa.table({f"c{i}": [1] for i in range(1000)})),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_table_that_unpacks_to_more_than_there_is_room_for_is_not_unpacked(name, tmp_path, varve_home):
    bomb = BOMBS[name]()
    assert len(bomb) < 4 * 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    with pytest.raises(BeyondBounds):
        read_parquet(bomb)
    file = tmp_path / "bomb.parquet"
    file.write_bytes(bomb)
    for read in (read_inputs, read_snapshot):
        with pytest.raises(BadFileError):
            read(file)
    assert time.monotonic() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # KB


def test_a_stored_ticker_that_is_a_bomb_is_refused(backtest, varve_home, tmp_path):
    rows = "".join(f"2023-01-{day:02},{100 + day}\n" for day in (3, 4, 5, 6, 9, 10, 11, 12, 13, 17, 18, 19))
    file = tmp_path / "a.csv"
    file.write_text(f"Date,Close\n{rows}")
    assert backtest("data", "import", file, "--ticker", "BOMB")[0] == 0
    (varve_home / "data" / "BOMB" / "documents.parquet").write_bytes(BOMBS["one text a million times"]())
    with pytest.raises(StorageError, match="unpacks to more than"):
        Store().read("BOMB")
    assert backtest("data", "show", "BOMB")[0] == 3


@pytest.mark.parametrize("table", [
    pa.table({"a": pa.array(["x", None, "y"]), "n": pa.array([1.5, None, float("nan")])}),
    pa.table({"v": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)), "l": [["a"], []]}),
    pa.table({"a": pa.array([], pa.string()), "v": pa.array([], pa.list_(pa.string()))}),
    pa.table({"d": pa.array([0, 1], pa.date32()), "t": pa.array([0, 1], pa.timestamp("us", "UTC"))}),
])  # fmt: skip
def test_a_table_within_bounds_is_read_as_it_was_written(table):
    read = read_parquet(written(table.replace_schema_metadata({"a": "b"})))
    assert read.schema.equals(table.schema)
    assert repr(read.to_pydict()) == repr(table.to_pydict())
    assert read.schema.metadata[b"a"] == b"b"


@pytest.mark.parametrize("text", [
    "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP, "[" * 61 + "]" * 61, "1" * 500, "1e999",
    "NaN", "-Infinity", '"\\ud800"', '{"\\udfff": 1}',
])  # fmt: skip
def test_json_that_nothing_writes_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(BadFileError):
        read_json(file, mend="x")


def test_json_that_is_deep_enough_is_read():
    assert parse_json("[" * 60 + "]" * 60)
    assert parse_json('{"a": [1, 2.5, "\\ud83d\\ude00", null]}') == {"a": [1, 2.5, "😀", None]}


@pytest.mark.parametrize("text", [
    "a = " + "[" * DEEP, "a = " + "[" * DEEP + "]" * DEEP, "a." * DEEP + "b = 1", "[" + "a." * DEEP + "b]",
    '"a" . ' * DEEP + "b = 1", "a = " + "{b = " * 500 + "1" + "}" * 500, "a = " + "[" * 70 + "]" * 70,
])  # fmt: skip
def test_toml_that_nests_deep_is_refused_at_once(backtest, text, tmp_path):
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"nested too deep|Unclosed|Expected|end of document|Invalid"):
        parse_toml(text)
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(BadFileError):
        read_toml(file)
    assert backtest("sweep", file)[0] == 3
    assert backtest("run", "--config", file)[0] == 3
    assert time.monotonic() - started < 10


def test_a_settings_file_without_end_is_refused(backtest):
    for command in (["sweep", "/dev/zero"], ["run", "--config", "/dev/zero"]):
        code, _, err = backtest(*command)
        assert code == 3
        assert "more than" in err


def test_depth_counts_lists_and_tables():
    check_depth({"a": [{"b": 1}]}, limit=3)
    with pytest.raises(BeyondBounds):
        check_depth({"a": [{"b": 1}]}, limit=2)


@pytest.mark.parametrize("more", [
    "CREATE TRIGGER t AFTER INSERT ON replies BEGIN DELETE FROM replies; END",
    "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    "CREATE INDEX i ON replies (length(randomblob(100)))",
])  # fmt: skip
def test_a_database_with_a_program_in_it_is_not_used(more, tmp_path):
    path = tmp_path / "replies.db"
    ReplyCache(path).close()
    db = sqlite3.connect(path)
    try:
        db.execute(more)
    except sqlite3.OperationalError:  # SQLite itself takes no such index
        db.execute("CREATE INDEX i ON replies (length(reply))")
    db.commit()
    db.close()
    with pytest.raises(IntegrityError, match="which no Varve makes"):
        ReplyCache(path)


def test_a_database_with_a_huge_text_is_no_traceback(tmp_path):
    path = tmp_path / "replies.db"
    ReplyCache(path).close()
    db = sqlite3.connect(path)
    db.execute(
        "INSERT INTO replies VALUES ('a', 'm', 'f', 't', zeroblob(300000000), 'u', 's')".replace(
            "zeroblob(300000000)", "CAST(zeroblob(300000000) AS TEXT)"
        )
    )
    db.commit()
    db.close()
    with ReplyCache(path) as cache, pytest.raises(VarveError):
        cache.stats()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_tiny_llm(folder, "plain")
    return folder


LOOPS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "recursion": "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "doubling": "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}"
    "{% endfor %}",
    "filters": "{% for a in range(99999) %}{{ range(99999) | map('string') | list | length }}{% endfor %}",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", LOOPS)
def test_a_chat_template_has_a_few_seconds(name, model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").write_text(LOOPS[name])
    started = time.monotonic()
    with pytest.raises(ModelError, match="chat template refuses"):
        open_model(f"hf:{folder}").invoke([HumanMessage("today")])
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("template", [
    "{{ 'a' * 999999999999 }}", "{{ 9 ** 9 ** 9 }}", "{% for %}", "{{ x", "{% if " * 5000, "[" * 100,
    "x" * 5_000_000,
])  # fmt: skip
def test_a_chat_template_that_cannot_be_meant_is_refused(template, model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (folder / "chat_template.jinja").write_text(template)
    if template == "[" * 100:
        assert read_folder(folder).template == template
    else:
        with pytest.raises(BadFileError):
            read_folder(folder)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_each_field_of_a_model_folder_replaced_by_each_kind_of_value(name, model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    whole = json.loads((folder / name).read_text())
    for path in places(whole):
        for value in EACH_KIND:
            (folder / name).write_text(json.dumps(replaced(whole, path, value)))
            _read(folder)
        (folder / name).write_text(json.dumps(without(whole, path)))
        _read(folder)


@pytest.mark.timeout(600)
def test_each_field_of_a_header_of_weights_replaced_by_each_kind_of_value(model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (file,) = folder.glob("*.safetensors")
    raw = file.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    for path in list(places(header))[:20]:
        for value in EACH_KIND:
            told = json.dumps(replaced(header, path, value)).encode()
            file.write_bytes(len(told).to_bytes(8, "little") + told + raw[8 + size :])
            _read(folder)
    for told in (b"[" * 50_000, b"{}", b"[]", b'{"a": 1}', b"\xff"):
        file.write_bytes(len(told).to_bytes(8, "little") + told)
        _read(folder)
    file.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(BadFileError):
        read_folder(folder)


def _read(folder):
    found = expected(read_folder, folder)
    assert found is None or found.parameters >= 0


def test_a_config_that_describes_more_than_there_are_weights_is_refused(model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    for name, value in (("num_hidden_layers", 10**6), ("hidden_size", 10**12), ("num_hidden_layers", -1)):
        (folder / "config.json").write_text(json.dumps({**config, name: value}))
        with pytest.raises(BadFileError, match=name):
            read_folder(folder)
