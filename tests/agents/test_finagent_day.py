"""A trading day of FinAgent: its stages, what each is shown, what is remembered, and what switches off."""

import re
from dataclasses import replace

import pytest
from langchain_core.messages import SystemMessage

from tests.support.finagent_day import MOVES, asked, begun, first_line, news_reply, notes, nothing
from tests.support.finmem_day import (
    CALENDAR,
    SESSIONS,
    added,
    decide,
    document,
    lesson,
    market,
    observe,
    outcome,
    texts,
)
from varve.agents.finagent.reflections import Made, readable_from
from varve.clock import parse_iso
from varve.errors import SettingError
from varve.finllm.chat.images import ImageRefusedError
from varve.types import Action, Document, FailureReason

DOCS = [document(i, f"Acme news number {i}") for i in range(20, 40)]
STAGES = ["intelligence", "past_intelligence", "low_reflection", "high_reflection", "decide"]


def two_days(replies=None, docs=DOCS, **settings):
    """An agent on its second day: every stage has something to do."""
    agent, model, trace = begun(replies, **settings)
    data = market(docs)
    first = agent.decide(observe(data, 25, step=0))
    trace.drain(), model.asked.clear()
    return agent, model, trace, first, agent.decide(observe(data, 26, step=1))


def test_a_day_has_five_stages_each_journalled_by_its_name_and_with_its_own_form():
    _agent, model, trace, first, second = two_days()
    assert [call.stage for call in trace.model_calls] == STAGES
    assert [names[-1] for _, names in model.asked] == [
        "summarise_news", "summarise_past", "explain_moves", "review_decisions", "decide",
    ]  # fmt: skip
    assert [(note.stage, note.state) for note in second.stages] == [(name, "done") for name in STAGES]
    assert {note.stage: note.detail for note in first.stages if note.state == "skipped"} == {
        "past_intelligence": "nothing recalled",
        "high_reflection": "no decision yet",
    }
    assert second.usage.calls == 5
    assert second.orders[0].action is Action.BUY


def test_the_prefix_is_the_same_in_all_stages_and_the_tools_on_all_days():
    agent, model, trace = begun()
    data = market(DOCS)
    for step, index in enumerate((25, 26, 27)):
        agent.decide(observe(data, index, step=step, position=step % 2))
    assert len({messages[0].text for messages, _ in model.asked}) == 1
    assert isinstance(model.asked[0][0][0], SystemMessage)
    tools = {}
    for call in trace.model_calls:
        tools.setdefault(call.stage, set()).add(str(call.tools))
    assert all(len(kinds) == 1 for kinds in tools.values())
    for messages, _ in model.asked:
        assert messages[1].text.index("Task: ") < messages[1].text.index("Ticker: ACME")


def test_items_are_remembered_by_horizon_and_found_from_the_next_day_on_by_their_horizons_query():
    docs = [document(25, "Acme wins an order"), document(25, "Annual: margins fell", "10-K")]
    reply = news_reply(
        ("N2", "short", "positive", "An order was won."),
        ("N1", "long", "negative", "Margins are falling."),
        short="orders of Acme",
    )
    agent, model, trace = begun({"summarise_news": reply})
    data = market(docs)
    agent.decide(observe(data, 25, step=0))
    stored = {data["text"]: data for _, data in added(trace) if data["memory"] == "market_intelligence"}
    order = stored["An order was won."]
    assert order["tier"] == "short"
    assert order["metadata"] == {"document": "news-25-0", "horizon": "short", "sentiment": "positive"}
    assert order["available_at"].startswith("2021-04-07T13:00")
    assert stored["Margins are falling."]["tier"] == "long"
    assert not asked(model, "summarise_past")
    agent.decide(observe(data, 26, step=1))
    past = texts(asked(model, "summarise_past")[0])
    assert "An order was won. (short-term, positive)" in past
    assert "Margins are falling. (long-term, negative)" in past
    queries = [e.data["query"] for e in trace.memory_events if e.kind == "recalled"]
    assert "ACME shares moved +5.88 % in 7 sessions" in queries
    found = [e.data["found"] for e in trace.memory_events if e.data.get("query") == queries[0]][:3]
    assert [[tier for tier, hits in one.items() if hits] for one in found] == [["short"], [], ["long"]]


def test_the_queries_of_the_day_ask_the_past_and_its_own_news_is_no_answer():
    _agent, model, trace, _, _ = two_days({"summarise_news": [
        first_line(words="The first of all."), first_line(words="The second of all.")]})  # fmt: skip
    found = [
        e for e in trace.memory_events if e.kind == "recalled" and e.data["memory"] == "market_intelligence"
    ]
    assert [e.data["query"] for e in found] == [
        f"{term} things of Acme" for term in ("short", "medium", "long")
    ]
    past = texts(asked(model, "summarise_past")[0])
    assert "The first of all." in past
    assert "The second of all." not in past
    chosen = texts(asked(model, "decide")[0])
    assert "M1 | 2021-04-07 | news | The second of all. (short-term, positive)" in chosen
    assert "before: Orders had been strong." in chosen


def test_a_day_without_news_asks_for_no_summary_of_it():
    _, model, _, _, decision = two_days(docs=DOCS[:6])
    assert notes(decision)["intelligence"].state == "skipped"
    assert notes(decision)["intelligence"].detail == "no news"
    assert not asked(model, "summarise_news")
    assert notes(decision)["past_intelligence"].state == "done"


@pytest.mark.parametrize(
    ("part", "gone"),
    [
        ("intelligence", {"intelligence", "past_intelligence"}),
        ("low_reflection", {"low_reflection"}),
        ("high_reflection", {"high_reflection"}),
        ("tools", set()),
        ("guidance", set()),
        ("vision", set()),
    ],
)
def test_each_part_can_be_switched_off(part, gone):
    _, model, trace, _, decision = two_days(without=[part])
    assert {call.stage for call in trace.model_calls} == set(STAGES) - gone
    assert {note.stage for note in decision.stages} == set(STAGES) - gone
    tools = model.asked[-1][1]
    assert tools == ["decide"] if part == "tools" else len(tools) > 8
    assert ("Before that you may ask" in texts(asked(model, "decide")[0])) == (part != "tools")


def test_settings_are_one_whatever_the_order_and_wrong_ones_are_named():
    one = begun(without=["tools", "intelligence"])[0].config
    assert one == begun(without=["intelligence", "tools", "tools"])[0].config
    for wrong in ({"without": ["memory"]}, {"profile": "risk_averse"}, {"strategies": ["macdd"]}):
        with pytest.raises(SettingError):
            begun(**wrong)


@pytest.mark.parametrize("profile", ["aggressive", "neutral", "conservative"])
def test_the_profile_is_in_every_prompt(profile):
    _, model, _, _, _ = two_days(profile=profile)
    assert all(f"Profile: {profile}\n" in messages[0].text for messages, _ in model.asked)


def test_moves_are_explained_up_to_the_last_close_and_what_is_like_them_is_recalled():
    _agent, model, trace, _first, _second = two_days()
    question = texts(asked(model, "explain_moves")[0])
    assert "- 1 session: +0.80 %\n- 7 sessions: +5.88 %\n- 14 sessions: +12.50 %" in question
    assert "2021-04-07 (today)" in question
    kept = next(d for _, d in added(trace, "low_reflection"))
    assert kept["available_at"] == kept["event_time"] == "2021-04-08T13:00:00Z"
    assert "2021-04-07, ACME: 1 session: +0.80 %: An order." in kept["text"]
    chosen = texts(asked(model, "decide")[0])
    assert "| low_reflection | 2021-04-07, ACME" in chosen
    assert "| low_reflection | 2021-04-06, ACME" in chosen


def test_reviews_show_the_decisions_and_their_outcomes_only_once_they_are_known():
    agent, model, _trace = begun()
    data = market(DOCS)
    agent.decide(observe(data, 25, step=0))
    agent.decide(observe(data, 26, step=1))
    assert "2021-04-06 | BUY | 70 % | flat | price since +0.80 % | outcome not known yet |" in texts(
        asked(model, "review_decisions")[0]
    )
    agent.learn(outcome(0, index=27))
    agent.decide(observe(data, 27, step=2, position=3.0))
    review = texts(asked(model, "review_decisions")[1])
    assert "price since +1.60 % | reward +2.00 % after 5 sessions" in review
    assert "2021-04-07 | BUY" in review
    assert "2021-04-08 | BUY" not in review


def test_a_review_can_be_read_no_sooner_than_the_last_outcome_that_it_speaks_of():
    known = Made(SESSIONS[3], Action.BUY, 70, 0.0, "why", outcome(3, index=30))
    unknown = Made(SESSIONS[4], Action.BUY, 70, 0.0, "why")
    before, after = CALENDAR.decision_at(SESSIONS[20]), CALENDAR.decision_at(SESSIONS[40])
    assert readable_from(before, [known, unknown]) == known.outcome.available_at > before
    assert readable_from(after, [known, unknown]) == after
    assert readable_from(before, [unknown]) == before


def test_reflections_every_third_session_leave_the_last_ones_in_the_prompt():
    agent, model, _trace = begun(reflect_every_sessions=3)
    data = market(DOCS)
    for step in range(5):
        last = agent.decide(observe(data, 25 + step, step=step))
    assert len(asked(model, "explain_moves")) == 2
    assert len(asked(model, "review_decisions")) == 1
    assert notes(last)["low_reflection"].detail == "every 3 sessions"
    chosen = texts(asked(model, "decide")[-1])
    assert "| low_reflection | 2021-04-09, ACME" in chosen
    assert "| high_reflection | 2021-04-09, ACME, 3 decisions." in chosen


def test_a_lesson_takes_in_its_present_day_and_decides_nothing():
    agent, model, trace = begun()
    data = market(DOCS)
    learned = agent.warm_up(lesson(data, 20))
    assert learned.orders == ()
    assert [note.stage for note in learned.stages] == STAGES[:3]
    assert "2021-04-06, ACME: 1 session" in learned.rationale
    shown = re.findall(r"2021-\d\d-\d\d", texts(asked(model, "explain_moves")[0]))
    assert max(shown) == "2021-04-07"  # the decision instant of the day itself
    for _, stored in added(trace):
        assert parse_iso(stored["available_at"]) <= CALENDAR.decision_at(SESSIONS[25])
    other = market(
        [*DOCS[:6], document(30, "unknown yet")], closes=[100.0 + i for i in range(26)] + [7.0] * 20
    )
    again, second, _ = begun()
    again.warm_up(lesson(other, 20))
    assert [texts(messages) for messages, _ in second.asked] == [texts(m) for m, _ in model.asked]


def test_a_lesson_of_which_nothing_was_learned_is_a_failure():
    replies = {"summarise_news": nothing(), "explain_moves": nothing()}
    agent, _, trace = begun(replies)
    learned = agent.warm_up(lesson(market(DOCS), 20))
    assert learned.failure.reason is FailureReason.EMPTY_REPLY
    assert added(trace) == []
    half, _, trace = begun({"summarise_news": nothing()})
    learned = half.warm_up(lesson(market(DOCS), 20))
    assert learned.failure is None
    assert notes(learned)["intelligence"].state == "failed"


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "stage", "reply"),
    [
        ("summarise_news", "intelligence", nothing()),
        ("summarise_news", "intelligence", news_reply(("N9", "short", "positive", "Not shown."))),
        ("summarise_news", "intelligence", news_reply(("N1", "some day", "positive", "When?"))),
        ("summarise_past", "past_intelligence", nothing()),
        ("explain_moves", "low_reflection", decide()),
        ("review_decisions", "high_reflection", nothing()),
    ],
)
def test_a_stage_that_fails_is_asked_again_once_and_the_day_goes_on_without_it(form, stage, reply):
    _, _model, trace, _, decision = two_days({form: reply})
    assert notes(decision)[stage].state == "failed"
    assert notes(decision)[stage].detail
    assert [call.attempt for call in trace.model_calls if call.stage == stage] == [0, 1]
    assert decision.failure is None
    assert decision.orders[0].action is Action.BUY
    kinds = {data["kind"] for _, data in added(trace)}
    assert {"intelligence": "news"}.get(stage, stage) not in kinds


def test_a_decision_that_fails_is_a_failure_and_is_not_reviewed():
    agent, _model, _trace = begun({"decide": [nothing(), nothing(), decide()]})
    data = market(DOCS)
    failed = agent.decide(observe(data, 25, step=0))
    assert failed.failure.reason is FailureReason.EMPTY_REPLY
    assert (failed.orders, failed.cited_memories) == ((), ())
    assert notes(failed)["decide"].state == "failed"
    later = agent.decide(observe(data, 26, step=1))
    assert notes(later)["high_reflection"].detail == "no decision yet"


def test_500_pieces_of_news_are_cut_to_the_newest_and_counted():
    docs = [document(26, f"Acme headline {i}", number=i) for i in range(499)]
    docs.append(document(26, "Quarterly: revenue grew", "10-Q"))
    agent, model, trace = begun()
    agent.decide(observe(market(docs), 26))
    question = texts(asked(model, "summarise_news")[0])
    assert "| 10-Q | Quarterly: revenue grew" in question
    assert question.count("| news | Acme headline") == 19
    assert "\nN21 |" not in question
    assert "480 more are not shown" in question
    assert trace.model_calls[0].cut_items == 480


def test_guidance_is_shown_when_it_could_be_read_and_never_before():
    at = CALENDAR.close_at(SESSIONS[25])
    told = Document("guidance-1", "ACME", "guidance", "Hold Acme", at, at)
    later = CALENDAR.close_at(SESSIONS[27])
    future = replace(told, id="guidance-2", text="Sell Acme", available_at=later)
    for index, shown in ((24, ""), (26, "Hold"), (28, "Hold Sell")):
        agent, model, _ = begun()
        agent.decide(observe(market([*DOCS, told, future]), index))
        prompt = texts(asked(model, "decide")[0])
        assert [word for word in ("Hold", "Sell") if f"{word} Acme" in prompt] == shown.split()
        assert ("<<<GUIDANCE" in prompt) == bool(shown)
        assert not asked(model, "summarise_news") or "Acme" in texts(asked(model, "summarise_news")[0])
    agent, model, _ = begun(without=["guidance"])
    agent.decide(observe(market([*DOCS, told]), 26))
    assert "Hold Acme" not in "".join(texts(messages) for messages, _ in model.asked)


def test_two_reflections_on_one_day_stand_beside_each_other():
    agent, _model, trace = begun({"explain_moves": [MOVES, MOVES.model_copy(deep=True)]})
    data = market(DOCS)
    agent.decide(observe(data, 25, step=0))
    agent.decide(observe(data, 25, step=0))
    # The same words are one memory, the second merged into it.
    assert len(added(trace, "low_reflection")) == 1
    assert [e.kind for e in trace.memory_events if e.data.get("kind") == "low_reflection"] == [
        "added",
        "merged",
    ]
    assert len(agent.kit.made) == 1


def test_a_missing_trading_day_is_left_out_of_the_review():
    agent, model, _ = begun()
    data = market(DOCS)
    agent.decide(observe(data, 25, step=0))
    agent.decide(observe(data, 29, step=1))
    review = texts(asked(model, "review_decisions")[0])
    assert "2021-04-06 | BUY | 70 % | flat | price since +3.20 %" in review
    assert "2021-04-07 | " not in review.split("<<<DECISIONS")[1].split("DECISIONS>>>")[0]
    assert "Acme news number 29" in texts(asked(model, "summarise_news")[1])
    assert "Acme news number 27" in texts(asked(model, "summarise_news")[1])


# -- charts ---------------------------------------------------------------------------------------


def images(messages):
    content = messages[1].content
    return [block for block in content if block["type"] == "image"] if isinstance(content, list) else []


def test_a_model_that_sees_gets_images_and_one_that_does_not_the_same_as_a_table():
    _, model, trace, _, decision = two_days(vision=True)
    assert {stage for stage, note in notes(decision).items() if note.shown == "image"} == {
        "low_reflection", "high_reflection",
    }  # fmt: skip
    assert len(images(asked(model, "explain_moves")[0])) == 1
    assert "<<<CHART" not in texts(asked(model, "explain_moves")[0])
    assert [len(call.images) for call in trace.model_calls] == [0, 0, 1, 1, 0]
    for blind in (two_days(vision=False), two_days(vision=True, without=["vision"])):
        _, model, trace, _, decision = blind
        assert notes(decision)["low_reflection"].shown == "table"
        assert "<<<CHART\nsession | open" in texts(asked(model, "explain_moves")[0])
        assert not any(call.images for call in trace.model_calls)
    assert notes(decision)["low_reflection"].detail == "vision is switched off"


def test_an_image_that_the_model_refuses_is_followed_by_tables_and_the_note_says_why():
    agent, _model, _trace = begun(vision=True)
    honest = agent.session.invoke

    def refusing(messages, *arguments, **keywords):
        if images(messages):
            raise ImageRefusedError("the image is too large")
        return honest(messages, *arguments, **keywords)

    agent.session.invoke = refusing
    data = market(DOCS)
    decision = agent.decide(observe(data, 25, step=0))
    note = notes(decision)["low_reflection"]
    assert (note.state, note.shown, note.detail) == ("done", "table", "the image is too large")
    later = agent.decide(observe(data, 26, step=1))
    assert notes(later)["high_reflection"].shown == "table"
