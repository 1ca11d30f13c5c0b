"""What the journal costs a step, ``backtest --help``, and a year's run with every reply in the cache."""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median

from varve.backtests.config import RunConfig
from varve.backtests.record.journal import Journal
from varve.backtests.simulate.prepare import prepare
from varve.backtests.simulate.steps import simulate

REPEATS = 3
YEAR = {"ticker": "TSLA", "start": "2024-01-02", "end": "2024-12-31", "warmup_start": "2023-07-03"}

# In a process of its own: the bar is what a user waits for, imports included.
IMPORTS = "import vectorbt, chromadb"
HELP = """
import sys
from varve.cli import app as cli
sys.argv = ["backtest", "--help"]
cli.main()
"""
WARM_RUN = """
import json, sys
from varve.cli import app as cli
sys.argv = ["backtest", "run", "--agent", "finmem", *json.loads(sys.argv[1])]
cli.main()
assert "torch" not in sys.modules
"""


def _seconds(code: str, *arguments: str, home: Path) -> float:
    """User and system CPU seconds of a Python process."""
    before = os.times()
    subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "VARVE_HOME": str(home), "OPENAI_API_KEY": "none"},
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _journal_ms(folder: Path) -> float:
    """CPU milliseconds that appending one step takes."""
    config = RunConfig.build(
        agent="finmem", ticker="TSLA", data="sample", llm="scripted",
        start=date(2024, 1, 2), end=date(2024, 12, 31),
        warmup_start=date(2023, 7, 3),
    )  # fmt: skip
    records = simulate(prepare(config))
    journal = Journal(folder / "journal.db", run_id="benchmark")
    started = time.process_time()
    for record in records:
        journal.append(record)
    spent = time.process_time() - started
    journal.close()
    return 1000.0 * spent / len(records)


def _warm_run(home: Path) -> tuple[float, float]:
    """CPU seconds of importing vectorbt and chromadb, and of a one-year run with a warm reply cache."""
    from varve.testing.model_server import FakeModelServer

    with FakeModelServer() as server:
        arguments = ["--ticker", YEAR["ticker"], "--start", YEAR["start"], "--end", YEAR["end"]]
        arguments += ["--warmup-start", YEAR["warmup_start"], "--llm", f"openai:fake@{server.base_url}"]
        given = json.dumps([*arguments, "--quiet"])
        _seconds(WARM_RUN, given, home=home)
        asked = len(server.requests)
        imports = median(_seconds(IMPORTS, home=home) for _ in range(REPEATS))
        warm = median(_seconds(WARM_RUN, given, home=home) for _ in range(REPEATS))
        assert len(server.requests) == asked, "a warm run asked the model"
    return imports, warm


def run() -> list[tuple[str, float, str]]:
    """Name, value and unit of each figure."""
    with tempfile.TemporaryDirectory() as folder:
        journal = _journal_ms(Path(folder))
        shown = median(_seconds(HELP, home=Path(folder)) for _ in range(REPEATS))
        imports, warm = _warm_run(Path(folder))
    return [
        ("journal, per step of FinMem (bar 2)", journal, "CPU-ms"),
        ("backtest --help (bar 0.3)", shown, "CPU-seconds"),
        ("importing vectorbt and chromadb", imports, "CPU-seconds"),
        ("one-year FinMem run, every reply cached", warm, "CPU-seconds"),
        ("the run ÷ those imports (bar 2.5)", warm / imports, "×"),
    ]
