"""Golden runs: every statistic, the order list and the report's data, pinned; each replays without torch.

``make golden`` writes them anew.
"""

import hashlib
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.support.helpers import prepared
from varve.backtests.derive import derive_tables
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.inputs import write_inputs
from varve.backtests.record.journal import TABLES, Journal
from varve.backtests.report.metric_rows import table_rows
from varve.backtests.results.metrics import compute_metrics
from varve.backtests.results.metrics_file import read_metrics
from varve.backtests.results.returns import bars_per_year
from varve.backtests.runner import begun_record, steps_of
from varve.clock import wall_clock
from varve.config import canonical_json
from varve.types import Trace

FOLDER = Path(__file__).parent / "golden"
FILE, DIGESTS = FOLDER / "runs.json", FOLDER / "digests.json"

RUNS = {
    "finmem on TSLA": {"agent": "finmem"},
    "finmem on TSLA without news": {"agent": "finmem", "news": False},
    "finmem, risk averse, on AMZN": {"agent": "finmem", "ticker": "AMZN",
                                     "settings": {"profile": "risk_averse"}},
    "finmem on ETH-USD": {"agent": "finmem", "ticker": "ETH-USD"},
    "finmem by the unit, short": {"agent": "finmem", "ticker": "NFLX", "sizer": "finmem_unit"},
    "finmem on noise": {"agent": "finmem", "world": "noise"},
    "finmem over a split": {"agent": "finmem", "start": date(2022, 7, 15), "end": date(2022, 9, 30),
                            "warmup_start": date(2022, 6, 1)},
    "finmem, same close": {"agent": "finmem", "ticker": "COIN", "fill": "same_close"},
    "finagent on TSLA": {"agent": "finagent"},
    "finagent, conservative, without tools, on ETH-USD": {
        "agent": "finagent", "ticker": "ETH-USD",
        "settings": {"profile": "conservative", "without": ["tools"], "reflect_every_sessions": 3}},
    "buy-and-hold with dividends": {"agent": "buy-and-hold", "ticker": "MSFT", "start": date(2022, 1, 3),
                                    "end": date(2022, 12, 30)},
    "random over a split": {"agent": "random", "ticker": "AMZN", "start": date(2022, 4, 1),
                            "end": date(2022, 8, 1), "settings": {"flip_probability": 0.2}},
    "sma-cross, zero costs": {"agent": "sma-cross", "ticker": "NFLX", "costs": "zero"},
    "sma-cross by fractions": {"agent": "sma-cross", "ticker": "COIN", "sizer": "fraction"},
    "macd by the unit, short": {"agent": "macd", "ticker": "NFLX", "sizer": "finmem_unit"},
    "kdj-rsi on AMZN": {"agent": "kdj-rsi", "ticker": "AMZN", "start": date(2023, 1, 3)},
    "zscore on ETH-USD": {"agent": "zscore", "ticker": "ETH-USD"},
    "zscore by the unit, short, with dividends": {"agent": "zscore", "ticker": "MSFT",
                                                  "sizer": "finmem_unit"},
    "stochastic-bollinger over a split": {"agent": "stochastic-bollinger", "start": date(2022, 7, 1),
                                          "end": date(2022, 11, 30), "settings": {"deviations": 1.5}},
    "sma-cross, tuned": {"agent": "sma-cross", "ticker": "AMZN", "tune": True},
    "finmem, random recall": {"agent": "finmem", "ticker": "MSFT", "end": date(2023, 3, 31),
                              "settings": {"memory": {"recall": "random"}}},
}  # fmt: skip


def recorded(name, home) -> RunFolder:
    """The folder of a golden run: what a run writes, without charts and page."""
    run, folder = prepared(**RUNS[name]), RunFolder(home / f"golden-{list(RUNS).index(name):02d}")
    folder.path.mkdir()
    folder.write(begun_record(run, folder, wall_clock, bundle=True))
    write_inputs(folder.inputs, run.data)
    journal = Journal(folder.journal, run_id=folder.run_id)
    for record in steps_of(run, memory_folder=None, run_id=folder.run_id, trace=Trace()):
        journal.append(record)
    journal.close()
    return folder


def figures(folder):
    tables = derive_tables(folder)
    folder.update(status="finished", run_digest=tables.digest)
    run, steps = tables.run, tables.steps
    per_year = bars_per_year(tables.tracks[0], run.instrument.calendar)
    orders = [[row.session, *order] for row in steps for order in row.orders]
    actions = [[action for _, action in row.decision.orders] for row in steps]
    return {
        "metrics": compute_metrics(tables.tracks[0], per_year).json(),
        "orders": len(orders),
        "order_list_sha256": sha256(canonical_json(orders)),
        "actions_sha256": sha256(canonical_json(actions)),
        # The report's table as it is printed, its sentence, and what lies beside it as CSV.
        "table_sha256": sha256(canonical_json([*table_rows(tables.metrics), tables.metrics.sentence])),
        "csv_sha256": {
            name: sha256((folder.path / f"{name}.csv").read_text())
            for name in ("decisions", "trades", "equity")
        },
        "failures": sum(row.failure is not None for row in (*tables.lessons, *steps)),
        "lessons": len(tables.lessons),
        "data_sha256": run.data_hash,
    }


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every golden run, recorded as a run is: its folder and its figures, by name."""
    home = tmp_path_factory.mktemp("golden")
    folders = {name: recorded(name, home) for name in RUNS}
    return {name: (folder, figures(folder)) for name, folder in folders.items()}


def kept(request, file, made):
    """What a golden file holds; ``made`` is written into it first where that is asked for."""
    if request.config.getoption("--update-golden"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def golden(request, runs):
    return kept(request, FILE, {name: figures for name, (_, figures) in runs.items()})


@pytest.fixture(scope="module")
def digests(request, runs):
    """The run digests of the golden runs, version 2."""
    return kept(request, DIGESTS, {name: folder.read().run_digest for name, (folder, _) in runs.items()})


@pytest.mark.parametrize("name", RUNS)
def test_golden(golden, runs, name):
    now, then = dict(runs[name][1]), dict(golden[name])
    # Statistics pass through linear algebra libraries, whose last digits differ between machines.
    measured, expected = now.pop("metrics"), then.pop("metrics")
    assert {key for key, value in measured.items() if value is None} == {
        key for key, value in expected.items() if value is None
    }
    assert _known(measured) == pytest.approx(_known(expected), rel=1e-9, abs=1e-9, nan_ok=True)
    assert now == then


def _known(metrics):
    return {name: value for name, value in metrics.items() if value is not None}


@pytest.mark.parametrize("name", RUNS)
def test_the_run_digest_is_the_one_of_before(digests, runs, name):
    assert runs[name][0].read().digest_version == 2
    assert runs[name][0].read().run_digest == digests[name]


@pytest.mark.parametrize("name", RUNS)
def test_records_give_back_what_is_written(runs, name):
    folder = runs[name][0]
    run = folder.read()
    assert json.dumps(run.as_json(), indent=2) + "\n" == (folder.path / "run.json").read_text()
    text = (folder.path / "metrics.json").read_text()
    assert json.dumps(read_metrics(folder).as_json(), indent=2) + "\n" == text
    journal = Journal(folder.journal, run_id=run.run_id, read_only=True)
    for table in TABLES:
        for raw, row in zip(journal.raw_rows(table), journal.rows(table), strict=True):
            assert canonical_json(row.as_json()) == canonical_json(raw)
    journal.close()


def test_golden_runs_trade_and_differ(golden):
    assert set(golden) == set(RUNS)
    assert len(RUNS) >= 12
    assert all(run["orders"] for run in golden.values())
    assert len({run["order_list_sha256"] for run in golden.values()}) == len(RUNS)
    assert any(run["metrics"]["dividends"] for run in golden.values())


REPLAY = """
import json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from pathlib import Path
from varve.backtests.record.folder import RunFolder
from varve.backtests.integrity.replay import replay_run
for path in sys.argv[1:]:
    print(path, replay_run(RunFolder(Path(path))).digest)
assert not {"torch", "transformers"} & set(sys.modules)
"""


def test_every_golden_run_replays_without_torch(runs):
    folders = [folder for folder, _ in runs.values()]
    done = subprocess.run(
        [sys.executable, "-c", REPLAY, *(str(folder.path) for folder in folders)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found == {str(folder.path): folder.read().run_digest for folder in folders}
