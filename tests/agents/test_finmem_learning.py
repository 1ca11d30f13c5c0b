"""What FinMem learns: outcomes of its own decisions, and lessons of days before it trades."""

import pytest

from tests.support.finmem_day import (
    CALENDAR,
    SESSIONS,
    added,
    begun,
    decide,
    document,
    explain,
    lesson,
    market,
    observe,
    outcome,
    texts,
)
from varve.clock import iso
from varve.types import FailureReason

NEWS = "Acme wins an order"


def credits(trace):
    return [(e.memory_id, e.data["amount"]) for e in trace.memory_events if e.kind == "credited"]


def decided(**more):
    agent, model, trace = begun(decide(cited_memories=["M1"]))
    agent.decide(observe(market([document(2, NEWS)]), 2))
    return agent, model, trace, added(trace, "news")[0][0]


@pytest.mark.parametrize(("reward", "position", "expected"), [(0.02, 1.0, 1.0), (-0.02, -3.0, -1.0)])
def test_the_sign_of_the_reward_is_the_credit_of_what_was_cited(reward, position, expected):
    agent, _, trace, news_id = decided()
    agent.learn(outcome(2, reward=reward, position=position, cited=[news_id]))
    assert credits(trace) == [(news_id, expected)]
    event = next(e for e in trace.memory_events if e.kind == "credited")
    assert event.at == CALENDAR.close_at(SESSIONS[10])


def test_no_position_no_credit():
    agent, _, trace, news_id = decided()
    agent.learn(outcome(2, reward=0.02, position=0.0, cited=[news_id]))
    assert credits(trace) == []
    assert len(added(trace, "outcome")) == 1


def test_an_outcome_is_a_second_record_linked_to_the_first_and_not_readable_before_its_time():
    agent, model, trace, news_id = decided()
    rationale_id, before = added(trace, "rationale")[0]
    agent.learn(outcome(2, cited=[news_id], index=10))
    _, stored = added(trace, "outcome")[0]
    assert stored["links"] == [rationale_id, news_id]
    assert stored["available_at"] == iso(CALENDAR.close_at(SESSIONS[10]))
    assert "BUY was followed by +2.00 % in 5 sessions; position long 1, reward +2.00 %" in stored["text"]
    assert agent.memory.get(rationale_id).text == before["text"]
    data = market([document(2, NEWS)])
    agent.decide(observe(data, 9))
    assert "was followed by" not in texts(model.asked[-1][0])
    agent.decide(observe(data, 10))
    assert "was followed by" in texts(model.asked[-1][0])


def test_a_lesson_sees_what_was_known_then_and_is_recallable_from_its_own_day_on():
    docs = [document(3, NEWS), document(6, "Acme is sued")]
    agent, model, trace = begun(explain("The order of M1.", ["M1"]), decide())
    data = market(docs)
    reply = agent.warm_up(lesson(data, 3))
    news_id = added(trace, "news")[0][0]
    prompt = texts(model.asked[0][0])
    assert model.asked[0][1] == ["explain"]
    assert NEWS in prompt
    assert "sued" not in prompt
    assert "moved +5.00 % (entry cost +0.10 %)" in prompt
    assert (reply.orders, reply.rationale, reply.cited_memories) == (
        (),
        f"The order of {news_id}.",
        (news_id,),
    )
    _, stored = added(trace, "lesson")[0]
    assert stored["available_at"] == iso(CALENDAR.decision_at(SESSIONS[8]))
    assert stored["links"] == [news_id]
    assert "+5.00 %" in stored["text"]
    agent.warm_up(lesson(data, 4))
    assert "lesson;" not in texts(model.asked[1][0])


@pytest.mark.parametrize(
    ("price_return", "expected"), [(0.05, [1.0]), (-0.05, [1.0]), (0.0005, []), (-0.0005, [])]
)
def test_memories_that_explain_a_move_larger_than_its_cost_get_credit(price_return, expected):
    agent, _, trace = begun(explain(cited_memories=["M1"]))
    agent.warm_up(lesson(market([document(3, NEWS)]), 3, price_return=price_return))
    assert [amount for _, amount in credits(trace)] == expected


def test_a_lesson_without_a_usable_reply_is_asked_again_once_and_stores_nothing():
    agent, model, trace = begun(explain(rationale=""))
    reply = agent.warm_up(lesson(market([document(3, NEWS)]), 3))
    assert reply.failure.reason is FailureReason.BAD_ARGUMENTS
    assert reply.failure.attempts == 2
    assert len(model.asked) == 2
    assert [data["kind"] for _, data in added(trace)] == ["news"]
    assert credits(trace) == []


def test_the_first_decision_takes_in_what_the_lessons_had_not_reached():
    docs = [document(i, f"Acme note number {i}") for i in range(2, 10)]
    agent, model, trace = begun(explain(), decide())
    data = market(docs)
    agent.warm_up(lesson(data, 3))
    assert [d["text"][-1] for _, d in added(trace, "news")] == ["3"]
    agent.decide(observe(data, 9, step=0))
    assert [d["text"][-1] for _, d in added(trace, "news")] == list("3456789")
    news = model.asked[-1][0][1].text.split("<<<NEWS\n")[1]
    assert "number 9" in news
    assert "number 8" not in news
    assert "lesson;" in texts(model.asked[-1][0])
