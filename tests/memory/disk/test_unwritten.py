"""What was in the process's memory before stands in no file of a store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MARK = 0xA5
"""Every byte of memory that the process gets holds it, by glibc's MALLOC_PERTURB_ (which turns all bits)."""

WORKER = """
import sys
from pathlib import Path
import numpy as np
from varve.memory.disk.chroma import ChromaStore, Row

folder, count = Path(sys.argv[1]), int(sys.argv[2])
vectors = np.random.default_rng(0).normal(size=(count, 16)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
rows = [Row(f"{i:06}", f"text {i}", {"n": i}, vector) for i, vector in enumerate(vectors)]
store = ChromaStore(folder, "run", "memory")
for first in range(0, count, 700):
    store.write({"short": rows[first : first + 700]}, {}, {"chain": "x"})
store.close()
again = ChromaStore(folder, "run", "memory")
found = {row.id: row for row in again.read().rows["short"]}
again.close()
assert sorted(found) == [row.id for row in rows]
assert all((found[row.id].vector == row.vector).all() for row in rows)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="MALLOC_PERTURB_ is glibc's")
@pytest.mark.parametrize("count", [3, 2_500])
def test_unused_room_of_an_index_is_blank_and_what_is_used_is_read_again(tmp_path, count):
    environment = {**os.environ, "MALLOC_PERTURB_": str(MARK ^ 0xFF), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(tmp_path), str(count)],
        env=environment, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    indexes = list(tmp_path.glob("*/data_level0.bin"))
    assert indexes
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or bytes([MARK]) * 16 not in path.read_bytes(), path
