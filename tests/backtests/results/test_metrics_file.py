"""``metrics.json`` and the cards beside a run: read as they were written, refused by field where damaged."""

import json
from datetime import date

import pytest

from varve.backtests.config import RunConfig
from varve.backtests.derive import derive, read_audit, read_rescored
from varve.backtests.integrity.audit import audit_run
from varve.backtests.record.folder import RunFolder
from varve.backtests.results.metrics_file import read_metrics
from varve.backtests.runner import run_backtest
from varve.backtests.studies.rescore.page import write_rescored
from varve.backtests.studies.rescore.rescore import rescore
from varve.errors import BadFileError


@pytest.fixture
def folder(varve_home) -> RunFolder:
    return run_backtest(
        RunConfig.build(
            agent="macd", ticker="TSLA", data="sample", start=date(2023, 3, 1), end=date(2023, 3, 24)
        )
    )


def test_metrics_come_back_to_the_byte(folder):
    text = (folder.path / "metrics.json").read_text()
    metrics = read_metrics(folder)
    assert json.dumps(metrics.as_json(), indent=2) + "\n" == text
    assert metrics.agent.decisions == metrics.agent.sessions - 1 == 17
    assert metrics.columns[1].metrics.decisions is None


def test_metrics_of_a_newer_version_are_read(folder):
    raw = read_metrics(folder).as_json()
    raw["columns"][0]["metrics"]["omega"] = 1.5
    (folder.path / "metrics.json").write_text(json.dumps(raw))
    assert read_metrics(folder).as_json() == raw


@pytest.mark.parametrize(
    ("text", "named"), [("{", "cannot be read"), ("[]", "the whole"), ('{"ticker": 3}', "ticker")]
)
def test_damaged_metrics_name_the_field_and_what_mends_them(folder, text, named):
    (folder.path / "metrics.json").write_text(text)
    with pytest.raises(BadFileError, match=named) as caught:
        read_metrics(folder)
    assert "metrics.json" in caught.value.message
    assert caught.value.mend == f"backtest report {folder.run_id}"
    derive(folder)
    assert read_metrics(folder).ticker == "TSLA"


def test_cards_are_tied_to_the_record_and_named_where_damaged(folder):
    audit_run(folder, seeds=0)
    write_rescored(folder, rescore(folder))
    digest = folder.read().run_digest
    assert len(read_audit(folder, digest)) == 4
    shown = read_rescored(folder, digest)
    assert shown.card.columns[-1].rule == "varve"
    assert json.dumps(shown.card.as_json(), indent=1) + "\n" == (folder.path / "rescore.json").read_text()
    assert (read_audit(folder, "0"), read_rescored(folder, "0")) == ((), None)
    for name, command, read in (("audit", "audit", read_audit), ("rescore", "rescore", read_rescored)):
        (folder.path / f"{name}.json").write_text(json.dumps({"run_digest": 5}))
        with pytest.raises(BadFileError, match=rf"{name}\.json is damaged: ") as caught:
            read(folder, digest)
        assert caught.value.mend == f"backtest {command} {folder.run_id}"
