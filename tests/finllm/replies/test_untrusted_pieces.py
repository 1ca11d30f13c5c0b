"""Every piece of a chat template by name, in either case, with blanks between its letters or without."""

import pytest

from varve.finllm.replies.untrusted import clean

BRACKETED = [
    "INST",
    "SYS",
    "SYSTEM_PROMPT",
    "TOOL_CALLS",
    "TOOL_CALL",
    "TOOL_RESULTS",
    "TOOL_CONTENT",
    "AVAILABLE_TOOLS",
    "ARGS",
    "CALL_ID",
    "THINK",
    "IMG",
    "IMG_BREAK",
    "IMG_END",
    "PREFIX",
    "SUFFIX",
    "MIDDLE",
    "gMASK",
    "sMASK",
    "MASK",
    "CLS",
    "SEP",
    "PAD",
    "UNK",
    "BOS",
    "EOS",
]
TAGS = [
    "s",
    "think",
    "thinking",
    "reasoning",
    "analysis",
    "final",
    "bos",
    "eos",
    "eot",
    "pad",
    "unk",
    "mask",
    "system",
    "user",
    "assistant",
    "human",
    "model",
    "tool",
    "tools",
    "tool_call",
    "tool_calls",
    "tool_response",
    "function",
    "function_call",
    "function_calls",
    "start_of_turn",
    "end_of_turn",
    "im_start",
    "im_end",
    "endoftext",
]
ROLES = ["Instruction", "Response", "Input", "System", "User", "Assistant", "Human"]
INVISIBLE = [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0x180B, 0x180F]
SELECTORS = [0xFE00, 0xFE0F, 0xE0100, 0xE01EF]
UNSEEN = [0x00, 0x07, 0x200B, 0x202E, 0xD800, 0xE000, 0xF8FF]
VISIBLE = [0x034E, 0x1810, 0x17B3, 0x17B6, 0x2801, 0xFE10, 0xFFA1]


def left(piece):
    return clean(f"a{piece}b", 100)[0]


@pytest.mark.parametrize("word", BRACKETED)
def test_a_bracketed_piece_goes(word):
    spaced = " ".join(word)
    for one in (word, word.lower(), word.upper(), f"/{word}", spaced, f" {spaced.lower()} "):
        assert left(f"[{one}]") == "a b"


@pytest.mark.parametrize("word", TAGS)
def test_a_tag_goes(word):
    spaced = " ".join(word)
    for one in (word, word.upper(), f"/{word}", spaced, f" / {spaced.upper()} "):
        assert left(f"<{one}>") == "a b"


@pytest.mark.parametrize("word", ROLES)
def test_the_heading_of_a_role_goes(word):
    for one in (f"### {word}:", f"###{word.lower()}", f"# # # {word.upper()} :"):
        assert left(one) == "a b"


@pytest.mark.parametrize("point", [*INVISIBLE, *SELECTORS, *UNSEEN])
def test_an_invisible_character_goes(point):
    assert left(chr(point)) == "ab"


@pytest.mark.parametrize("point", VISIBLE)
def test_its_visible_neighbours_stay(point):
    assert left(chr(point)) not in ("ab", "a b")


def test_other_words_in_brackets_stay():
    for one in ("[INS]", "[IMAGE]", "## System:", "[XX]"):
        assert left(one) == f"a{one}b"


@pytest.mark.parametrize(("text", "left_of_it"), [("ok", "ok…"), ("o…", "o…")])
def test_what_is_cut_within_structure_ends_in_one_ellipsis(text, left_of_it):
    assert clean(text + "<b>" * 2_000, 1) == (left_of_it, True)
