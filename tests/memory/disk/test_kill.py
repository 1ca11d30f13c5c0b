"""kill -9 between and during flushes: what is opened again is what the journal says."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("trials", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_a_memory_killed_at_any_moment_loses_and_doubles_nothing(tmp_path, trials):
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killing_memories", str(tmp_path), str(trials)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=1700,
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [one for one in told if not one["right"]]
    assert not wrong, f"{len(wrong)} of {trials}: {wrong[0]['trial']}: {wrong[0]['said']}"
    assert len(told) == trials
    killed, opened = Counter(one["killed"] for one in told), Counter(one["said"] for one in told)
    print(dict(killed), dict(opened))
    assert killed["in a flush"] >= trials // 6
    assert opened["read"] >= trials // 6  # not merely rebuilt every time
