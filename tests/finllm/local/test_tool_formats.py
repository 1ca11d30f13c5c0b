"""Families of models: found by their template, constrained to their own form, read back."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import tiny_models
from varve.finllm.local.schema_grammar import narrowed, told
from varve.finllm.local.tool_formats import (
    HERMES,
    LLAMA3,
    MISTRAL,
    PLAIN,
    family_of,
    read_calls,
    written_call,
)

FAMILIES = {"hermes": HERMES, "llama3": LLAMA3, "mistral": MISTRAL, "plain": PLAIN}
ARGUMENTS = st.dictionaries(
    st.text(string.ascii_lowercase, min_size=1),
    st.one_of(st.text(), st.integers(-9, 9), st.booleans(), st.none(), st.lists(st.text(), max_size=2)),
    max_size=4,
)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_known_by_its_template(name):
    assert family_of(tiny_models.FAMILIES[name][0]) is FAMILIES[name]


def test_another_way_of_writing_calls_is_not_taken_for_hermes():
    assert family_of("<tool_call>\n<function=name>\n</function>\n</tool_call>") is PLAIN


@pytest.mark.parametrize("name", FAMILIES)
@given(st.lists(st.tuples(st.text(string.ascii_lowercase, min_size=1), ARGUMENTS), min_size=1, max_size=2))
def test_what_a_family_writes_is_read_back(name, calls):
    family = FAMILIES[name]
    written = [written_call(family, *call) for call in calls]
    marks = (family.before.strip(), family.after.strip())
    if any(mark and mark in one for mark in marks for one in written):
        return  # a mark inside a text: the constrained grammar cannot tell it apart either
    if family.listed:
        text = f"{family.before}[{', '.join(written)}]{family.after}"
    else:
        text = "\n".join(f"{family.before}{one}{family.after}" for one in written)
    assert read_calls(family, text) == ("", calls, [])


@pytest.mark.parametrize(
    ("family", "text", "expected"),
    [
        (HERMES, "Just words.", ("Just words.", [], [])),
        (HERMES, 'So:\n<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>', ("So:", [("a", {})], [])),
        (HERMES, '<tool_call>{"name": "a", "argum', ("", [], ['{"name": "a", "argum'])),
        (HERMES, '<tool_call>{"name": 3}</tool_call>', ("", [], ['{"name": 3}'])),
        (LLAMA3, '<|python_tag|>{"name": "a", "parameters": {"x": 1}}', ("", [("a", {"x": 1})], [])),
        (
            LLAMA3, '{"name": "a", "parameters": {}}; {"name": "b", "parameters": {}}',
            ("", [("a", {}), ("b", {})], []),
        ),
        (LLAMA3, "{not json", ("{not json", [], [])),
        (MISTRAL, '[TOOL_CALLS][{"name": "a", "arguments": {"x": "y"}}]', ("", [("a", {"x": "y"})], [])),
        (PLAIN, '{"answer": 4}', ('{"answer": 4}', [], [])),
        (PLAIN, "", ("", [], [])),
    ],
)  # fmt: skip
def test_replies_are_taken_apart(family, text, expected):
    assert read_calls(family, text) == expected


def test_lists_of_labels_are_narrowed_to_what_was_shown_and_other_lists_are_not():
    labels = {"type": "array", "items": {"type": "string", "enum": ["M1", "M2", "M3"]}, "maxItems": 3}
    tiers = {"type": "array", "items": {"enum": ["short", "mid"]}}
    schema = {"properties": {"cited": labels, "tiers": tiers}}
    found = narrowed(schema, {"M2", "M9"})["properties"]
    assert found["cited"]["items"]["enum"] == ["M2"]
    assert found["tiers"] == tiers
    assert narrowed(labels, set())["maxItems"] == 0
    assert "enum" not in narrowed(labels, set())["items"]


def test_a_label_alone_is_narrowed_to_what_was_shown():
    label = {"type": "string", "enum": ["N1", "N2", "M3"]}
    entries = {"type": "array", "items": {"type": "object", "properties": {"item": label}}}
    found = narrowed({"properties": {"items": entries}}, {"N2", "N7"})
    assert found["properties"]["items"]["items"]["properties"]["item"]["enum"] == ["N2"]
    # A grammar of no label at all would be none: where nothing was shown, any may be named, and is refused.
    assert narrowed(label, set()) == label
    assert narrowed({"enum": ["short", "N1"]}, {"N1"}) == {"enum": ["short", "N1"]}


def test_only_free_texts_are_told_to_say_something():
    schema = {"properties": {"why": {"type": "string"}, "tier": {"type": "string", "enum": ["a"]}}}
    found = told(schema)["properties"]
    assert "pattern" in found["why"]
    assert found["tier"] == schema["properties"]["tier"]
    assert json.loads(json.dumps(found))
