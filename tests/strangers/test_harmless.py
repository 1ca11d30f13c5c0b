"""The doors of text, each by itself: keys, terminal codes, cells of tables."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.harmless import HIDDEN, cell, csv_text, hide, line, shortened, visible

KEY = "sk-proj-Qw7eRt5yUi9oPz3xCv1bNm8k"
BODY = KEY.removeprefix("sk-proj-")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@settings(deadline=None)
@given(st.text(max_size=30), st.integers(0, len(BODY) - 8), st.integers(8, 30), st.text(max_size=30))
def test_no_eight_characters_of_a_key_are_left(before, start, length, after):
    shown = hide(before + BODY[start : start + length] + after, (KEY,))
    assert not [at for at in range(len(BODY) - 7) if BODY[at : at + 8] in shown]
    assert HIDDEN in shown


def test_the_public_part_of_a_key_says_nothing_and_goes_with_it():
    assert hide(f"key {KEY}!", (KEY,)) == f"key {HIDDEN}!"
    assert hide(f"Bearer {KEY}", (KEY,)) == f"Bearer {HIDDEN}"
    assert hide("sk-proj- is how they begin", (KEY,)) == "sk-proj- is how they begin"
    assert hide(BODY[:7] + " " + BODY[9:16], (KEY,)) == BODY[:7] + " " + BODY[9:16]


def test_what_is_not_seen_does_not_part_a_key():
    for unseen in ("\x00", "\u200b", "\u2060", "\xad", "\ufeff", "\x1b"):
        assert hide(f"{BODY[:5]}{unseen}{BODY[5:12]}", (KEY,)) == HIDDEN


def test_the_key_of_the_environment_is_hidden_and_a_placeholder_is_a_word(monkeypatch):
    assert hide(BODY) == BODY
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert hide(BODY) == HIDDEN
    monkeypatch.setenv("OPENAI_API_KEY", "not-needed")
    assert hide("this is not-needed") == "this is not-needed"


def test_a_short_key_is_hidden_whole():
    assert (
        hide("sk-proj-abcdef is it, abcdef is not", ("sk-proj-abcdef",)) == f"{HIDDEN} is it, abcdef is not"
    )


@pytest.mark.parametrize("text", [
    "=1+1", "+1+1", "-1+1", "@x", "\tx", "\rx", " =x", "  @x", "\"=x", "'=x", "=cmd|' /C calc'!A1", "＝x",
    "- rising", "\n=x", "\ufeff=x", "+", "-",
])  # fmt: skip
def test_a_text_that_would_be_a_formula_is_marked(text):
    marked = "'" + text.replace("\r", "\n")
    assert cell(text) == marked
    ((read,),) = list(csv.reader(io.StringIO(csv_text(["a"], [[text]]), newline="")))[1:]
    assert read == marked


@pytest.mark.parametrize(
    "value",
    [1, -1.5, None, True, "x=1", "rises - falls", "", "-1.5", "+2", "-1e-05", "nan", "2023-01-03"],
)
def test_a_number_and_any_other_text_stay(value):
    assert cell(value) is value


def test_a_line_end_in_a_text_begins_no_row():
    text = csv_text(["a", "b"], [["x\r=cmd", "y\r\n=cmd\n=cmd"]])
    assert len(list(csv.reader(io.StringIO(text, newline="")))) == 2
    assert len(list(csv.reader(io.StringIO(text)))) == 2


def test_a_table_without_formulas_has_the_bytes_of_any_csv():
    assert csv_text(["a", "b"], [[1, "x, y"], [-0.5, None]]) == 'a,b\n1,"x, y"\n-0.5,\n'


def test_what_commands_a_terminal_is_seen():
    assert visible("a\x1b[2J\x9b\x07\r\u202e\u200b\u2028é日本😀\n\tb") == (
        "a\\x1b[2J\\x9b\\x07\\r\\u202e\\u200b\\u2028é日本😀\n\tb"
    )
    assert line("error: x\n  → run: rm") == "error: x\\n  → run: rm"
    assert visible("\udc80") == "\\udc80"


def test_a_long_text_keeps_its_ends():
    assert shortened("x" * 100, 100) == "x" * 100
    short = shortened("a" * 5000 + "z", 200)
    assert len(short) <= 210
    assert short.startswith("aaa")
    assert short.endswith("z")
