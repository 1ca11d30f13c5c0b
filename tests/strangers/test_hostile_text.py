"""One hostile text in every field that someone else fills: no terminal, page or table takes it for more."""

import csv
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.mutations import places, replaced
from varve.testing import model_server as fake
from varve.testing.model_server import FakeModelServer

pytest.importorskip("langchain_openai")

MARKUP = "[/b][red]evil[/red][link=http://x]"
CODES = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\x08\u202egnp.exe\u2066\u200b\u2028\x00"
PAGE = (
    "</td></script><script>alert(1)</script><img src=x onerror=alert(1)>\" onmouseover='a' {{7*7}} "
    "$\\frac{1}{0}$"
)
HOSTILE = f"=cmd|' /C calc'!A1 {MARKUP} {PAGE} javascript:alert(1)"
SHOWN = HOSTILE + CODES
WINDOW = ["--ticker", "TSLA", "--start", "2023-03-01", "--end", "2023-03-10", "--warmup-start", "2023-02-27"]
FREE_TEXTS = ("data_label", "reason", "unverified")
"""Fields of ``run.json`` that hold sentences."""


class Parts(HTMLParser):
    """What a page is made of: its elements, each with the names of its attributes, and where they lead."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.leads, self.text = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.add((tag, tuple(sorted(name for name, _ in attributes))))
        self.leads |= {
            value[:12] for name, value in attributes if name in ("href", "src", "action", "srcdoc")
        }

    def handle_data(self, data):
        self.text.append(data)


def commands_nothing(text):
    """Nothing in a text that went to a terminal commands it, or hides or turns what is read."""
    return not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", text)


def run_of(backtest, rationale, model="fake"):
    behaviour = fake.decide(rationale=rationale, action="BUY", confidence=80)
    with FakeModelServer([behaviour]) as server:
        code, _, err = backtest(
            "run", *WINDOW, "--llm", f"openai:{model}@{server.base_url}", "--no-cache", "--quiet"
        )
    assert code == 0, err
    return max((Path(os.environ["VARVE_HOME"]) / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def shown(backtest, folder):
    """What every command that shows a run prints of it."""
    commands = (
        ["report", folder], ["compare", folder, folder], ["rescore", folder], ["memory", "show", folder],
        ["memory", "timeline", folder], ["trials", "list"], ["replay", folder],
        ["audit", folder, "--seeds", "0"],
        ["report", folder, "--json"], ["compare", folder, "--json"], ["run", "--resume", folder],
    )  # fmt: skip
    for command in commands:
        code, out, err = backtest(*command)
        assert code in (0, 2, 3, 5), (command, err)
        yield command, out, err


def test_a_hostile_reply_is_text_and_nothing_else(backtest, varve_home):
    usual = run_of(backtest, "It rises.")
    for _ in shown(backtest, usual):
        pass
    clean = Parts((usual / "report.html").read_text())
    folder = run_of(backtest, SHOWN, model="fake[/b]<img>")
    for command, out, err in shown(backtest, folder):
        assert commands_nothing(out + err), command
    for page in folder.glob("*.html"):
        hostile = Parts(page.read_text())
        if page.name == "report.html":
            assert hostile.elements <= clean.elements | {("table", ()), ("td", ()), ("th", ()), ("tr", ())}
        assert not [
            tag
            for tag, names in hostile.elements
            if tag == "script" or any(n.startswith("on") for n in names)
        ]
        assert hostile.leads <= {"data:image/p", *(lead for lead in hostile.leads if lead.startswith("#"))}
        assert commands_nothing(page.read_text())
    assert "alert(1)" in "".join(Parts((folder / "report.html").read_text()).text)
    check_tables(folder)


def check_tables(folder):
    """No cell of a table begins as a formula does, unless it is a number."""
    for name in ("decisions.csv", "trades.csv", "equity.csv"):
        rows = list(csv.reader((folder / name).read_text().splitlines()))
        for row in rows:
            for one in row:
                if one.lstrip(" \"'")[:1] in set("=+-@\t\r"):
                    assert one[:1] == "'" or float(one) == float(one), one
    texts = {row[-1] for row in csv.reader((folder / "decisions.csv").open())}
    assert any(text.startswith("'=cmd|") for text in texts)


@pytest.mark.timeout(900)
def test_a_hostile_record_is_shown_as_it_is(backtest, varve_home):
    folder = run_of(backtest, "It rises.")
    clean = Parts((folder / "report.html").read_text()).elements
    whole = json.loads((folder / "run.json").read_text())
    texts = [path for path in places(whole) if isinstance(_at(whole, path), str)]
    assert len(texts) > 50
    for path in [*texts, *((name,) for name in FREE_TEXTS)]:
        (folder / "run.json").write_text(
            json.dumps(replaced(whole, path, HOSTILE if path[0] == "config" else SHOWN))
        )
        for command in (["report", folder], ["compare", folder, folder], ["memory", "show", folder]):
            code, out, err = backtest(*command)
            assert code in (0, 2, 3, 5), (path, command, err)
            assert commands_nothing(out + err), (path, command)
            if command[0] == "report" and code == 0:
                page = Parts((folder / "report.html").read_text())
                assert not {tag for tag, _ in page.elements} & {"script", "iframe", "object"}, path
                assert page.elements <= clean | {("p", ("class",)), ("table", ()), ("pre", ())}, path


def _at(value, path):
    for key in path:
        value = value[key]
    return value


def test_a_field_of_a_file_of_prices_is_shown_as_it_is(backtest, shared_data):
    file = shared_data / "hostile" / "markup_field.json"
    code, out, err = backtest("data", "import", file, "--ticker", "EVIL")
    assert code == 0, err
    for command in (["data", "show", "EVIL"], ["data", "list"]):
        code, out, err = backtest(*command)
        assert code == 0, err
        assert commands_nothing(out + err)
    assert "[/b]evil" in backtest("data", "show", "EVIL")[1]


RUN = ["run", "--ticker", "TSLA"]


@pytest.mark.parametrize("words", [
    [], ["run", "--ticker"], ["run", "--resume"], ["run", "--config"], ["run", "--ticker", "A", "--seed"],
    [*RUN, "--agent"], [*RUN, "--llm"], [*RUN, "--set"], [*RUN, "--start"], [*RUN, "--memory"],
    [*RUN, "--embedder"], [*RUN, "--world"], [*RUN, "--costs"], ["data", "show"], ["report"], ["compare"],
    ["data", "import", "--ticker", "A"], ["list"], ["list", "settings"], ["cache", "import"], ["sweep"],
    ["memory", "import"], ["memory", "show"], ["trials", "list", "--ticker"], ["rescore"], ["replay"],
    ["llm", "serve-recipe"], ["llm", "doctor", "--llm"], ["cache", "prune", "--model"],
])  # fmt: skip
def test_a_hostile_argument_is_shown_as_it_is(backtest, words):
    code, out, err = backtest(*words, HOSTILE + CODES.replace("\x00", ""))
    fine = words[:2] in (["trials", "list"], ["llm", "serve-recipe"])
    assert code in ((0,) if fine else (2, 3)), err
    assert commands_nothing(out + err)
    assert err.count("error: ") <= 1
