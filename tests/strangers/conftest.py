"""A run with everything beside it, whose copies the tests here change."""

import pytest

from tests.strangers.doors import Strangers

WINDOW = ["--ticker", "TSLA", "--start", "2023-03-01", "--end", "2023-03-10", "--warmup-start", "2023-02-27"]


@pytest.fixture
def strangers(backtest, varve_home, tmp_path):
    code, _, err = backtest("run", *WINDOW, "--llm", "scripted", "--quiet")
    assert code == 0, err
    (run,) = (varve_home / "runs").iterdir()
    for command in (["audit", run, "--seeds", "0"], ["rescore", run]):
        assert backtest(*command)[0] == 0
    made = Strangers(tmp_path / "strangers", backtest)
    made.prepare(run, varve_home)
    return made
