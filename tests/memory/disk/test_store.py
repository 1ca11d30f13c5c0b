"""The memory on disk: batches, loading, agreement with the journal, files held open."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.support.memory_helpers import TableEmbedder, day, make, put
from varve.clock import iso, parse_iso
from varve.errors import IntegrityError, NoDataError, StorageError
from varve.memory import HashingEmbedder, LayeredMemory, MemoryConfig
from varve.memory.disk import chroma as store_module
from varve.types import MemoryEvent, Trace


@pytest.fixture
def trace():
    return Trace()


def live_some_days(memory, first=0, last=30):
    """A month of news, reports, credits, jumps and purges."""
    for n in range(first, last):
        ids = [put(memory, f"news {n} {i}", at=n) for i in range(3)]
        if n % 10 == 0:
            put(memory, f"report {n}", at=n, tier="mid", metadata={"page": n})
            put(memory, f"news {n} 0", at=n)
        put(memory, f"thought {n}", at=n, tier="reflection", links=(ids[0],))
        memory.recall(f"news {n}", day(n), 3)
        memory.credit(ids[:2], 1 if n % 3 else -1, day(n))
        if n % 4 == 0:
            memory.credit(ids[:1], 1, day(n))
        memory.close_session(day(n))


def through_json(events):
    """Events as a journal gives them back."""
    return [
        MemoryEvent(e.kind, e.memory_id, parse_iso(iso(e.at)), json.loads(json.dumps(dict(e.data))))
        for e in events
    ]


def test_what_was_written_is_loaded_again_exactly(tmp_path, trace):
    memory = make(folder=tmp_path, trace=trace)
    live_some_days(memory)
    expected = memory.recall("news 4", day(31), 5), memory.digest()
    memory.close()
    again = LayeredMemory.load(memory.config, TableEmbedder(), folder=tmp_path)
    assert again.embedder.calls == []  # vectors come from the store
    assert (again.recall("news 4", day(31), 5), again.digest()) == expected
    live_some_days(again, 31, 35)
    live_some_days(memory, 31, 35)
    assert again.digest() == memory.digest()
    again.close()


def test_a_store_is_read_in_pages_and_nothing_is_lost_or_twice(tmp_path, monkeypatch):
    memory = make(folder=tmp_path)
    live_some_days(memory)
    expected = memory.digest()
    memory.close()
    monkeypatch.setattr(store_module, "_PAGE", 7)
    again = LayeredMemory.load(memory.config, TableEmbedder(), folder=tmp_path)
    assert again.digest() == expected
    again.close()


def test_writes_come_in_one_batch_every_so_many_sessions(tmp_path, monkeypatch):
    writes = []
    write = store_module.ChromaStore.write
    monkeypatch.setattr(
        store_module.ChromaStore, "write", lambda self, *a, **k: (writes.append(1), write(self, *a, **k))
    )
    memory = LayeredMemory(MemoryConfig.build(flush_every_sessions=21), TableEmbedder(), folder=tmp_path)
    live_some_days(memory, 0, 50)
    assert len(writes) == 2
    memory.close()
    assert len(writes) == 3


def test_without_a_folder_nothing_of_chromadb_is_touched(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a memory without a folder opened a store")

    monkeypatch.setattr(store_module._Opened, "open", refuse)
    memory = make()
    live_some_days(memory, 0, 25)
    memory.flush()
    memory.close()
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_memory_equals_the_one_that_was_never_interrupted(tmp_path, trace):
    config = MemoryConfig.build(flush_every_sessions=21)
    memory = LayeredMemory(config, TableEmbedder(), trace=trace, folder=tmp_path)
    live_some_days(memory, 0, 25)  # flushed after 21 sessions, four are in the journal alone
    events, digest = through_json(trace.memory_events), memory.digest()
    memory.abandon()
    embedder = TableEmbedder()
    again = LayeredMemory.resume(events, config, embedder, folder=tmp_path)
    assert again.digest() == digest
    embedded = [text for call in embedder.calls for text in call]
    assert embedded
    assert all(text.split()[1] in ("21", "22", "23", "24") for text in embedded)
    again.close()
    loaded = LayeredMemory.load(config, TableEmbedder(), folder=tmp_path)
    assert loaded.digest() == digest
    loaded.close()


@pytest.mark.parametrize("harm", ["history", "cut_short", "row", "file", "gone"])
def test_a_store_that_differs_from_the_journal_is_rebuilt_from_it(tmp_path, trace, harm):
    config = MemoryConfig.build()
    memory = LayeredMemory(config, TableEmbedder(), trace=trace, folder=tmp_path / "m")
    live_some_days(memory, 0, 25)
    memory.close()
    events, digest = through_json(trace.memory_events), memory.digest()
    if harm == "history":
        live_some_days(other := make(trace=(told := Trace())), 0, 26)
        events, digest = through_json(told.memory_events), other.digest()
        events[0] = MemoryEvent("added", "m000001", events[0].at, {**events[0].data, "scope": "other"})
        digest = LayeredMemory.replay(events, config, TableEmbedder()).digest()
    else:
        _harm(tmp_path / "m", harm)
    again = LayeredMemory.resume(events, config, TableEmbedder(), folder=tmp_path / "m")
    assert again.digest() == digest
    if harm == "file":
        again.abandon()
        return
    again.close()
    loaded = LayeredMemory.load(config, TableEmbedder(), folder=tmp_path / "m")
    assert loaded.digest() == digest
    loaded.close()


def _harm(folder, harm):
    if harm == "gone":
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    elif harm == "file":
        (folder / "chroma.sqlite3").write_bytes(b"this is no database" * 100)
    else:
        import chromadb
        from chromadb.config import Settings

        client = chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))
        collection = client.get_collection("run.finmem.short", embedding_function=None)
        if harm == "row":
            collection.delete(ids=collection.get(limit=1)["ids"])
        else:
            collection.modify(metadata={**collection.metadata, "state": "writing"})
        client.close()


def test_a_store_of_other_settings_or_another_embedder_is_refused(tmp_path):
    memory = make(folder=tmp_path)
    live_some_days(memory, 0, 3)
    memory.close()
    with pytest.raises(IntegrityError, match="config"):
        LayeredMemory.load(MemoryConfig.build(credit_points=3.0), TableEmbedder(), folder=tmp_path)
    with pytest.raises(IntegrityError, match="embedder"):
        LayeredMemory.load(memory.config, HashingEmbedder(), folder=tmp_path)
    with pytest.raises(NoDataError, match="no memory"):
        LayeredMemory.load(memory.config, TableEmbedder(), folder=tmp_path, run_id="other")


class OtherWeights(TableEmbedder):
    fingerprint = "table-2"


class OtherDimension(TableEmbedder):
    dimension = 8


@pytest.mark.parametrize(
    ("embedder", "said"),
    [
        (OtherWeights(), "with embedder 'table-1', this run has 'table-2'"),
        (OtherDimension(), "with dimension 16, this run has 8"),
    ],
)
def test_a_memory_goes_on_with_the_embedder_that_it_was_made_with(tmp_path, trace, embedder, said):
    memory = make(folder=tmp_path, trace=trace)
    live_some_days(memory, 0, 3)
    memory.close()
    events = through_json(trace.memory_events)
    for again in (
        lambda: LayeredMemory.load(memory.config, embedder, folder=tmp_path),
        lambda: LayeredMemory.resume(events, memory.config, embedder, folder=tmp_path),
    ):
        with pytest.raises(IntegrityError, match=said) as caught:
            again()
        assert "that it was made with, or start a new run" in caught.value.mend
    resumed = LayeredMemory.resume(events, memory.config, TableEmbedder(), folder=tmp_path)
    assert resumed.digest() == memory.digest()
    resumed.close()


def test_a_new_run_does_not_write_over_an_earlier_one(tmp_path):
    memory = make(folder=tmp_path)
    live_some_days(memory, 0, 2)
    memory.close()
    second = make(folder=tmp_path)
    put(second, "something else")
    second.close_session(day(0))
    with pytest.raises(StorageError, match="already holds"):
        second.close()
    second.abandon()
    first = LayeredMemory.load(memory.config, TableEmbedder(), folder=tmp_path)
    assert first.digest() == memory.digest()
    first.close()


def test_a_failed_write_is_an_error_and_the_next_one_makes_it_good(tmp_path, monkeypatch):
    memory = make(folder=tmp_path)
    live_some_days(memory, 0, 5)
    put_rows = store_module._put

    def full(collection, rows):
        if collection.name.endswith("mid"):
            raise OSError(28, "No space left on device")
        put_rows(collection, rows)

    monkeypatch.setattr(store_module, "_put", full)
    with pytest.raises(StorageError, match="No space left"):
        memory.flush()
    with pytest.raises(IntegrityError, match="cut short"):
        LayeredMemory.load(memory.config, TableEmbedder(), folder=tmp_path)
    monkeypatch.undo()
    memory.close()
    again = LayeredMemory.load(memory.config, TableEmbedder(), folder=tmp_path)
    assert again.digest() == memory.digest()
    again.close()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    memory = make(folder=tmp_path / "file" / "memory")
    put(memory, "fact")
    with pytest.raises(StorageError, match="cannot be made: Not a directory"):
        memory.flush()
    memory.abandon()


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts files held open in /proc")
@pytest.mark.parametrize("runs", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_many_runs_in_one_process_hold_few_files_open(tmp_path, runs):
    before, most = _open_files(), 0
    memories = [make(folder=tmp_path, run_id=f"run-{n}") for n in range(runs)]
    for memory in memories:
        put(memory, "a fact")
        put(memory, "a report", tier="long")
        memory.close_session(day(1))
        memory.flush()
        most = max(most, _open_files() - before)
    for memory in memories:
        memory.close()
    assert most < 100
    assert _open_files() - before < 10
    last = LayeredMemory.load(memories[0].config, TableEmbedder(), folder=tmp_path, run_id=f"run-{runs - 1}")
    assert len(last) == 2
    last.close()


def test_vectors_come_back_bit_for_bit(tmp_path):
    memory = make(embedder=HashingEmbedder(), folder=tmp_path)
    put(memory, "Tesla raises guidance after record deliveries")
    memory.close()
    again = LayeredMemory.load(memory.config, memory.embedder, folder=tmp_path)
    assert (again._state.tiers["short"].vectors[0] == memory._state.tiers["short"].vectors[0]).all()
    again.close()


def test_one_collection_per_run_memory_and_tier(tmp_path):
    memory = make(folder=tmp_path, run_id="2024 finmem/TSLA")
    put(memory, "fact")
    memory.close()
    with sqlite3.connect(tmp_path / "chroma.sqlite3") as db:
        names = sorted(name for (name,) in db.execute("select name from collections"))
    assert [name.rpartition(".")[2] for name in names] == ["long", "mid", "reflection", "short"]
    again = LayeredMemory.load(memory.config, TableEmbedder(), folder=tmp_path, run_id="2024 finmem/TSLA")
    assert len(again) == 1
    again.close()
