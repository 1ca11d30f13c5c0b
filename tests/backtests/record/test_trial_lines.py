"""Lines of the trial registry: read as they were written, unknown kinds left out, damage named by field."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varve.backtests.record.trial_registry.lines import (
    HeaderLine,
    RebuiltLine,
    Trial,
    read_lines,
    with_results,
)
from varve.errors import BadFileError

FILE = Path("trials.jsonl")
trials = st.builds(
    Trial,
    origin=st.sampled_from(["run", "search"]),
    world=st.none() | st.text(),
    run_id=st.none() | st.text(min_size=1),
    finished=st.booleans(),
    sharpe=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.lists(trials, max_size=3))
def test_a_trial_comes_back_as_it_was_written(tried):
    assert read_lines([trial.as_json() for trial in tried], FILE) == tried


def test_other_lines_come_back_and_kinds_that_are_not_known_are_left_out():
    raw = [
        {"kind": "registry", "schema": 1, "id": "ab", "at": "then"},
        {"kind": "moved", "to": "elsewhere"},
        {"kind": "rebuilt", "at": "then", "why": "gone", "lost_lines": 2},
    ]
    header, rebuilt = read_lines(raw, FILE)
    assert isinstance(header, HeaderLine)
    assert isinstance(rebuilt, RebuiltLine)
    assert (header.version, rebuilt.lost_lines) == (1, 2)
    assert [header.as_json(), rebuilt.as_json()] == [raw[0], raw[2]]


def test_a_result_belongs_to_its_run():
    trial = Trial("run", "macd", "TSLA", None, "2022-01-03", "2022-12-30", "s", 0, run_id="r1")
    lines = [trial.as_json(), {"kind": "result", "run_id": "r1", "sharpe": 0.5, "at": ""}]
    (found,) = with_results(read_lines(lines, FILE))
    assert (found.finished, found.sharpe) == (True, 0.5)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"kind": "result", "run_id": "r1", "sharpe": "high"}, "sharpe"),
        ({"kind": "trial", "origin": "dream"}, "origin"),
        ({"kind": "registry", "id": "ab", "at": ""}, "schema"),
    ],
)
def test_a_damaged_line_names_file_line_and_field(line, field):
    with pytest.raises(BadFileError, match=rf"trials\.jsonl, line 1, is damaged: {field}") as caught:
        read_lines([line], FILE)
    assert caught.value.mend == "backtest trials rebuild"
