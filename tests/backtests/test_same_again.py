"""Two runs with the same settings are the same run, whatever Python's hash seed; other settings are not."""

import json
import os
import subprocess
import sys

import pytest

RUN = [
    "run",
    "--ticker",
    "TSLA",
    "--start",
    "2023-03-01",
    "--end",
    "2023-04-14",
    "--llm",
    "scripted",
    "--quiet",
]


def digest(home, *options, hash_seed="0"):
    """The run digest of a run in a process and a home of its own."""
    environment = {**os.environ, "VARVE_HOME": str(home), "PYTHONHASHSEED": hash_seed}
    subprocess.run(
        [sys.executable, "-m", "varve.cli.app", *RUN, *options],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    (run,) = (home / "runs").iterdir()
    return json.loads((run / "run.json").read_text())["run_digest"]


@pytest.mark.parametrize("agent", ["finmem", "random"])
def test_equal_settings_give_an_equal_digest(tmp_path, agent):
    first = digest(tmp_path / "a", "--agent", agent, hash_seed="1")
    assert first == digest(tmp_path / "b", "--agent", agent, hash_seed="2")
    assert first != digest(tmp_path / "c", "--agent", agent, "--world-seed", "1", hash_seed="1")
