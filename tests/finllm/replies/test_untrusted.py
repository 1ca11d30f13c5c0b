from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from varve.errors import SettingError
from varve.finllm.replies.untrusted import CHARACTERS_PER_TOKEN, clean, section

TOKENS = [
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|turn>",
    "<turn|>",
    "< | im_start | >",
    "<｜User｜>",
    "<｜tool▁calls▁begin｜>",
    "＜｜Assistant｜＞",
    "＜ｔｈｉｎｋ＞",
    "<s>",
    "</s>",
    "< / s >",
    "[INST]",
    "[/INST]",
    "[ I N S T ]",
    "［INST］",
    "[AVAILABLE_TOOLS]",
    "<<SYS>>",
    "<</SYS>>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "< t h i n k >",
    "<function=decide>",
    "<invoke name='decide'>",
    "<!-- system -->",
    "<<<NEWS",
    "NEWS>>>",
    "< < <",
    "### Instruction:",
    "# # # Response",
    "[|system|]",
    "◁think▷",
    "[e~[",
    "<th\u200bink>",
    "<\u200d|im_start|>",
    "<|\x00im_start|>",
    "\U000e0041\U000e0042",
]
SPLICES = [
    "<|",
    "|>",
    "<<",
    ">>",
    "[INST]",
    "<s>",
    "think",
    "<",
    ">",
    "[",
    "]",
    "/",
    "|",
    "im_start",
    " ",
    "…",
]
hostile = st.lists(st.sampled_from(TOKENS + SPLICES) | st.text(max_size=6), max_size=12).map("".join)
texts = st.text(max_size=200) | hostile
NEVER = [
    "<|",
    "|>",
    "<<",
    ">>",
    "[INST]",
    "[/INST]",
    "<s>",
    "</s>",
    "<think>",
    "<tool_call>",
    "<start_of_turn>",
]


@pytest.mark.parametrize("token", TOKENS)
def test_no_structure_is_left_of_any_known_token(token: str) -> None:
    cleaned, cut = clean(f"Shares {token} rose", 50)
    assert not cut
    assert not any(sign in cleaned for sign in "<>[]#|◁▷")
    assert cleaned.startswith("Shares")
    assert cleaned.endswith("rose")


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("inner", ["<s>", "[INST]", "<|x|>", "<<<"])
def test_nested_pieces_do_not_recombine(token: str, inner: str) -> None:
    for at in range(1, len(token)):
        cleaned, _ = clean(token[:at] + inner + token[at:], 50)
        assert clean(cleaned, 50) == (cleaned, False)
        assert not any(piece in cleaned for piece in NEVER)


@given(texts, st.integers(1, 30))
@example("<" * 50, 1)
@example("ends in …", 2)
@example("<<thi<think>nk>>", 20)
def test_cleaning_is_idempotent_within_the_limit_and_leaves_no_structure(text: str, tokens: int) -> None:
    cleaned, _ = clean(text, tokens)
    assert clean(cleaned, tokens) == (cleaned, False)
    assert len(cleaned) <= CHARACTERS_PER_TOKEN * tokens
    assert not any(piece in cleaned.lower() for piece in map(str.lower, NEVER))
    assert "\n" not in cleaned
    assert "  " not in cleaned
    cleaned.encode("utf-8")


@given(st.lists(texts, max_size=4))
def test_a_section_ends_once_and_has_one_line_per_item(lines: list[str]) -> None:
    rendered = section("NEWS", lines)
    assert rendered.split("\n")[0] == "<<<NEWS"
    assert rendered.split("\n")[-1] == "NEWS>>>"
    assert rendered.count("<<<") == rendered.count(">>>") == 1
    assert len(rendered.split("\n")) == len(lines) + 2


@pytest.mark.parametrize(
    "text",
    ["P/E < 10 while margin > 5 %", "Brand™ up ½ % to 3 m² …", "Überschuß 第一季", "[UPDATE] a | b", "Q3 #1"],
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert clean(text, 50) == (text, False)


def test_line_ends_and_blanks_become_single_spaces() -> None:
    assert clean("  a\r\n\tb\u00a0\u2028c \x07d ", 50) == ("a b c d", False)


def test_a_text_of_exactly_the_limit_is_not_cut() -> None:
    assert clean("abcd efgh", 3) == ("abcd efgh", False)
    assert clean("x" * 12, 3) == ("x" * 12, False)
    assert clean("x" * 13, 3) == ("x" * 11 + "…", True)


def test_a_long_text_is_cut_between_words() -> None:
    assert clean("one two three four five", 4) == ("one two three…", True)


def test_a_hostile_text_costs_little() -> None:
    started = time.perf_counter()
    nested = "[I" * 50_000 + "NST]" * 50_000  # each round frees one more
    for text in (nested, "<" * 200_000, "<s" * 100_000 + ">" * 100_000, "[ " * 100_000, "<|" * 100_000):
        clean(text, 100)
    assert time.perf_counter() - started < 5


def test_no_room_at_all_is_refused() -> None:
    with pytest.raises(SettingError, match="at least 1"):
        clean("text", 0)


@pytest.mark.parametrize("name", ["news", "", "NEWS>>>", "A B", "NEWS\n"])
def test_a_section_has_a_plain_name(name: str) -> None:
    with pytest.raises(SettingError, match="section name"):
        section(name, [])
