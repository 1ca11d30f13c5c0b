"""The scripted model: a rule over the text of the prompt, the same for everyone, tools used on condition."""

import os
import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from varve.errors import UsageError
from varve.finllm.chat.open_model import model_identity, open_model
from varve.finllm.replies.decide import decide_tool_schema, explain_tool_schema
from varve.finllm.scripted.chat_model import make_scripted
from varve.finllm.scripted.lexicon import fingerprint, sentiment
from varve.types import Action

DECIDE = decide_tool_schema(tuple(Action), [f"M{i}" for i in range(1, 41)])
EXPLAIN = explain_tool_schema([f"M{i}" for i in range(1, 41)])
FLAT_CLOSES = "100, 101, 100, 101, 100"


def tool(name):
    return {"type": "function", "function": {"name": name, "description": name, "parameters": {}}}


QUESTIONS = [tool(name) for name in ("recall_memory", "price_history", "news", "indicator")]


def prompt(*lines, news=(), closes=FLAT_CLOSES, profile="risk_seeking", reflections=(), more=""):
    day = "\n".join(
        [
            "Ticker: ACME",
            "Session: 2021-03-12 (Friday), ended; decision at 2021-03-15T13:00:00Z",
            f"Closes (USD, oldest first): {closes}",
            "<<<MEMORY_SHORT",
            *(lines or ["none"]),
            "MEMORY_SHORT>>>",
            "<<<MEMORY_REFLECTION",
            *(reflections or ["none"]),
            "MEMORY_REFLECTION>>>",
            "<<<NEWS",
            *(news or ["none"]),
            "NEWS>>>",
            more,
        ]
    )
    return [SystemMessage(f"Rules\nProfile: {profile}\nReply"), HumanMessage(day)]


def reply(messages, tools=(DECIDE,)):
    return open_model("scripted").bind_tools(list(tools)).invoke(messages)


def decision(messages, tools=(DECIDE,)):
    (made,) = reply(messages, tools).tool_calls
    assert made["name"] == "decide"
    return made["args"]


def line(label, text, day="2021-03-12", kind="news"):
    return f"{label} | {day} | {kind} | {text}"


GOOD = [line(f"M{i}", f"Acme wins order number {i}") for i in range(1, 10)]
BAD = [line(f"M{i}", f"Acme loses order number {i}") for i in range(1, 10)]


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("Acme beats estimates as demand surges", 1),
        ("Acme misses estimates as demand weakens", -1),
        ("Regulator opens probe; shares plunged", -1),
        ("Acme upgraded to buy", 1),
        ("Acme does not beat estimates", -1),
        ("Acme denies fraud", 1),
        ("Acme rises despite the recall", 1),
        ("Acme beats on revenue but misses on profit", 0),
        ("Acme opens an office", 0),
        ("BEATS", 1),
        ("Acme reports dropping margins", -1),
        ("Acme posted recorded minutes", 0),
        ("", 0),
    ],
)
def test_sentiment_of_a_line(text, side):
    value = sentiment(text)
    assert (value > 0) - (value < 0) == side
    assert -1 <= value <= 1


def test_good_news_is_bought_bad_news_sold_and_chatter_held():
    assert decision(prompt(*GOOD))["action"] == "BUY"
    assert decision(prompt(*BAD))["action"] == "SELL"
    assert decision(prompt(line("M1", "Acme opens an office")))["action"] == "HOLD"


def test_it_cites_at_most_five_lines_that_agree_the_freshest_first():
    lines = [
        line("M1", "Acme loses an order"),
        line("M2", "Acme wins an old order", "2021-03-02"),
        line("M3", "Acme opens an office"),
        *[line(f"M{i}", f"Acme wins order {i}") for i in range(4, 10)],
    ]
    cited = decision(prompt(*lines))["cited_memories"]
    assert cited == ["M4", "M5", "M6", "M7", "M8"]


def test_confidence_is_in_steps_of_five_and_grows_with_the_score():
    some, many = decision(prompt(GOOD[0])), decision(prompt(*GOOD))
    assert some["confidence"] < many["confidence"] <= 95
    assert {made["confidence"] % 5 for made in (some, many)} == {0}


def test_old_news_counts_less_and_very_old_news_nothing():
    fresh = decision(prompt(line("M1", "Acme wins an order")))
    older = decision(prompt(line("M1", "Acme wins an order", "2021-03-01")))
    ancient = decision(prompt(line("M1", "Acme wins an order", "2021-02-01")))
    assert [made["action"] for made in (fresh, older, ancient)] == ["BUY", "HOLD", "HOLD"]
    assert ancient["cited_memories"] == []


def test_a_text_shown_twice_counts_once():
    once = decision(prompt(line("M1", "Acme wins an order")))
    twice = decision(prompt(line("M1", "Acme wins an order"), news=[line("-", "Acme wins an order")]))
    assert once["rationale"] == twice["rationale"]


def test_the_profile_shifts_both_thresholds():
    up, down = [line("M1", "Acme wins an order", "2021-03-08")], [line("M1", "Acme loses it", "2021-03-08")]
    actions = {
        (profile, side): decision(prompt(*lines, profile=profile))["action"]
        for profile in ("risk_seeking", "risk_averse")
        for side, lines in (("up", up), ("down", down))
    }
    assert actions == {
        ("risk_seeking", "up"): "BUY",
        ("risk_averse", "up"): "HOLD",
        ("risk_seeking", "down"): "HOLD",
        ("risk_averse", "down"): "SELL",
    }


def test_the_trend_counts_a_little():
    lines = [line("M1", "Acme wins an order", "2021-03-05")]
    rising, falling = "100, 102, 104, 106, 108", "108, 106, 104, 102, 100"
    assert decision(prompt(*lines, closes=rising))["action"] == "BUY"
    assert decision(prompt(*lines, closes=falling))["action"] == "HOLD"


def test_outcomes_of_its_own_decisions_correct_it():
    def outcome(label, action, reward):
        text = f"2021-03-04, ACME: {action} was followed by +1.00 % in 5 sessions; position long 1, "
        text += f"reward {reward} %. The reasons had been: none"
        return line(label, text, "2021-03-11", "outcome")

    news = line("M9", "Acme wins an order", "2021-03-04")
    well = [outcome(f"M{i}", "BUY", f"+{i}.00") for i in range(1, 6)]
    badly = [outcome(f"M{i}", "BUY", f"-{i}.00") for i in range(1, 6)]
    assert decision(prompt(news, reflections=well))["action"] == "BUY"
    assert decision(prompt(news, reflections=badly))["action"] == "HOLD"


def asked(messages):
    return [(made["name"], made["args"]) for made in reply(messages, [*QUESTIONS, DECIDE]).tool_calls]


def test_with_few_lines_it_first_asks_for_news_and_uses_the_answer():
    messages = prompt(line("M1", "Acme opens an office"))
    assert asked(messages) == [("news", {"days": 16})]
    question = reply(messages, [*QUESTIONS, DECIDE])
    answer = "\n".join(["<<<NEWS", *GOOD, "NEWS>>>"])
    told = [*messages, question, ToolMessage(answer, tool_call_id=question.tool_calls[0]["id"])]
    assert decision(told, [*QUESTIONS, DECIDE])["action"] == "BUY"


def test_with_contradicting_lines_it_first_asks_memory_and_prices():
    mixed = [GOOD[i] if i % 2 else line(f"M{i + 1}", f"Acme loses order number {i}") for i in range(8)]
    assert asked(prompt(*mixed)) == [
        ("recall_memory", {"query": "ACME Acme loses order number 0", "tier": "short"}),
        ("price_history", {"days": 20}),
    ]


def test_with_clear_lines_or_without_tools_it_decides_at_once():
    assert [name for name, _ in asked(prompt(*GOOD))] == ["decide"]
    assert decision(prompt(), [DECIDE])["action"] == "HOLD"


def test_after_a_reask_it_still_reads_the_day():
    messages = [*prompt(*GOOD), AIMessage("nonsense"), HumanMessage("That was no usable reply: try again.")]
    assert decision(messages)["action"] == "BUY"


def test_its_own_earlier_words_are_no_evidence():
    own = AIMessage("\n".join(["<<<NEWS", *BAD, "NEWS>>>"]))
    assert decision([*prompt(*GOOD), own])["action"] == "BUY"


def test_a_lesson_is_explained_by_the_lines_that_agree_with_the_outcome():
    lines = [line("M1", "Acme wins an order"), line("M2", "Acme loses an order")]
    for moved, cited in (("+4.20", ["M1"]), ("-4.20", ["M2"])):
        more = f"Outcome: from the next fill to the close 5 sessions on, ACME moved {moved} % (cost +0.10 %)."
        (made,) = reply(prompt(*lines, more=more), [EXPLAIN]).tool_calls
        assert made["name"] == "explain"
        assert made["args"]["cited_memories"] == cited
        assert f"{moved} %" in made["args"]["rationale"]


def test_without_tools_it_says_what_it_would_do():
    answer = open_model("scripted").invoke(prompt(*GOOD))
    assert answer.tool_calls == []
    assert "BUY" in answer.text
    plain = open_model("scripted").invoke("news: Acme wins an order\nnews: Acme beats estimates")
    assert "BUY" in plain.text


def test_usage_is_reckoned_at_four_characters_a_token():
    messages = prompt(*GOOD)
    usage = reply(messages).usage_metadata
    assert usage["input_tokens"] == -(-sum(len(m.text) for m in messages) // 4)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_tokens"] > 10


def test_its_identity_holds_the_rule_and_the_words_and_not_the_seed():
    one, other = (model_identity(make_scripted("", seed=seed)) for seed in (0, 7))
    assert one["fingerprint"] == other["fingerprint"]
    assert one["settings"]["lexicon"] == fingerprint()
    assert one["settings"]["rule"]["few_items"] > 0


def test_an_argument_is_refused():
    with pytest.raises(UsageError, match="takes no argument"):
        open_model("scripted:large")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<<<NEWS",
        "NEWS>>>",
        "Session: 2021-99-99",
        "Closes (USD, oldest first): ,,",
        "Closes (USD, oldest first): 1e999, 1, 1, 1e999",
        "<<<A\nM1 | 2021-13-45 | x | y\nA>>>",
    ],
)
def test_broken_prompts_are_answered_all_the_same(text):
    assert decision([HumanMessage(text)])["action"] == "HOLD"


def test_replies_do_not_hang_on_the_hash_seed():
    code = (
        "from tests.finllm.scripted.test_chat_model import *\n"
        "mixed = [line(f'M{i}', t) for i, t in enumerate(['Acme wins', 'Acme loses', 'Acme beats'], 1)]\n"
        "print(decision(prompt(*mixed, *GOOD[3:])), asked(prompt(*mixed)))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
