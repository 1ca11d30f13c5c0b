"""The README's commands do what it says, in its order."""

import re
from datetime import date
from pathlib import Path

import pytest

from varve.market import get_calendar

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands():
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line.split() for block in blocks for line in block.splitlines() if line.strip()]


def test_the_readme_names_the_two_commands_of_the_makefile():
    assert commands()[:2] == [["make", "demo"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text()
    assert "backtest run --agent finmem --ticker TSLA" in makefile
    assert re.search(r"^test: .*\n\t.*pytest", makefile, re.MULTILINE)


@pytest.mark.timeout(600)
def test_every_command_of_the_readme_runs(backtest, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    sessions = get_calendar("XNYS").sessions(date(2023, 1, 3), date(2023, 9, 29))
    rows = [f"{session},{100 + i % 17}" for i, session in enumerate(sessions)]
    (tmp_path / "prices.csv").write_text("\n".join(["date,close", *rows]) + "\n")
    wanted = [command[1:] for command in commands() if command[0] == "backtest"]
    assert len(wanted) >= 9
    for arguments in wanted:
        code, out, err = backtest(*arguments)
        assert code == 0, (arguments, err)
        assert out.strip(), arguments


def test_every_link_of_the_readme_and_docs_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), (page.name, target)
