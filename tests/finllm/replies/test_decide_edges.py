"""The whole schema of a decision, what a server calls the end, and how refused values are shown."""

import pytest
from langchain_core.messages import AIMessage

from varve.finllm.replies.decide import (
    DecideReply,
    ExplainReply,
    decide_tool_schema,
    explain_tool_schema,
    finish_reason,
    parse_reply,
    shown,
)
from varve.types import Action, Failure, FailureReason

RATIONALE = {"type": "string", "description": "The reasons, in a few sentences."}
CITED = {"type": "array", "description": "Ids of the memories this rests on; may be empty."}


def tool(name, description, properties):
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def test_the_schema_of_a_decision_is_whole_and_the_reasons_come_first():
    made = decide_tool_schema((Action.BUY, Action.HOLD), ("M1", "M2"))
    properties = {
        "rationale": RATIONALE,
        "action": {
            "type": "string",
            "enum": ["BUY", "HOLD"],
            "description": "HOLD keeps the position, FLAT closes it.",
        },
        "confidence": {
            "type": "integer",
            "enum": [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100],
            "description": "Percent, in steps of 5.",
        },
        "cited_memories": {**CITED, "items": {"type": "string", "enum": ["M1", "M2"]}, "maxItems": 2},
    }
    assert made == tool("decide", "Give today's final decision.", properties)
    assert list(made["function"]["parameters"]["properties"]) == list(properties)


@pytest.mark.parametrize(
    ("ids", "items", "most"),
    [
        (None, {"type": "string"}, 10),
        ((), {"type": "string"}, 0),
        (tuple("ABCDEFGHIJKL"), {"type": "string", "enum": list("ABCDEFGHIJKL")}, 10),
    ],
)
def test_the_schema_of_an_explanation_is_whole(ids, items, most):
    properties = {"rationale": RATIONALE, "cited_memories": {**CITED, "items": items, "maxItems": most}}
    assert explain_tool_schema(ids) == tool("explain", "Explain why the session went as it did.", properties)


@pytest.mark.parametrize("word", ["length", "max_tokens"])
@pytest.mark.parametrize("key", ["finish_reason", "stop_reason", "done_reason"])
def test_each_servers_word_for_the_end_is_read(key, word):
    cut = AIMessage("BUY", response_metadata={key: word})
    assert finish_reason(cut) == word
    assert parse_reply(cut, allowed_actions=tuple(Action), known_memory_ids=()) == Failure(
        FailureReason.TOKEN_LIMIT, "the reply was cut off at the token limit"
    )
    assert finish_reason(AIMessage("BUY")) is None


@pytest.mark.parametrize(("scored", "taken"), [(True, True), (False, False), (None, False), (1, False)])
def test_more_than_ten_are_cited_only_where_the_actions_were_weighed(scored, taken):
    labels = [f"M{i}" for i in range(11)]
    given = {"action": "BUY", "confidence": 70, "rationale": "so", "cited_memories": labels}
    message = AIMessage("", tool_calls=[{"name": "decide", "args": {**given, "scored": scored}, "id": "1"}])
    found = parse_reply(message, allowed_actions=tuple(Action), known_memory_ids=labels)
    if taken:
        assert found == DecideReply(Action.BUY, 70, "so", tuple(labels), scored=True)
    else:
        assert found == Failure(FailureReason.BAD_ARGUMENTS, "11 memories cited, at most 10 expected")


def test_a_decision_cites_nothing_unless_it_says_so():
    assert DecideReply(Action.BUY, 70, "so").cited_memories == ()
    assert not DecideReply(Action.BUY, 70, "so").scored
    assert ExplainReply("so").cited_memories == ()


def test_a_value_of_structure_alone_is_shown_as_empty_text():
    assert shown(object()) == "''"  # its repr is one tag
    assert shown("") == "''"
    assert shown(7) == "7"
    assert shown("a" * 200) == "'" + "a" * 78 + "…"


def test_words_that_are_no_call_are_shown():
    found = parse_reply(AIMessage("I would buy."), allowed_actions=tuple(Action), known_memory_ids=())
    detail = "a call of 'decide' or its fields as one JSON object expected, given 'I would buy.'"
    assert found == Failure(FailureReason.UNPARSABLE, detail)
