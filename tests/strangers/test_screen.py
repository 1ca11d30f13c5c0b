"""The command line has one way to the terminal, and one form of failure."""

import ast
from pathlib import Path

import pytest

from varve.cli import app as cli
from varve.errors import BadFileError

CLI = Path(cli.__file__).parent


def test_nothing_but_the_screen_prints_with_rich_or_knows_markup():
    for path in sorted(CLI.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich"):
                names = {one.name for one in node.names}
                assert not names & {"Console", "escape", "Text", "TextColumn", "print"}, path
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
                assert path.name == "app.py", path  # errors before there is a screen, and the version


@pytest.mark.parametrize("debug", [False, True])
def test_a_failure_of_several_lines_is_one_message(backtest, monkeypatch, debug):
    def fail(*given):
        raise BadFileError("bad\nerror: forged \x1b[2J", mend="mend\n→ it")

    monkeypatch.setattr(cli, "_print_registered", fail)
    code, _, err = backtest("list", "agents", *(["--debug"] if debug else []), traceback=debug)
    assert code == 3
    assert [text for text in err.split("\n") if text.startswith("error: ")] == ["error: bad"]
    assert "\x1b" not in err
    assert ("Traceback" in err) == debug


def test_a_defect_is_one_message_and_names_how_to_see_more(backtest, monkeypatch):
    def fail(*given):
        raise RuntimeError("\x1b[31mbroken")

    monkeypatch.setattr(cli, "_print_registered", fail)
    code, _, err = backtest("list", "agents")
    assert code == 1
    assert "RuntimeError: \\x1b[31mbroken" in err
    assert "--debug" in err
    code, _, err = backtest("list", "agents", "--debug", traceback=True)
    assert "Traceback" in err
    assert "\x1b" not in err
