"""Weighing actions: the arithmetic against numbers reckoned by hand, and what becomes of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from varve.finllm.local import action_scoring as score
from varve.finllm.replies.decide import parse_reply
from varve.types import Action

ACTIONS = ["BUY", "HOLD", "SELL"]
NOTHING = [[0.0] * 3] * 3
TABLES = st.lists(st.lists(st.floats(-20, 0), min_size=3, max_size=3), min_size=3, max_size=3)


def table(**shares):
    """Log-probabilities of letters in each rotation, the same for an action wherever it stands."""
    return [[math.log(shares[action]) for action in order] for order in score.rotations(ACTIONS)]


def test_probabilities_are_those_of_the_actions_wherever_they_stand():
    made = score.weigh(ACTIONS, table(BUY=0.06, HOLD=0.03, SELL=0.01), NOTHING, abstain_below=0)
    assert made.probabilities == pytest.approx({"BUY": 0.6, "HOLD": 0.3, "SELL": 0.1})
    assert (made.choice, made.confidence) == ("BUY", 60)
    assert made.words == "Scored: BUY 60 %, HOLD 30 %, SELL 10 %."


@given(TABLES, TABLES, st.integers(0, 2))
def test_a_liking_for_a_letter_favours_no_action(found, prior, letter):
    liked = [[value + 5.0 * (place == letter) for place, value in enumerate(row)] for row in found]
    plain = score.weigh(ACTIONS, found, prior, abstain_below=0)
    biased = score.weigh(ACTIONS, liked, prior, abstain_below=0)
    assert biased.probabilities == pytest.approx(plain.probabilities)


@given(TABLES)
def test_what_is_said_without_content_says_nothing(prior):
    made = score.weigh(ACTIONS, prior, prior, abstain_below=0)
    assert list(made.probabilities.values()) == pytest.approx([1 / 3] * 3)


def test_an_unlikely_action_is_an_abstention_which_is_no_hold():
    found = table(BUY=0.05, HOLD=0.03, SELL=0.02)
    assert score.weigh(ACTIONS, found, NOTHING, abstain_below=50).choice == "BUY"
    made = score.weigh(ACTIONS, found, NOTHING, abstain_below=51)
    assert made.choice == score.ABSTAIN
    given_ = score.arguments(made, ["M2"], abstain_as="FLAT")
    assert (given_["action"], given_["abstained"], given_["confidence"]) == ("FLAT", True, 50)
    assert given_["rationale"].startswith("Abstained: BUY 50 %")


def test_results_near_a_border_are_doubtful():
    calm = {"prior": NOTHING, "abstain_below": 0}
    assert not score.doubtful(ACTIONS, table(BUY=0.61, HOLD=0.28, SELL=0.11), **calm)
    assert score.doubtful(ACTIONS, table(BUY=0.4, HOLD=0.4, SELL=0.2), **calm)
    assert score.doubtful(ACTIONS, table(BUY=0.625, HOLD=0.26, SELL=0.115), **calm)
    near = {"prior": NOTHING, "abstain_below": 61}
    assert score.doubtful(ACTIONS, table(BUY=0.61, HOLD=0.28, SELL=0.11), **near)


def test_a_scored_decision_reaches_the_agent_as_any_other_and_may_cite_all_that_was_shown():
    labels = [f"M{place}" for place in range(1, 31)]
    made = score.weigh(ACTIONS, table(BUY=0.06, HOLD=0.03, SELL=0.01), NOTHING, abstain_below=0)
    call = {"name": "decide", "args": score.arguments(made, labels, abstain_as="HOLD"), "id": "1"}
    found = parse_reply(
        AIMessage("", tool_calls=[call]), allowed_actions=tuple(Action), known_memory_ids=labels
    )
    assert (found.action, found.confidence, found.scored) == (Action.BUY, 60, True)
    assert list(found.cited_memories) == labels


def test_the_question_ends_the_prompt_and_nothing_of_the_day_is_in_the_one_without_content():
    said = [SystemMessage("Rules."), HumanMessage("Secret day.")]
    asked = score.asking(said, ACTIONS)
    assert asked[-1].text.startswith("Secret day.\n\nActions:\nA: BUY\nB: HOLD\nC: SELL\n")
    free = score.asking(score.without_content(said), ACTIONS)
    assert free[0].text == "Rules."
    assert "Secret" not in free[-1].text
