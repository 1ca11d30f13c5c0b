"""Runs that the version before the rooms made: they replay, resume, rescore and report as they were."""

import json
import tarfile
from pathlib import Path

import pytest

from varve.backtests.derive import derive
from varve.backtests.integrity.audit import audit_run
from varve.backtests.integrity.replay import replay_run
from varve.backtests.record.folder import RunFolder, software
from varve.backtests.record.trial_registry.registry import TrialRegistry
from varve.backtests.resume import resume_run
from varve.backtests.studies.compare.comparison import compare
from varve.backtests.studies.compare.entrants import read_entrant
from varve.backtests.studies.rescore.rescore import rescore
from varve.errors import IntegrityError

PACKED = Path(__file__).parents[1] / "old_runs" / "before-rooms.tar.gz"
WHOLE = "643336aa116df9606cf3afb8e8b2f6fc9644dc05d47e93b725b45cf8a3a389fc"
"""Run digest, version 2, of the run that is stopped here as the version that began it ran it whole."""


@pytest.fixture
def old(varve_home):
    """The old runs by agent, in a home of their own."""
    runs = varve_home / "runs"
    with tarfile.open(PACKED) as packed:
        packed.extractall(runs, filter="data")
    TrialRegistry().rebuild()
    return {folder.name.split("-")[2]: RunFolder(folder) for folder in runs.iterdir()}


def recorded(folder):
    return json.loads((folder.path / "run.json").read_text())


@pytest.mark.parametrize("agent", ["finmem", "zscore"])
def test_a_finished_run_replays_to_the_digest_that_it_has(old, agent):
    folder = old[agent]
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    digest = recorded(folder)["run_digest"]
    assert "digest_version" not in recorded(folder)
    assert replay_run(folder).digest == digest
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


def test_the_digest_of_an_old_run_holds_its_files_as_they_were_stored(old):
    path = old["finmem"].path / "equity.csv"
    path.write_text(path.read_text().replace("100000.0", "100001.0", 1))
    with pytest.raises(IntegrityError, match="digest"):
        replay_run(old["finmem"])


@pytest.mark.parametrize("agent", ["finmem", "zscore"])
def test_a_report_keeps_digest_version_and_tables(old, agent):
    folder = old[agent]
    tables = ("decisions.csv", "trades.csv", "equity.csv", "metrics.json")
    before = {name: (folder.path / name).read_bytes() for name in tables}
    digest = recorded(folder)["run_digest"]
    derive(folder)
    assert recorded(folder)["run_digest"] == digest
    assert "digest_version" not in recorded(folder)
    assert {name: (folder.path / name).read_bytes() for name in tables} == before
    assert "<h2>Decisions</h2>" in folder.report.read_text()


def test_old_runs_are_rescored_compared_and_audited(old):
    folder = old["finmem"]
    assert rescore(folder).column("varve").costs > 0
    found = compare([read_entrant(old["zscore"])])
    assert found.runs[0].run_id == old["zscore"].run_id
    card = {check.name: check.passed for check in audit_run(folder, seeds=0)}
    assert card == dict.fromkeys(("future", "determinism", "replay", "ledger"), True)


def test_a_stopped_run_goes_on_to_the_digest_that_it_would_have_had(old):
    folder = old["finagent"]
    assert recorded(folder)["status"] == "stopped"
    # The versions of packages at that time are not what is tried here.
    folder.update(software={**recorded(folder)["software"], "versions": software().versions})
    run = resume_run(folder).read()
    assert (run.run_digest, run.digest_version, run.rules) == (WHOLE, 2, 1)
