"""The vector cache: found by embedder and text, safe between processes, never silently wrong."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.support.memory_helpers import DIMENSION, TableEmbedder
from varve.errors import IntegrityError, StorageError
from varve.memory.embed.vector_cache import CachedEmbedder, VectorCache, text_hash, vector_cache_path


def unit(*parts):
    vector = np.array(parts, np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def cache(tmp_path):
    with VectorCache(tmp_path / "vectors.db") as opened:
        yield opened


@pytest.fixture
def cached(varve_home):
    return CachedEmbedder(TableEmbedder())


def test_a_vector_comes_back_bit_for_bit_to_its_embedder_alone(cache):
    vector, key = unit(0.1, -2.0, 3e-9), text_hash("a")
    cache.put("one", {key: vector})
    assert cache.get("one", [key, text_hash("b")], 3)[key].tobytes() == vector.tobytes()
    assert list(cache.get("one", [key, text_hash("b")], 3)) == [key]
    assert cache.get("other", [key], 3) == {}


def test_the_first_vector_of_a_text_stays(cache):
    cache.put("one", {text_hash("a"): unit(1, 0)})
    cache.put("one", {text_hash("a"): unit(0, 1)})
    assert cache.get("one", [text_hash("a")], 2)[text_hash("a")].tolist() == [1, 0]


def test_thousands_at_once(cache):
    rng = np.random.default_rng(0)
    many = {text_hash(str(i)): unit(*rng.normal(size=4)) for i in range(2_345)}
    cache.put("one", many)
    found = cache.get("one", list(many), 4)
    assert all((found[key] == many[key]).all() for key in many)


def test_the_embedder_is_asked_once_per_text_and_never_again(cached, varve_home):
    texts = ["a", "b", "a", "c"]
    first = cached.embed(texts)
    assert cached.inner.calls == [["a", "b", "c"]]
    assert (first == TableEmbedder().embed(texts)).all()
    assert (cached.embed(["c", "d"])[0] == first[3]).all()
    assert cached.inner.calls[1:] == [["d"]]
    later = CachedEmbedder(TableEmbedder())
    assert later.embed(texts).tobytes() == first.tobytes()
    assert later.inner.calls == []
    assert (cached.name, cached.fingerprint, cached.dimension) == ("table", "table-1", DIMENSION)
    assert cached.embed([]).shape == (0, DIMENSION)


def test_another_home_is_another_cache(cached, varve_home, tmp_path, monkeypatch):
    cached.embed(["a"])
    monkeypatch.setenv("VARVE_HOME", str(tmp_path / "other"))
    cached.embed(["a"])
    assert cached.inner.calls == [["a"], ["a"]]
    assert (tmp_path / "other" / "cache" / "vectors.db").exists()


def test_lone_surrogates_are_a_text_like_any_other():
    assert text_hash("\ud800") != text_hash("?")


def test_threads_may_share_it(cached):
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(cached.embed, [str(j), str(j + 1)]) for j in range(40) for _ in range(3)]
        made = [job.result() for job in jobs]
    expected = TableEmbedder().embed([str(j) for j in range(41)])
    for index, vectors in enumerate(made):
        assert (vectors == expected[index // 3 : index // 3 + 2]).all()


def test_a_forked_process_opens_its_own(cached):
    cached.embed(["a"])
    parents = cached._opened[2]
    child = os.fork()
    if child == 0:
        try:
            cached.embed(["from the child"])
            os._exit(0 if cached._opened[2] is not parents else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    cached.embed(["from the child"])
    assert cached.inner.calls == [["a"]]


def test_two_processes_fill_one_cache(varve_home):
    code = (
        "import sys; from tests.support.memory_helpers import TableEmbedder\n"
        "from varve.memory.embed.vector_cache import CachedEmbedder\n"
        "embedder = CachedEmbedder(TableEmbedder())\n"
        "for i in range(200):\n    embedder.embed([f'{i}', f'{sys.argv[1]}-{i}'])\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    running = [subprocess.Popen([sys.executable, "-c", code, name], env=env) for name in ("x", "y")]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    db = sqlite3.connect(vector_cache_path())
    assert db.execute("SELECT count(*) FROM vectors").fetchone() == (600,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    reader = CachedEmbedder(TableEmbedder())
    texts = [str(i) for i in range(200)]
    assert (reader.embed(texts) == TableEmbedder().embed(texts)).all()
    assert reader.inner.calls == []


def damage_all(path):
    path.write_bytes(b"This is no SQLite file. " * 400)


def damage_pages(path):
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)


def other_tables(path):
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE vectors (x)")
    db.close()


@pytest.mark.parametrize("harm", [damage_all, damage_pages, other_tables])
def test_a_damaged_cache_is_said_to_be_and_how_to_mend_it(varve_home, harm):
    first = CachedEmbedder(TableEmbedder())
    first.embed([str(i) for i in range(300)])
    first._opened[2].close()
    harm(vector_cache_path())
    with pytest.raises(IntegrityError, match="is damaged") as caught:
        CachedEmbedder(TableEmbedder()).embed([str(i) for i in range(300)])
    assert "move the file away" in caught.value.mend
    vector_cache_path().rename(varve_home / "away.db")
    assert CachedEmbedder(TableEmbedder()).embed(["1"]).shape == (1, DIMENSION)


def flipped(blob):
    return blob[:2] + bytes([blob[2] ^ 1]) + blob[3:]


HARMS = {
    "shorter": lambda blob: blob[:8],
    "zeros": lambda blob: bytes(len(blob)),
    "a bit": flipped,
    "swapped": lambda blob: blob[4:8] + blob[:4] + blob[8:],
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=list(HARMS))
def test_a_damaged_vector_is_made_again_and_replaced(varve_home, harm):
    texts = [str(i) for i in range(30)]
    first = CachedEmbedder(TableEmbedder())
    right = first.embed(texts)
    first._opened[2].close()
    with sqlite3.connect(vector_cache_path()) as db:
        rows = db.execute("SELECT text_sha256, vector FROM vectors ORDER BY 1 LIMIT 7").fetchall()
        db.executemany(
            "UPDATE vectors SET vector = ? WHERE text_sha256 = ?", [(harm(v), key) for key, v in rows]
        )
    db.close()

    again = TableEmbedder()
    np.testing.assert_array_equal(CachedEmbedder(again).embed(texts), right)
    assert sum(map(len, again.calls)) == 7

    third = TableEmbedder()
    np.testing.assert_array_equal(CachedEmbedder(third).embed(texts), right)
    assert not third.calls


def test_vectors_from_before_there_were_hashes_get_theirs(varve_home):
    texts = ["rates rise", "rates fall"]
    first = CachedEmbedder(TableEmbedder())
    right = first.embed(texts)
    first._opened[2].close()
    with sqlite3.connect(vector_cache_path()) as db:
        db.execute("ALTER TABLE vectors DROP COLUMN sha256")
        db.execute("PRAGMA user_version = 1")
    db.close()
    again = TableEmbedder()
    np.testing.assert_array_equal(CachedEmbedder(again).embed(texts), right)
    assert not again.calls


def test_a_newer_cache_is_left_alone(tmp_path):
    VectorCache(tmp_path / "vectors.db").close()
    with sqlite3.connect(tmp_path / "vectors.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = (tmp_path / "vectors.db").read_bytes()
    with pytest.raises(IntegrityError, match="has schema 99; this Varve reads up to 2") as caught:
        VectorCache(tmp_path / "vectors.db")
    assert "newer Varve" in caught.value.mend
    assert (tmp_path / "vectors.db").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made") as caught:
        VectorCache(tmp_path / "file" / "vectors.db")
    assert "VARVE_HOME" in caught.value.mend


def test_a_write_that_fails_midway_leaves_nothing_behind_and_no_lock(cache):
    good, bad = text_hash("a"), text_hash("b")
    cache._file.db.execute(
        f"CREATE TEMP TRIGGER stop BEFORE INSERT ON vectors WHEN NEW.text_sha256 = x'{bad.hex()}' "
        "BEGIN SELECT RAISE(ABORT, 'stopped'); END"
    )
    with pytest.raises(IntegrityError):
        cache.put("one", {good: unit(1, 0), bad: unit(0, 1)})
    assert cache.get("one", [good], 2) == {}
    cache.put("one", {good: unit(1, 0)})
    assert list(cache.get("one", [good], 2)) == [good]


def test_a_full_disk_is_a_storage_error_and_what_was_there_stays(tmp_path):
    with VectorCache(tmp_path / "vectors.db") as cache:
        cache.put("one", {text_hash("a"): unit(1, 0)})
        pages = cache._file.db.execute("PRAGMA page_count").fetchone()[0]
        cache._file.db.execute(f"PRAGMA max_page_count = {pages}")
        many = {text_hash(str(i)): unit(*np.random.default_rng(i).normal(size=384)) for i in range(50)}
        with pytest.raises(StorageError, match="cannot be written") as caught:
            cache.put("one", many)
        assert "free disk space" in caught.value.mend
        cache._file.db.execute("PRAGMA max_page_count = 1000000")
        cache.put("one", {text_hash("b"): unit(0, 1)})
        assert len(cache.get("one", [text_hash("a"), text_hash("b")], 2)) == 2
