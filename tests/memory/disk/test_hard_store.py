"""Stores that cannot be used: full, read-only, in use, newer, damaged; each gets one clear message."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import chromadb
import pytest

from tests.support.memory_helpers import TableEmbedder, day, make, put
from varve.errors import IntegrityError, StorageError, UsageError
from varve.memory import LayeredMemory, MemoryConfig, NewMemory
from varve.memory.disk import chroma as store_module
from varve.memory.disk.chroma import SCHEMA
from varve.memory.disk.stored_vectors import with_stored
from varve.types import Trace

MEND = "backtest memory rebuild run"
ROOM = 2 * 1024**2


def load(folder):
    return LayeredMemory.load(MemoryConfig.build(), TableEmbedder(), folder=folder)


def resume(folder, events):
    return LayeredMemory.resume(events, MemoryConfig.build(), TableEmbedder(), folder=folder)


@pytest.fixture
def kept(tmp_path):
    """Folder and events of a small memory that was written and closed."""
    trace = Trace()
    memory = make(folder=tmp_path / "store", trace=trace)
    for n in range(5):
        put(memory, f"news {n}", at=n)
        memory.close_session(day(n))
    memory.close()
    return tmp_path / "store", trace.memory_events, memory.digest()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"this user may not mount a tmpfs: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_said_and_with_room_the_next_flush_makes_it_good(small_disk):
    trace = Trace()
    memory = make(folder=small_disk / "store", trace=trace)
    put(memory, "the first")
    memory.flush()
    fill = small_disk / "fill"
    handle = os.open(fill, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(handle, b"x" * 4096)
    os.close(handle)
    memory.add_many(
        [NewMemory(f"news {n} " + "x" * 400, "short", None, day(0), day(0), "news") for n in range(300)],
        now=day(0),
    )
    with pytest.raises(StorageError, match=r"cannot be written: .*(full|No space|space|I/O)") as caught:
        memory.flush()
    assert "the disk has room" in caught.value.mend
    assert MEND in caught.value.mend
    fill.unlink()
    subprocess.run(["mount", "-o", f"remount,size={20 * ROOM}", str(small_disk)], check=True)
    digest = memory.digest()
    memory.close()
    again = load(small_disk / "store")
    assert again.digest() == digest
    again.abandon()
    resumed = resume(small_disk / "store", trace.memory_events)
    assert resumed.digest() == digest
    resumed.abandon()


def test_a_quota_is_said_too(tmp_path):
    script = (
        "import resource, signal, sys\n"
        "from tests.support.memory_helpers import day, make, put\n"
        "from varve.errors import StorageError\n"
        "memory = make(folder=sys.argv[1])\n"
        "for n in range(400):\n"
        "    put(memory, f'news {n} ' + 'x' * 2000)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    memory.flush()\n"
        "except StorageError as error:\n"
        "    print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "memory.close()\n"
        "print(memory.digest())\n"
    )
    done = in_another_process(script, tmp_path / "store")
    assert "cannot be written" in done.stdout, done.stderr
    assert MEND in done.stdout
    again = load(tmp_path / "store")
    assert again.digest() == done.stdout.split()[-1]
    again.abandon()


def in_another_process(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture
def as_nobody(tmp_path):
    """Root may write anywhere, so a test that must not be able to gives its rights up for a while."""
    if os.geteuid() == 0:
        for folder in (tmp_path, *tmp_path.parents):
            if not folder.stat().st_mode & 0o005 and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o055)
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


def closed_to_writing(folder):
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_read_only_folder_is_said_when_it_is_written(tmp_path, request):
    folder = tmp_path / "shut"
    folder.mkdir()
    closed_to_writing(folder)
    request.getfixturevalue("as_nobody")
    memory = make(folder=folder / "store")
    put(memory, "a fact")
    with pytest.raises(StorageError, match="cannot be made: Permission denied") as caught:
        memory.flush()
    assert "see that the folder can be written" in caught.value.mend
    assert len(memory) == 1
    memory.abandon()


def test_a_read_only_store_is_said_when_it_is_read_or_resumed(kept, request):
    folder, events, digest = kept
    closed_to_writing(folder)
    request.getfixturevalue("as_nobody")
    with pytest.raises(StorageError, match="cannot be read") as caught:
        load(folder)
    assert MEND in caught.value.mend
    resumed = resume(folder, events)  # from the journal alone
    assert resumed.digest() == digest
    with pytest.raises(StorageError, match="cannot be written"):
        resumed.flush()
    resumed.abandon()


HOLD = (
    "import sys\n"
    "from tests.support.memory_helpers import make, put\n"
    "from varve.memory.disk.stored_vectors import with_stored\n"
    "from tests.support.memory_helpers import TableEmbedder\n"
    "from pathlib import Path\n"
    "if sys.argv[2] == 'write':\n"
    "    memory = make(folder=Path(sys.argv[1]), run_id='other')\n"
    "    put(memory, 'a fact')\n"
    "    memory.flush()\n"
    "print('held', flush=True)\n"
    "sys.stdin.readline()\n"
)


@pytest.fixture
def holder(kept):
    """Another process that has the store open for writing, until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(kept[0]), "write"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.communicate("\n", timeout=60)


def test_a_store_that_another_process_writes_is_refused_until_it_ends(kept, holder, monkeypatch):
    folder, events, digest = kept
    monkeypatch.setattr(store_module, "_PATIENCE_S", 0.3)
    written = make(folder=folder, run_id="third")
    put(written, "another fact")
    for act in (
        lambda: load(folder),
        lambda: resume(folder, events),
        written.flush,
        lambda: with_stored(TableEmbedder(), folder, "run", "finmem"),
    ):
        with pytest.raises(UsageError, match="in use by another process") as caught:
            act()
        assert "backtest run --resume" in caught.value.mend
    holder.kill()  # however it ends, the store is free
    holder.wait()
    again = load(folder)
    assert again.digest() == digest
    again.abandon()
    written.close()
    assert len(LayeredMemory.load(written.config, TableEmbedder(), folder=folder, run_id="third")) == 1


def test_readers_keep_no_reader_out_and_let_go_at_once(kept):
    folder = kept[0]
    script = (
        "import sys\nfrom pathlib import Path\nfrom tests.support.memory_helpers import TableEmbedder\n"
        "from varve.memory.disk.stored_vectors import with_stored\n"
        "found = with_stored(TableEmbedder(), Path(sys.argv[1]), 'run', 'finmem')\n"
        "found.embed(['news 0', 'news 4'])\n"
        "print('read')\n"
    )
    with_stored(TableEmbedder(), folder, "run", "finmem")
    done = in_another_process(script, folder)
    assert done.stdout == "read\n", done.stderr
    again = load(folder)  # its reading is over, so this one may write
    put(again, "more")
    again.close()


def in_store(folder, tier="short"):
    client = chromadb.PersistentClient(str(folder), chromadb.Settings(anonymized_telemetry=False))
    return client, client.get_collection(f"run.finmem.{tier}", embedding_function=None)


def test_a_store_of_a_newer_version_is_neither_read_nor_written_over(kept):
    folder, events, _ = kept
    client, first = in_store(folder)
    first.modify(metadata={**first.metadata, "schema": SCHEMA + 1})
    client.close()
    for act in (lambda: load(folder), lambda: resume(folder, events)):
        with pytest.raises(
            IntegrityError, match=f"has schema {SCHEMA + 1}, this version reads up to"
        ) as caught:
            act()
        assert "use the version that wrote it" in caught.value.mend
        assert MEND in caught.value.mend
    client, first = in_store(folder)
    assert first.metadata["schema"] == SCHEMA + 1
    assert first.count() == 5
    client.close()


def changed_row(collection, **metadata):
    collection.update(ids=["m000003"], metadatas=[metadata])


def with_life(collection, **changes):
    known = json.loads(collection.get(ids=["m000003"])["metadatas"][0]["life"])
    changed_row(collection, life=json.dumps({**known, **changes}))


HARMS = {
    "a row is gone": lambda c: c.delete(ids=["m000003"]),
    "a row more": lambda c: c.add(ids=["m000009"], embeddings=[[1.0] * 16], documents=["x"]),
    "no record": lambda c: changed_row(c, record="no JSON"),
    "no tier": lambda c: with_life(c, tier="middle"),
    "a life without times": lambda c: changed_row(c, life="{}"),
    "a long vector": lambda c: c.update(ids=["m000003"], embeddings=[[2.0] * 16]),
    "an id that is none": lambda c: c.add(
        ids=["x"],
        embeddings=[[1.0] * 16],
        metadatas=[c.get(ids=["m000003"])["metadatas"][0]],
        documents=["x"],
    ),
    "cut short": lambda c: c.modify(metadata={**c.metadata, "state": "writing"}),
    "no counters": lambda c: c.modify(metadata={k: v for k, v in c.metadata.items() if k != "live"}),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_store_names_the_command_that_mends_it_and_resume_rebuilds_it(kept, harm):
    folder, events, digest = kept
    client, first = in_store(folder)
    HARMS[harm](first)
    client.close()
    with pytest.raises(IntegrityError) as caught:
        load(folder)
    assert MEND in caught.value.mend
    assert "run.finmem" in caught.value.message
    resumed = resume(folder, events)
    assert resumed.digest() == digest
    resumed.close()
    again = load(folder)
    assert again.digest() == digest
    again.abandon()


def test_files_that_are_no_store_name_the_command_that_mends_them(kept):
    folder, events, digest = kept
    (folder / "chroma.sqlite3").write_bytes(b"this is no database" * 500)
    with pytest.raises(StorageError, match="cannot be read") as caught:
        load(folder)
    assert MEND in caught.value.mend
    resumed = resume(folder, events)
    assert resumed.digest() == digest
    with pytest.raises(StorageError, match="cannot be written") as caught:
        resumed.flush()
    assert MEND in caught.value.mend
    resumed.abandon()
