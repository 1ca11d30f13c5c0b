"""The wheel works outside the checkout, and another package can add an agent without a change here."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WINDOW = ["--ticker", "TSLA", "--start", "2023-03-01", "--end", "2023-03-31"]


def call(*command, cwd, **environment):
    env = {**os.environ, "PYTHONPATH": "", **environment}
    return subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # From a copy: a build leaves folders in its source, and takes what an earlier one left there.
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "varve", source / "varve", ignore=shutil.ignore_patterns("__pycache__"))
    call(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source), cwd=out
    )
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_holds_the_package_and_its_files_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"varve"}
    for needed in (
        "varve/py.typed", "varve/market/worlds/patterns.toml", "varve/memory/embed/synonyms.txt",
        "varve/backtests/templates/report.html.j2", "varve/agents/finmem/prompts/system.j2",
    ):  # fmt: skip
        assert needed in names
    shipped = {
        str(p.relative_to(ROOT))
        for p in (ROOT / "varve").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert shipped <= set(names)


def test_the_wheel_runs_outside_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    call(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--quiet",
        "--target",
        str(site),
        str(wheel),
        cwd=tmp_path,
    )
    # Ahead of the checkout on the path, so that nothing of the checkout is imported.
    code = (
        "import sys; import varve; assert 'site' in varve.__file__, varve.__file__\n"
        "from varve.cli.app import main; main()"
    )
    home = {"PYTHONPATH": str(site), "VARVE_HOME": str(tmp_path / "home")}
    arguments = ["run", "--agent", "finmem", *WINDOW, "--json"]
    done = call(sys.executable, "-c", code, *arguments, cwd=tmp_path, **home)
    assert json.loads(done.stdout)["columns"][0]["name"] == "finmem"


def test_an_agent_of_another_package_is_found_listed_and_run(tmp_path):
    site = tmp_path / "site"
    plugin = tmp_path / "plugin"
    shutil.copytree(ROOT / "tests" / "plugin_package", plugin)
    call(
        sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet",
        "--target", str(site), str(plugin), cwd=tmp_path,
    )  # fmt: skip
    home = {"PYTHONPATH": str(site), "VARVE_HOME": str(tmp_path / "home")}
    backtest = [sys.executable, "-m", "varve.cli.app"]
    listed = call(*backtest, "list", "agents", cwd=tmp_path, **home).stdout
    assert "contrarian       Buys after a fall" in listed
    assert "gazette          Reads the news into memory" in listed
    done = call(*backtest, "run", "--agent", "contrarian", *WINDOW, "--json", cwd=tmp_path, **home)
    assert json.loads(done.stdout)["columns"][0]["metrics"]["trades"] > 3
    done = call(
        *backtest, "run", "--agent", "gazette", "--llm", "scripted", *WINDOW, "--json", cwd=tmp_path, **home
    )
    assert json.loads(done.stdout)["columns"][0]["metrics"]["usage"]["calls"] >= 22
