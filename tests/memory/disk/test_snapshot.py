"""Snapshots: a memory as a file, and memories that begin with one."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory.disk.test_store import live_some_days, through_json
from tests.support.memory_helpers import TableEmbedder, day, make, put
from varve.errors import BadFileError, IntegrityError, StorageError, UsageError
from varve.memory import HashingEmbedder, LayeredMemory, MemoryConfig
from varve.memory.disk.snapshot import read_snapshot, take_snapshot, write_snapshot
from varve.types import Trace

SOURCE = {"run_id": "warm", "embedder": "table"}


def snapshot_of(memory, now=30):
    return take_snapshot([memory.image()], memory.embedder, day(now), synthetic=True, source=SOURCE)


def begun_with(snapshot, **rest):
    return LayeredMemory(MemoryConfig.build(), TableEmbedder(), snapshot=snapshot, **rest)


@pytest.fixture
def warm():
    memory = make()
    live_some_days(memory)
    memory.credit(["m000080"], 1, day(30))  # moves and counters in the middle of a session
    return memory


def lives_of(memory):
    return {one: (memory.get(one), memory._state.life(one)) for one in memory.ids()}


@pytest.mark.parametrize("days", [0, 30])
def test_what_is_written_is_read_again_to_the_bit(tmp_path, days):
    memory = make()
    live_some_days(memory, 0, days)
    snapshot = snapshot_of(memory)
    write_snapshot(tmp_path / "s.parquet", snapshot)
    again = read_snapshot(tmp_path / "s.parquet")
    assert again.id == snapshot.id
    assert (again.last_available_at, again.synthetic, again.source) == (day(30), True, SOURCE)
    (one,), (other,) = snapshot.images.values(), again.images.values()
    assert (one.name, one.counters, dict(one.config)) == (other.name, other.counters, dict(other.config))
    assert len(again) == len(memory)
    for before, after in zip(one.rows, other.rows, strict=True):
        assert before.record == after.record
        assert before.life == after.life
        assert before.vector.tobytes() == after.vector.tobytes()


def test_a_memory_that_begins_with_a_snapshot_goes_on_as_the_one_that_was_taken(warm):
    again = begun_with(snapshot_of(warm))
    assert lives_of(again) == lives_of(warm)
    for memory in (warm, again):
        live_some_days(memory, 31, 60)
    assert lives_of(again) == lives_of(warm)
    assert again.sessions == warm.sessions
    for now in (60, 90):
        assert again.recall("news 44", day(now), 6) == warm.recall("news 44", day(now), 6)


actions = st.lists(
    st.tuples(
        st.integers(1, 25), st.integers(0, 3), st.sampled_from([-1, 0, 1]), st.sampled_from([-3, 0, 8])
    ),
    max_size=20,
)


@settings(max_examples=40, deadline=None)
@given(actions, st.sampled_from(["varve", "finmem-code", "finmem-paper"]))
def test_any_memory_and_its_snapshot_are_alike(tmp_path_factory, drawn, preset):
    memory, now, ids = make(preset), 0, []
    for gap, news, reward, late in drawn:
        now += gap
        ids += [put(memory, f"news {now % 7} {i}", at=max(0, now + late), now=now) for i in range(news)]
        memory.credit(ids[-2:], reward, day(now))
        memory.close_session(day(now))
    snapshot = snapshot_of(memory, now)
    file = tmp_path_factory.mktemp("s") / "s.parquet"
    write_snapshot(file, snapshot)
    again = LayeredMemory(memory.config, TableEmbedder(), snapshot=read_snapshot(file))
    assert lives_of(again) == lives_of(memory)
    assert again.recall("news 3", day(now + 4), 5) == memory.recall("news 3", day(now + 4), 5)
    assert snapshot_of(again, now).id == snapshot.id


def test_the_id_is_that_of_the_content(warm):
    one = snapshot_of(warm)
    elsewhere = take_snapshot(
        [warm.image()], warm.embedder, day(30), synthetic=True, source={"run_id": "other"}
    )
    assert elsewhere.id == one.id
    assert snapshot_of(warm, 31).id != one.id
    put(warm, "one more", at=30)
    assert snapshot_of(warm).id != one.id


def test_the_last_available_date_is_that_of_the_latest_fact():
    memory = make()
    put(memory, "read today", at=3)
    assert snapshot_of(memory, 5).last_available_at == day(5)
    put(memory, "readable next week", at=12, now=3)
    assert snapshot_of(memory, 5).last_available_at == day(12)


def test_the_journal_tells_all_of_what_a_memory_began_with(tmp_path, warm):
    trace = Trace()
    memory = begun_with(snapshot_of(warm), trace=trace, folder=tmp_path, run_id="cold")
    live_some_days(memory, 31, 40)
    events = through_json(trace.memory_events)
    assert [e.kind for e in events[: len(warm) + 1]] == ["snapshot"] + ["imported"] * len(warm)
    again = LayeredMemory.replay(events, memory.config, TableEmbedder())
    assert again.digest() == memory.digest()
    memory.close()
    for made in (
        LayeredMemory.resume(events, memory.config, TableEmbedder(), folder=tmp_path, run_id="cold"),
        LayeredMemory.load(memory.config, TableEmbedder(), folder=tmp_path, run_id="cold"),
    ):
        assert made.digest() == memory.digest()
        made.close()


def test_events_of_a_snapshot_come_first_and_whole(warm):
    trace = Trace()
    begun_with(snapshot_of(warm), trace=trace)
    first, *rest = trace.memory_events
    with pytest.raises(IntegrityError, match="none of its snapshot"):
        LayeredMemory.replay(rest, warm.config, TableEmbedder())
    with pytest.raises(IntegrityError, match="after the memory had begun"):
        LayeredMemory.replay([first, *rest, first], warm.config, TableEmbedder())


def test_a_snapshot_of_another_embedder_or_name_is_refused(warm):
    snapshot = snapshot_of(warm)
    with pytest.raises(UsageError, match=r"with embedder 'table-1' of dimension 16.*'hashing") as caught:
        LayeredMemory(MemoryConfig.build(), HashingEmbedder(), snapshot=snapshot)
    assert "--embedder table" in caught.value.mend
    with pytest.raises(UsageError, match="no memory 'market', but finmem"):
        begun_with(snapshot, name="market")
    with pytest.raises(UsageError, match="none given"):
        take_snapshot([], HashingEmbedder(), day(0), synthetic=False, source={})


def _told(file):
    return json.loads(pq.read_schema(file).metadata[b"varve-memory"])


def _changed(file, *, told=None, **columns):
    table = pq.read_table(file)
    for name, change in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(name)
        table = table.set_column(place, field, pa.array(change(table[name].to_pylist()), field.type))
    if told:
        meta = json.dumps({**_told(file), **told}).encode()
        table = table.replace_schema_metadata({b"varve-memory": meta})
    pq.write_table(table, file)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: f.unlink(), "cannot be read"),
        (lambda f: f.write_bytes(b"PAR1 no parquet"), "cannot be read"),
        (lambda f: f.write_bytes(f.read_bytes()[:5000]), "cannot be read"),
        (lambda f: pq.write_table(pa.table({"a": [1]}), f), "cannot be read"),
        (lambda f: _changed(f, told={"schema": 2}), "schema 2, this version reads up to 1"),
        (lambda f: _changed(f, told={"last_available_at": "2020-01-01T00:00:00Z"}), "was changed"),
        (lambda f: _changed(f, told={"synthetic": False}), "was changed"),
        (lambda f: _changed(f, text=lambda rows: ["other", *rows[1:]]), "was changed"),
        (lambda f: _changed(f, net_credits=lambda rows: [9.0, *rows[1:]]), "was changed"),
        (lambda f: _changed(f, id=lambda rows: [None, *rows[1:]]), "cannot be read|was changed"),
        (lambda f: _changed(f, vector=lambda rows: [[float("nan")] * 16, *rows[1:]]), "NaN"),
        (lambda f: _changed(f, vector=lambda rows: [rows[1], *rows[1:]]), "was changed"),
        (lambda f: _changed(f, memory=lambda rows: ["other", *rows[1:]]), "cannot be read"),
    ],
)
def test_a_file_that_is_no_whole_snapshot_is_refused(tmp_path, warm, harm, said):
    file = tmp_path / "s.parquet"
    write_snapshot(file, snapshot_of(warm))
    harm(file)
    with pytest.raises(BadFileError, match=said):
        read_snapshot(file)


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing(tmp_path, warm):
    with pytest.raises(StorageError, match="cannot be written"):
        write_snapshot(tmp_path / "no" / "s.parquet", snapshot_of(warm))
    assert list(tmp_path.iterdir()) == []


def test_vectors_are_kept_as_they_are(tmp_path, warm):
    file = tmp_path / "s.parquet"
    write_snapshot(file, snapshot_of(warm))
    vectors = np.array(pq.read_table(file)["vector"].to_pylist(), np.float32)
    assert vectors.shape == (len(warm), 16)
    again = begun_with(read_snapshot(file))
    assert again.embedder.calls == []
