"""``run.json``: read from old and newer versions alike, written as it was, refused by field where damaged."""

import importlib
import json
import pkgutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.helpers import prepared
from varve import backtests
from varve.backtests.record.entry import Entry
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.run_record import RunRecord
from varve.backtests.runner import begun_record
from varve.clock import wall_clock
from varve.errors import BadFileError, SettingError

LATER = (
    "digest_version",
    "tuning",
    "knowledge",
    "memory",
    "trial",
    "replies",
    "trials",
    "run_digest",
    "bundle",
)
"""Entries that the first version did not write."""

NEWER = st.none() | st.integers() | st.just(1.5) | st.lists(st.text("ab")) | st.just({"z": 1})

LATER_SETTINGS = ("decide", "abstain_below", "abstain_as", "after_cutoff", "tune", "memory")

REPLIES = {"calls": 2, "cached": 1, "cached_input_tokens": 9, "cached_output_tokens": 3}
TRIALS = {
    "ticker": "TSLA", "settings": 2, "trials": 2, "complete": True, "known_sharpes": 2,
    "luck_sharpe_per_session": 0.05, "probabilistic_sharpe": 1, "deflated_sharpe": None,
    "minimum_track_record_sessions": 28.5,
}  # fmt: skip
TUNING = {
    "start": "2023-01-03", "end": "2023-02-28", "base": {"fast": 5}, "best": {"fast": 7},
    "trials": [{"params": {}, "score": None}, {"params": {"fast": 7}, "score": 1}],
}  # fmt: skip
MEMORY = {
    "snapshot": "0" * 64, "memories": {"finmem": 3}, "last_available_at": "2023-01-01T00:00:00Z",
    "from_the_future": False, "synthetic": True, "embedder": "hashing", "source": {"run_id": "r0"},
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Everything that a run can say of itself, as it stands in the file."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "r1")
    begun = begun_record(prepared(), folder, wall_clock, bundle=True).as_json()
    return {
        **begun, "tuning": TUNING, "memory": MEMORY, "trial": {"registry": "ab"}, "resumed_at": ["now"],
        "run_digest": "0" * 64, "replies": REPLIES, "trials": TRIALS,
    }  # fmt: skip


def written(folder, raw):
    folder.path.mkdir(exist_ok=True)
    (folder.path / "run.json").write_text(json.dumps(raw))
    return folder


def test_a_record_gives_back_the_bytes_that_it_read(whole):
    assert json.dumps(RunRecord.model_validate(whole).as_json()) == json.dumps(whole)


@given(data=st.data())
def test_records_of_older_and_newer_versions_read_and_come_back(whole, data):
    left_out = data.draw(st.sets(st.sampled_from(LATER)))
    settings = data.draw(st.sets(st.sampled_from(LATER_SETTINGS)))
    newer = data.draw(st.dictionaries(st.sampled_from(["x", "y"]), NEWER))
    raw = {name: value for name, value in whole.items() if name not in left_out}
    raw["config"] = {name: value for name, value in whole["config"].items() if name not in settings}
    raw |= newer
    raw["window"] = {**whole["window"], **newer}
    assert RunRecord.model_validate(raw).as_json() == raw


def test_what_an_old_record_does_not_say_has_its_default(whole):
    raw = {name: value for name, value in whole.items() if name not in LATER}
    raw["config"] = {name: value for name, value in whole["config"].items() if name not in LATER_SETTINGS}
    run = RunRecord.model_validate(raw)
    assert (run.digest_version, run.trials, run.replies, run.tuning, run.bundle) == (
        1,
        None,
        None,
        None,
        True,
    )
    assert (run.config.decide, run.config.abstain_as, run.config.tune) == ("generate", "HOLD", False)
    assert run.settings().agent == "finmem"


def test_a_setting_that_is_not_known_is_read_and_not_run(whole):
    raw = {**whole, "config": {**whole["config"], "leverage": 3}}
    run = RunRecord.model_validate(raw)
    assert run.as_json() == raw
    with pytest.raises(SettingError, match="leverage"):
        run.settings()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status": "sleeping"}, "status"),
        ({"seed": "0"}, "seed"),
        ({"window": {"start": "2023-03-01"}}, "window.warmup_start"),
        ({"tuning": {**TUNING, "trials": [{"score": 1.0}]}}, "tuning.trials.0.params"),
        ({"config": {"agent": "finmem"}}, "config.ticker"),
        ({"agent_settings": []}, "agent_settings"),
    ],
)
def test_a_damaged_record_names_file_field_and_what_mends_it(whole, tmp_path, changes, field):
    folder = written(RunFolder(tmp_path / "r1"), {**whole, **changes})
    with pytest.raises(BadFileError) as caught:
        folder.read()
    assert str(tmp_path / "r1" / "run.json") in caught.value.message
    assert f" {field} " in caught.value.message
    assert "copy the run folder again" in caught.value.mend


def test_a_record_of_a_newer_major_version_is_refused(whole, tmp_path):
    folder = written(RunFolder(tmp_path / "r1"), {**whole, "schema_version": 2})
    with pytest.raises(BadFileError, match="is not a run record that this Varve reads"):
        folder.read()


def test_a_change_leaves_everything_else_as_it_stands(whole, tmp_path):
    raw = {"later": [1, 2.0], **whole}
    folder = written(RunFolder(tmp_path / "r1"), raw)
    folder.update(status="stopped", reason="away")
    there = json.loads((folder.path / "run.json").read_text())
    assert list(there) == list(raw)
    assert there == {**raw, "status": "stopped", "reason": "away"}
    with pytest.raises(BadFileError, match="status"):
        folder.update(status="asleep")
    assert json.loads((folder.path / "run.json").read_text()) == there


def test_every_field_of_every_record_says_what_it_is():
    for module in pkgutil.walk_packages(backtests.__path__, "varve.backtests."):
        importlib.import_module(module.name)

    def below(kind):
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    kinds = [kind for kind in below(Entry) if not kind.__name__.startswith("_")]
    assert len(kinds) > 30
    untold = [f"{k.__name__}.{n}" for k in kinds for n, f in k.model_fields.items() if not f.description]
    assert untold == []
