"""A run with everything beside it, whose copies the tests here change."""

import shutil

import pytest

from tests.strangers.doors import Strangers

WINDOW = ["--ticker", "TSLA", "--start", "2023-03-01", "--end", "2023-03-10", "--warmup-start", "2023-02-27"]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Where the home of the first test that asks is kept for the others."""
    return tmp_path_factory.mktemp("strangers") / "home"


@pytest.fixture
def strangers(backtest, varve_home, tmp_path, made):
    """A finished run with its audit and rescoring in a home of this test's own, and changed copies of it."""
    if made.exists():
        shutil.copytree(made, varve_home, dirs_exist_ok=True)
    else:
        code, _, err = backtest("run", *WINDOW, "--llm", "scripted", "--quiet")
        assert code == 0, err
        for command in (["audit", "latest", "--seeds", "0"], ["rescore", "latest"]):
            assert backtest(*command)[0] == 0
        shutil.copytree(varve_home, made)
    (run,) = (varve_home / "runs").iterdir()
    found = Strangers(tmp_path / "strangers", backtest)
    found.prepare(run, varve_home)
    return found
