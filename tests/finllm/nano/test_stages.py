"""nano on FinAgent: its real prompts are read for what they say, the teacher's answers fit its real forms."""

import re
from datetime import date
from random import Random

import pytest
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call

from tests.support.helpers import prepared, stage_forms
from varve.backtests.simulate.steps import simulate
from varve.finllm.nano import answers as teacher
from varve.finllm.nano import stage_view as stages
from varve.finllm.nano.examples import draw_stage
from varve.finllm.nano.prompt_view import Line, day_text, read_view
from varve.types import Failure

DAYS = {"warmup_start": date(2023, 2, 21), "start": date(2023, 3, 1), "end": date(2023, 3, 15)}


@pytest.fixture(scope="module")
def run():
    return simulate(prepared("finagent", "TSLA", llm="scripted", **DAYS))


@pytest.fixture(scope="module")
def calls(run):
    found = {}
    for step in run:
        for call in step.model_calls:
            found.setdefault(call.tools[-1]["function"]["name"], []).append(call)
    return found


def asked(call):
    return [str(message["content"]) for message in call.messages]


def views(calls, name):
    return [(stages.read_stage(name, asked(call)[1]), asked(call)[1], call) for call in calls[name]]


def test_news_are_read_with_their_labels(calls):
    for view, text, _ in views(calls, "summarise_news"):
        shown = [line for line in text.splitlines() if re.match(r"N\d+ \| ", line)]
        assert [line.label for line in view.lines] == [line.split(" | ")[0] for line in shown[-6:]]
        assert view.left_out == max(0, len(shown) - 6)
        assert view.ticker == "TSLA"
        for line, told in zip(view.lines, shown[-6:], strict=True):
            assert line.text in told
            assert line.kind == told.split(" | ")[2]


def test_earlier_intelligence_is_read_for_its_sentiments(calls):
    seen = set()
    for view, text, _ in views(calls, "summarise_past"):
        told = [line.rstrip(")").rsplit(", ", 1)[1] for line in text.splitlines() if line.startswith("- | ")]
        assert sorted(line.text for line in view.lines) == sorted(told) or len(told) > 8
        seen |= set(told)
    assert seen == {"positive", "negative", "neutral"}


def test_moves_and_decisions_are_read(calls):
    for view, text, _ in views(calls, "explain_moves"):
        assert [n for n, _ in view.moves] == [1, 7, 14]
        first = next(line for line in text.splitlines() if line.startswith("- 1 session: "))
        assert f"{view.moves[0][1]:+.2f} %" == first.removeprefix("- 1 session: ")
        assert {line.text for line in view.lines} <= {"positive", "negative", "neutral"}
    made = 0
    for view, text, _ in views(calls, "review_decisions"):
        lines = [line for line in text.splitlines() if " | price since " in line]
        assert [action for action, _ in view.decisions] == [line.split(" | ")[1] for line in lines][-8:]
        assert not view.lines
        made = max(made, len(lines))
    assert made > 8


def test_the_teachers_answers_fit_the_forms():
    forms = stage_forms()
    rng = Random(5)
    seen = set()
    for _ in range(300):
        example = draw_stage(rng, "train")
        name, arguments = example.target.name, dict(example.target.arguments)
        message = AIMessage("", tool_calls=[tool_call(name=name, args=arguments, id="1")])
        filled = forms[name].parse(message, [f"N{n}" for n in range(1, 9)])
        assert not isinstance(filled, Failure), filled
        seen.add(name)
    assert seen == set(stages.STAGES)


def test_what_the_teacher_says_of_a_stage():
    lines = (
        Line("N1", "news", "Acme wins a large order from Spain today"),
        Line("N2", "10-K", "Sales fell."),
    )
    view = stages.StageView("summarise_news", "ACME", lines)
    told = stages.answer(view, {"N1": "good", "N2": "bad"}).arguments
    assert [(one["horizon"], one["sentiment"]) for one in told["items"]] == [
        ("short", "positive"),
        ("long", "negative"),
    ]
    assert told["items"][0]["summary"] == "Acme wins a large order from"
    assert told["summary"] == "1 positive, 1 negative, 0 neutral"
    assert told["long_query"] == "ACME Sales fell."
    assert told["medium_query"] == "ACME medium"
    past = stages.StageView("summarise_past", "A", tuple(Line("-", "news", "negative") for _ in range(2)))
    assert stages.answer(past, {}).arguments == {"summary": "negative -1, negative -2, against"}
    moves = stages.StageView(
        "explain_moves", "A", (Line("M1", "news", "positive"),), ((1, 2.0), (7, -3.0), (14, None))
    )
    assert stages.answer(moves, {}).arguments == {
        "short": "rise, as told", "medium": "fall, nothing told", "long": "unknown, nothing told",
        "query": "A fall, nothing told",
    }  # fmt: skip
    made = (("BUY", 1.0), ("SELL", 2.0), ("HOLD", -1.0), ("FLAT", 0.5), ("BUY", None))
    review = stages.answer(stages.StageView("review_decisions", "A", decisions=made), {}).arguments
    assert review["right"] == "1 BUY +1, in all"
    assert review["missed"] == "2 SELL +1, 4 FLAT +2, in all"
    assert review["correct"] == stages.WAIT


def test_a_day_of_finagents_shows_sentiments_reflections_and_how_the_past_leans(calls):
    call = calls["decide"][-1]
    texts = [("system", asked(call)[0]), ("user", asked(call)[1].replace("before: ", "before: +2, for\nx: "))]
    view = read_view(texts)
    assert view.news
    assert {line.text for line in view.news} <= {"judged positive", "judged negative", "judged neutral"}
    assert all(line.label.startswith("M") for line in view.news)
    assert {(line.kind, line.text) for line in view.own} == {("reflection", "made")}
    assert view.past == "for"
    assert "past for" in day_text(view)
    tally = teacher.decision(view, {}).arguments["rationale"]
    assert "past for" in tally
    assert not view.averse
    assert read_view([("system", "Profile: conservative"), texts[1]]).averse


def test_the_newest_news_and_the_best_of_each_horizon_are_shown():
    news = "\n".join(f"N{n} | 2021-03-11 | news | Line {n}" for n in range(1, 13))
    view = stages.read_stage("summarise_news", f"Ticker: A\n{news}")
    assert [line.label for line in view.lines] == [f"N{n}" for n in range(7, 13)]
    assert view.left_out == 6
    signs = {"short": "positive", "medium": "neutral", "long": "negative"}
    past = "\n".join(
        f"- | 2021-03-11 | 10-Q | Text {n} ({horizon}-term, {sign})"
        for horizon, sign in signs.items()
        for n in range(5)
    )
    view = stages.read_stage("summarise_past", f"Ticker: A\n{past}")
    assert sorted(line.text for line in view.lines) == ["negative"] * 2 + ["neutral"] * 3 + ["positive"] * 3
    assert {line.kind for line in view.lines} == {"news"}
    assert view.left_out == 7
