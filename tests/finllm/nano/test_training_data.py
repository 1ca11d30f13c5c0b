"""nano's data: what is held out stays out, the teacher's rule, prompts read for what they say."""

import json
import re
from importlib import resources
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.agents.finmem.prompting import render
from varve.finllm.engine.rows import CLOSING_TOKENS
from varve.finllm.nano import answers as teacher
from varve.finllm.nano import prompt_view as view
from varve.finllm.nano import tokenizer as tokens
from varve.finllm.nano import wording
from varve.finllm.nano.examples import _Scene, draw_example
from varve.finllm.nano.shipped import MAX_NEW_TOKENS, WEIGHTS
from varve.finllm.nano.training import heldout
from varve.finllm.nano.training.trainer import TRAINED_LENGTH
from varve.finllm.replies.untrusted import section
from varve.market.worlds.grammar import patterns


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(WEIGHTS / "tokenizer.json"))


def about():
    return json.loads(resources.files("varve.finllm.nano.training").joinpath(heldout.ABOUT).read_text())


def test_held_out_rows_are_those_that_were_committed():
    rows, digest = heldout.read_heldout()
    assert digest == about()["sha256"]
    counted = {split: sum(row.split == split for row in rows) for split in heldout.ROWS}
    assert counted == heldout.ROWS == about()["splits"]
    assert about()["overlap_of_8_grams"]["wording"]["largest_row_share"] < 0.1


@pytest.mark.parametrize("split", heldout.ROWS)
def test_held_out_rows_are_drawn_by_their_seed(split):
    kept = [row for row in heldout.read_heldout()[0] if row.split == split][:20]
    rng, drawn = Random(heldout.SEEDS[split]), {}
    while len(drawn) < 400 and kept[-1].prompt not in drawn:
        example = heldout.draw_row(rng, split)
        drawn[tokens.prompt_of(example)] = (example.tools, example.target)
    # Rows were left out for their length in the tokens of their day; the others stand in order.
    places = [list(drawn).index(row.prompt) for row in kept]
    assert places == sorted(places)
    assert [drawn[row.prompt] for row in kept] == [(row.tools, row.target) for row in kept]


def test_training_shares_next_to_no_eight_words_in_a_row_with_the_held_out_wording():
    rng, trained = Random(11), set()
    for _ in range(3000):
        for line in draw_example(rng, "train").lines:
            trained.update(heldout.grams(line))
    rng = Random(heldout.SEEDS["wording"])
    rows = [heldout.draw_row(rng, "wording") for _ in range(200)]
    assert heldout.largest_overlap(rows, trained)["share_of_all"] < 0.005
    fresh = [heldout.draw_row(rng, "fresh") for _ in range(200)]
    assert heldout.largest_overlap(fresh, trained)["share_of_all"] > 0.05


def shape_of(pattern):
    """A pattern as an expression that any line made of it contains."""
    pieces = re.split(r"\{\w+\}", pattern[0].lower() + pattern[1:])
    return ".+".join(re.escape(piece) for piece in pieces)


def test_training_never_draws_what_is_held_out():
    held = [
        entry
        for name, rule, kept in [
            ("positive", "phrase", 5), ("negative", "phrase", 5), ("positive", "world", 1),
            ("negative", "world", 1), ("neutral", "world", 1),
        ]
        for entry in wording._part(name, rule, True)
        if kept
    ]  # fmt: skip
    assert len(held) > 35
    union = re.compile("|".join(f"(?:{shape_of(entry)})" for entry in held), re.IGNORECASE)
    rng = Random(3)
    examples = [draw_example(rng, "train") for _ in range(1500)]
    lines = {line for example in examples for line in example.lines}
    assert not [line for line in lines if union.search(line)]
    companies = {entry.partition(":")[0] for entry in wording._part("companies", "companies", True)}
    assert not [line for line in lines if any(company in line for company in companies)]
    tickers = {example.messages[1][1].split()[0] for example in examples}
    named = {entry.partition(":")[2] for entry in wording._part("companies", "companies", False)}
    assert all(sum(map(ord, ticker)) % 7 for ticker in tickers - named)


def test_the_wording_split_draws_nothing_but_what_is_held_out():
    rng = Random(4)
    subject = wording.draw_subject(rng, "wording")
    shapes = {
        tone: [
            shape_of(entry)
            for name, rule in (
                (wording._WORLD[tone], "world"), (wording._WORLD[tone], "phrase"),
            )
            for entry in wording._part(name, rule, True)
        ]
        for tone in ("good", "bad", "plain")
    }  # fmt: skip
    for _ in range(60):
        line = wording.headline(rng, subject, "plain", "wording")
        assert any(re.search(one, line, re.IGNORECASE) for one in shapes["plain"])
    assert patterns()["positive"][1] in wording._part("positive", "world", True)


@pytest.mark.parametrize(
    ("lean", "position", "averse", "shorting", "action"),
    [
        ("for", "flat", False, False, "BUY"),
        ("for", "short", True, True, "FLAT"),
        ("for", "short", False, True, "BUY"),
        ("against", "long", False, False, "SELL"),
        ("against", "long", True, False, "FLAT"),
        ("against", "flat", False, False, "HOLD"),
        ("against", "flat", True, True, "SELL"),
        ("neither", "long", True, True, "HOLD"),
    ],
)
def test_the_teachers_action(lean, position, averse, shorting, action):
    page = view.View("ACME", averse, shorting, position, (), (), (), ())
    assert teacher.action_of(lean, page) == action


def test_the_teacher_counts_what_stands_on_the_page():
    news = (
        view.Line("M1", "news", "a"),
        view.Line("M2", "news", "b"),
        view.Line("M3", "news", "c", old=True),
    )
    own = (view.Line("M4", "outcome", "SELL lost -2.0"), view.Line("M5", "rationale", "decided BUY"))
    page = view.View("ACME", False, False, "flat", ((10, 5.0),), news, (), own)
    made = teacher.decision(page, {"M1": "good", "M2": "bad", "M3": "good"})
    assert made.arguments["rationale"] == "M1 good +1, M2 bad +0, M3 old +0, M4 good +1, trend rise +2, for"
    assert made.arguments["action"] == "BUY"
    assert made.arguments["confidence"] == 60
    assert made.arguments["cited_memories"] == ["M1", "M4"]


def test_the_teacher_asks_once_and_the_first_that_fits():
    bare = view.View("ACME", True, False, "long", (), (), (), ())
    assert teacher.question(bare).name == "price_history"
    steep = view.View("ACME", True, False, "long", ((1, -7.0), (10, 1.0)), (), (), ())
    assert teacher.question(steep).name == "indicator"
    held = view.View("ACME", False, False, "long", ((1, -7.0), (10, 1.0)), (), (), ())
    assert teacher.question(held).arguments == {"query": "ACME long", "tier": "reflection"}
    quiet = view.View("ACME", False, False, "flat", ((10, 1.0),), (), (), ())
    assert teacher.question(quiet).name == "news"
    asked = view.View("ACME", False, False, "flat", ((10, 1.0),), (), (), (), asked=True)
    assert teacher.question(asked) is None


def finmem_texts(page):
    """The page as FinMem's own prompt files say it."""
    day = {True: "2021-01-02", False: "2021-03-11"}

    def line(one):
        text = one.text
        if one.kind == "outcome":
            action, _, reward = text.split()
            text = f"2021-03-01, {page.ticker}: {action} was followed by +1.00 % in 5 sessions; "
            text += f"position long 1, reward {float(reward):+.2f} %. The reasons had been: none"
        elif one.kind == "rationale":
            text = f"2021-03-01, {page.ticker}: {text} at 60 %. M1 good"
        elif one.kind == "lesson":
            moved = text.rsplit(" ", 1)[0]
            text = f"2021-03-01, {page.ticker}: lesson; the price {moved} % in the 5 sessions after. M1 good"
        return f"{one.label} | {day[one.old]} | {one.kind} | {text}"

    remembered, reflected = ([line(one) for one in part] or ["none"] for part in (page.memory, page.own))
    memories = f"{section('MEMORY_SHORT', remembered)}\n{section('MEMORY_REFLECTION', reflected)}"
    rules = render(
        "system",
        profile_file=f"profile_risk_{'averse' if page.averse else 'seeking'}.j2",
        contract_file="contract_decide.j2",
        background="",
        rounds=2,
        fill="Orders fill at the open of the next session.",
        shorting="SELL when flat opens a short position, BUY closes it."
        if page.shorting
        else "There are none.",
    )
    changes = ", ".join(f"{n} sessions {change:+.2f} %" for n, change in page.changes)
    day_page = render(
        "decide",
        ticker=page.ticker,
        session="2021-03-12",
        weekday="Friday",
        decision_at="2021-03-15T13:00:00Z",
        position=page.position if page.position == "flat" else f"{page.position} 12",
        account="Cash: 1.00 USD; equity: 2.00 USD",
        currency="USD",
        closes="1, 2, 3",
        changes=changes or "unknown",
        memories=memories,
        news=section("NEWS", [line(one) for one in page.news] or ["none"]),
    )
    return [("system", rules), ("user", day_page)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_a_finmem_prompt_is_read_for_what_it_says(seed):
    page = _Scene(Random(seed), "fresh", 1.0, 1.0).draw()
    page = view.replace(page, moved=None)
    # A number shown as 0.0 no longer has the sign that its word was made from.
    page = view.replace(page, own=tuple(one for one in page.own if "0.0" not in one.text))
    # Nor does a cut text keep the blank that it may end with.
    page = view.replace(page, memory=tuple(view.replace(one, text=one.text.strip()) for one in page.memory))
    assert view.read_view(finmem_texts(page)) == page


def test_tool_answers_are_read():
    page = _Scene(Random(2), "fresh", 1.0, 1.0).draw()
    texts = finmem_texts(view.replace(page, moved=None))
    label = page.lines[0].label
    news = section("NEWS", [f"{label} | 2021-03-11 | news | again", "M70 | 2021-03-10 | news | new"])
    found = view.read_view([*texts, ("tool", news)])
    assert [line.label for line in found.answer] == ["M70"]
    prices = section("PRICES", ["2021-03-10 | 1 | 1 | 1 | 10 | 5", "2021-03-11 | 1 | 1 | 1 | 11 | 5"])
    assert view.read_view([*texts, ("tool", prices)]).note == "prices +10.0 rise"
    told = view.read_view([*texts, ("tool", "volatility(20) = 0.0412 after 2021-03-12")])
    assert told.note == "volatility 0.041 high"
    assert view.read_view([("user", "Good day")]) is None


def test_lines_left_out_are_counted():
    many = [f"M{n} | 2021-03-11 | news | text {n}" for n in range(1, 12)]
    day = (
        f"Ticker: ACME\nSession: 2021-03-12\n{section('NEWS', [*many, '- | 2021-03-11 | news | unlabelled'])}"
    )
    page = view.read_view([("user", day)])
    assert [line.label for line in page.news] == ["M6", "M7", "M8", "M9", "M10", "M11"]
    assert page.left_out == 6
    assert view.without_last(page).left_out == 7


def test_the_template_renders_what_training_saw():
    from transformers import AutoTokenizer

    tokenizer, longest = AutoTokenizer.from_pretrained(str(WEIGHTS)), 0
    for seed in range(400):
        example = draw_example(Random(seed), "train")
        said = [{"role": role, "content": text} for role, text in example.messages]
        tools = [{"type": "function", "function": {"name": name}} for name in example.tools]
        text = tokenizer.apply_chat_template(said, tools=tools, tokenize=False, add_generation_prompt=True)
        assert text == tokens.prompt_of(example)
        reply = tokenizer(example.target.text)["input_ids"]
        assert tokenizer.decode(reply) == example.target.text
        if len(tokenizer(text)["input_ids"]) + len(reply) < TRAINED_LENGTH:
            longest = max(longest, len(reply))
    # Where fewer tokens are left, a constrained reply is steered to its end.
    assert 150 < longest <= MAX_NEW_TOKENS - CLOSING_TOKENS
