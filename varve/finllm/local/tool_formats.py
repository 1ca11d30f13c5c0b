"""How families of models write tool calls: found by their chat template, written as a grammar, read back.

A template that fits none of the table is *plain*: the tools' schemas go into the prompt as text and the
reply is one JSON object. Light on import.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from varve.finllm.local.schema_grammar import json_rule, told
from varve.types import Json, JsonObject, ToolSchema


@dataclass(frozen=True)
class Family:
    """One way of writing tool calls.

    Args:
        name: for messages and records.
        marks: pieces that the chat template of such a model contains, all of them.
        unlike: pieces that it does not contain.
        before, after: texts around one call, or around the list of calls.
        arguments: the key of a call's arguments.
        listed: whether calls stand in a JSON list.
        many: most questions in one reply.
    """

    name: str
    marks: tuple[str, ...]
    unlike: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    arguments: str = "arguments"
    listed: bool = False
    many: int = 1

    @property
    def in_template(self) -> bool:
        """Whether the model's template shows the tools itself."""
        return self is not PLAIN


HERMES = Family(
    "hermes", ("<tool_call>", "</tool_call>"), ("<function=",), "<tool_call>\n", "\n</tool_call>", many=4
)
"""Qwen 2.5 and 3, Hermes 2 Pro and 3, and the small models that took it over."""
LLAMA3 = Family("llama3", ("<|start_header_id|>", '"parameters"'), arguments="parameters")
"""Llama 3.1 to 3.3."""
MISTRAL = Family(
    "mistral", ("[TOOL_CALLS]", "[AVAILABLE_TOOLS]"), ("[ARGS]",), "[TOOL_CALLS] ", "", listed=True, many=4
)
"""Mistral and Mixtral Instruct up to tokenizer version 7."""
PLAIN = Family("plain", ())
FAMILIES = (HERMES, LLAMA3, MISTRAL)

_DECODER = json.JSONDecoder(strict=False)
_GAP = re.compile(r"[\s;,]*")


def family_of(template: str) -> Family:
    """The family whose marks a chat template bears; :data:`PLAIN` where it bears none's."""
    for family in FAMILIES:
        if all(mark in template for mark in family.marks) and not any(m in template for m in family.unlike):
            return family
    return PLAIN


def calls_grammar(
    family: Family,
    tools: Sequence[ToolSchema],
    *,
    final: str | None = None,
    special: Callable[[str], int | None] = lambda piece: None,
) -> str:
    """A grammar of replies that call tools, in llguidance's Lark.

    Args:
        tools: OpenAI-format schemas that may be called.
        final: name of the tool that ends a conversation: it is called once and alone, and its texts begin
            with a letter or digit. Others may be called up to ``family.many`` times in one reply.
        special: the number of a piece that is a special token of the tokenizer, else None.
    """
    alone = [tool for tool in tools if tool["function"]["name"] == final or family.many == 1]
    others = [tool for tool in tools if tool not in alone]
    before, after = _pieces(family.before, special), _pieces(family.after, special)
    rules, ways = [], []
    for rule, group in (("final", alone), ("question", others)):
        if group:
            rules.append(
                f"{rule}: {json_rule({'anyOf': [_call_schema(family, one, final) for one in group]})}"
            )
    more = family.many - 1
    if family.listed:
        before, after = [*before, '"["'], ['"]"', *after]
        ways += [[*before, "final", *after]] if alone else []
        ways += [[*before, "question", f'(", " question){{0,{more}}}', *after]] if others else []
    else:
        ways += [[*before, "final", *after]] if alone else []
        if others:
            again = " ".join(['"\\n"', *before, "question", *after])
            ways.append([*before, "question", *after, f"({again}){{0,{more}}}"])
    start = "start: " + " | ".join(" ".join(way) for way in ways)
    # Forced bytes are split by the constrainer, see there; llguidance would split them too short.
    return "\n".join(['%llguidance {"no_forcing": true}', start, *rules])


def read_calls(family: Family, text: str) -> tuple[str, list[tuple[str, JsonObject]], list[str]]:
    """A reply taken apart: what is no call, calls with their arguments, and calls that cannot be read.

    Arguments are a JSON object, or what stood in its place.
    """
    if family.before.strip():
        return _read_marked(family, text)
    stripped = text.strip().removeprefix("<|python_tag|>").strip()
    found, rest = _objects(stripped)
    calls = [_call(family, one) for one in found]
    if not rest and calls and all(call is not None for call in calls):
        return "", [call for call in calls if call is not None], []
    return text.strip(), [], []


def tools_text(family: Family, tools: Sequence[ToolSchema]) -> str:
    """The tools for the prompt of a model whose template cannot show them."""
    shown = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    form = json.dumps({"name": "NAME", family.arguments: {}})
    return (
        f"Tools, one JSON object each:\n{shown}\n"
        f"Answer with exactly one JSON object and nothing else, which calls one of them: {form}"
    )


def written_call(family: Family, name: str, arguments: object) -> str:
    """A call as the family writes it, without what stands around it."""
    return json.dumps({"name": name, family.arguments: arguments}, ensure_ascii=False)


def _call_schema(family: Family, tool: ToolSchema, final: str | None) -> JsonObject:
    function = tool["function"]
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if function["name"] == final:
        parameters = told(parameters)
    return {
        "type": "object",
        "properties": {
            "name": {"const": function["name"]},
            family.arguments: {"additionalProperties": False, **parameters},
        },
        "required": ["name", family.arguments],
        "additionalProperties": False,
    }


def _pieces(text: str, special: Callable[[str], int | None]) -> list[str]:
    """A text as parts of a rule, special tokens by their number."""
    if not text:
        return []
    mark = text.strip()
    number = special(mark)
    if number is None:
        return [json.dumps(text, ensure_ascii=False)]
    left, _, right = text.partition(mark)
    parts = [json.dumps(left)] if left else []
    return [*parts, f"<[{number}]>", *([json.dumps(right)] if right else [])]


def _read_marked(family: Family, text: str) -> tuple[str, list[tuple[str, JsonObject]], list[str]]:
    before, after = family.before.strip(), family.after.strip()
    said, *segments = text.split(before)
    calls: list[tuple[str, JsonObject]] = []
    bad: list[str] = []
    for segment in segments:
        body, _, behind = segment.partition(after) if after else (segment, "", "")
        found, rest = _objects(body)
        found = [one for many in found for one in (many if isinstance(many, list) else [many])]
        read = [_call(family, one) for one in found]
        calls += [call for call in read if call is not None]
        if rest or not found or None in read:
            bad.append(body.strip())
        said += behind
    return said.strip(), calls, bad


def _objects(text: str) -> tuple[list[Json], str]:
    """JSON values one after another, and what is left where none follows."""
    found: list[Json] = []
    place = 0
    while True:
        gap = _GAP.match(text, place)
        place = gap.end() if gap else place
        if place >= len(text):
            return found, ""
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            return found, text[place:]
        found.append(value)


def _call(family: Family, given: object) -> tuple[str, JsonObject] | None:
    """Name and arguments of a call, also where a model uses the other family's key."""
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        return None
    for key in (family.arguments, "arguments", "parameters"):
        if isinstance(given.get(key), dict):
            return given["name"], given[key]
    return None
