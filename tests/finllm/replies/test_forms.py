"""Reply forms: the whole schema of each, and each field read strictly with its reason."""

import pytest
from langchain_core.messages import AIMessage

from varve.finllm.replies.decide import (
    DecideReply,
    ExplainReply,
    ToolRequests,
    UnfitError,
    decide_tool_schema,
    explain_tool_schema,
)
from varve.finllm.replies.forms import Choice, DecideForm, Each, ExplainForm, Form, Label, Text
from varve.types import Action, Failure, FailureReason

LABELS = ("M1", "M2")
FORM = Form(
    "note",
    "Note what was read.",
    {
        "summary": Text("In short.", max_tokens=3),
        "mood": Choice("How it sounds.", ("good", "bad")),
        "about": Label("The line."),
        "parts": Each("Its parts.", {"line": Label("One line."), "why": Text("Why.")}, most=2),
    },
)
FILLED = {"summary": "it rose", "mood": " GOOD ", "about": "M1", "parts": [{"line": "M2", "why": "so"}]}


def called(name, arguments):
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "1"}])


def test_the_schema_of_a_form_is_whole():
    part = {
        "type": "object",
        "properties": {
            "line": {"type": "string", "enum": ["M1", "M2"], "description": "One line."},
            "why": {"type": "string", "description": "Why."},
        },
        "required": ["line", "why"],
        "additionalProperties": False,
    }
    parameters = {
        "type": "object",
        "properties": {
            "summary": {"type": "string", "description": "In short."},
            "mood": {"type": "string", "enum": ["good", "bad"], "description": "How it sounds."},
            "about": {"type": "string", "enum": ["M1", "M2"], "description": "The line."},
            "parts": {"type": "array", "items": part, "maxItems": 2, "description": "Its parts."},
        },
        "required": ["summary", "mood", "about", "parts"],
        "additionalProperties": False,
    }
    function = {"name": "note", "description": "Note what was read.", "parameters": parameters}
    assert FORM.schema(LABELS) == {"type": "function", "function": function}


def test_a_filled_form_comes_back_field_by_field():
    read = {**FILLED, "mood": "good"}
    assert FORM.parse(called("note", {**FILLED, "more": 1}), LABELS) == read
    assert FORM.parse(AIMessage('{"summary": "it rose"}'), LABELS) == Failure(
        FailureReason.BAD_ARGUMENTS, "mood None is not one of good, bad"
    )
    assert FORM.parse(called("note", {**FILLED, "parts": []}), LABELS) == {**read, "parts": []}


def test_questions_come_before_a_form_and_of_known_names_alone():
    found = FORM.parse(called("news", {"days": 1}), LABELS, ("news",))
    assert isinstance(found, ToolRequests)
    assert [(one.name, one.arguments) for one in found.calls] == [("news", {"days": 1})]
    refused = FORM.parse(called("news", {}), LABELS)
    assert refused == Failure(FailureReason.BAD_ARGUMENTS, "no tool named 'news'; known: note")


@pytest.mark.parametrize(
    ("field", "given", "reason", "detail"),
    [
        ("summary", "", FailureReason.BAD_ARGUMENTS, "summary '' is no text"),
        ("summary", ["a"], FailureReason.BAD_ARGUMENTS, "summary ['a'] is no text"),
        ("mood", "so-so", FailureReason.BAD_ARGUMENTS, "mood 'so-so' is not one of good, bad"),
        ("mood", 1, FailureReason.BAD_ARGUMENTS, "mood 1 is not one of good, bad"),
        ("about", "M3", FailureReason.UNKNOWN_MEMORY, "about: no line 'M3' was shown"),
        ("about", 1, FailureReason.UNKNOWN_MEMORY, "about: no line 1 was shown"),
        ("parts", "a", FailureReason.BAD_ARGUMENTS, "parts 'a' is no list of objects"),
        ("parts", {"line": "M1"}, FailureReason.BAD_ARGUMENTS, "parts {'line': 'M1'} is no list of objects"),
        ("parts", ["a"], FailureReason.BAD_ARGUMENTS, "parts ['a'] is no list of objects"),
        ("parts", [{}] * 3, FailureReason.BAD_ARGUMENTS, "3 entries of parts, at most 2 expected"),
        (
            "parts",
            [{"line": "M1", "why": "a"}, {"line": "M1", "why": ""}],
            FailureReason.BAD_ARGUMENTS,
            "parts[1].why '' is no text",
        ),
    ],
)
def test_a_field_that_does_not_fit_says_which_and_why(field, given, reason, detail):
    assert FORM.parse(called("note", {**FILLED, field: given}), LABELS) == Failure(reason, detail)


def test_a_text_is_cleaned_and_cut_to_its_tokens():
    assert Text("x", max_tokens=3).read("t", "<b>one two three four</b>", ()) == "one two…"
    assert Text("x").max_tokens == 200
    with pytest.raises(UnfitError) as unfit:
        Text("x").read("t", "<b></b>", ())
    assert unfit.value.failure.reason is FailureReason.BAD_ARGUMENTS


def test_decide_and_explain_are_forms_too():
    form = DecideForm((Action.BUY, Action.HOLD))
    assert (form.name, ExplainForm().name) == ("decide", "explain")
    assert DecideForm().actions == tuple(Action)
    assert form.schema(LABELS) == decide_tool_schema((Action.BUY, Action.HOLD), LABELS)
    assert ExplainForm().schema(LABELS) == explain_tool_schema(LABELS)
    given = {"action": "BUY", "confidence": 70, "rationale": "so", "cited_memories": ["M2"]}
    assert form.parse(called("decide", given), LABELS) == DecideReply(Action.BUY, 70, "so", ("M2",))
    sold = form.parse(called("decide", {**given, "action": "SELL"}), LABELS)
    assert isinstance(sold, Failure)
    assert sold.reason is FailureReason.UNKNOWN_ACTION
    lesson = {"rationale": "it fell", "cited_memories": ["M1"]}
    assert ExplainForm().parse(called("explain", lesson), LABELS) == ExplainReply("it fell", ("M1",))
    assert isinstance(ExplainForm().parse(called("news", {}), LABELS, ("news",)), ToolRequests)
    assert isinstance(form.parse(called("news", {}), LABELS, ("news",)), ToolRequests)
