"""What the model may answer, as tool schemas, and what it did answer, read strictly.

A reply is either a call of ``decide`` (in warm-up: ``explain``), or calls of the day's read-only
tools, or a failure with its reason. Nothing is guessed: a reply that does not fit is a
:class:`~varve.types.Failure`, never a HOLD.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from varve.errors import ModelError
from varve.finllm.replies.untrusted import clean
from varve.types import Action, Arguments, Failure, FailureReason, Json, JsonObject, ToolSchema

DECIDE = "decide"
EXPLAIN = "explain"
CONFIDENCE_STEP = 5
MAX_CITED = 10
MAX_RATIONALE_TOKENS = 400

_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL | re.IGNORECASE)
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class DecideReply:
    """A final decision. ``confidence`` is an integer percent, rounded to steps of 5.

    ``scored`` says that the actions were weighed and no memory was chosen: all shown are cited, and
    share their credit.
    """

    action: Action
    confidence: int
    rationale: str
    cited_memories: tuple[str, ...] = ()
    scored: bool = False


@dataclass(frozen=True, slots=True)
class ExplainReply:
    """A warm-up lesson: why a past session went as it did."""

    rationale: str
    cited_memories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One call of a read-only tool; ``id`` goes into the ``ToolMessage`` that answers it."""

    id: str
    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class ToolRequests:
    """Questions that the model asks before it decides, in its order."""

    calls: tuple[ToolRequest, ...]


class UnfitError(ModelError):
    """A reply that does not fit; whoever parses makes its ``failure`` of it."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        self.failure = Failure(reason, detail)
        super().__init__(detail)


def decide_tool_schema(actions: Sequence[Action], memory_ids: Sequence[str] | None = None) -> ToolSchema:
    """The OpenAI-format schema of ``decide``.

    Args:
        actions: what may be chosen.
        memory_ids: the ids or labels that may be cited, enumerated in the schema. The schema stands
            before everything that changes per day in a prompt, so give labels that are the same
            every day (``M1`` ... ``M20``), or None to leave citations free; either way
            :func:`parse_reply` checks them.
    """
    properties: JsonObject = {
        "action": {
            "type": "string",
            "enum": [str(action) for action in actions],
            "description": "HOLD keeps the position, FLAT closes it.",
        },
        # An enumeration instead of multipleOf, which not every grammar compiler knows.
        "confidence": {
            "type": "integer",
            "enum": list(range(0, 101, CONFIDENCE_STEP)),
            "description": "Percent, in steps of 5.",
        },
    }
    return _function(DECIDE, "Give today's final decision.", properties, memory_ids)


def explain_tool_schema(memory_ids: Sequence[str] | None = None) -> ToolSchema:
    """The OpenAI-format schema of ``explain``, for warm-up; ``memory_ids`` as in decide."""
    return _function(EXPLAIN, "Explain why the session went as it did.", {}, memory_ids)


def parse_reply(
    message: AIMessage,
    *,
    allowed_actions: Collection[Action],
    known_memory_ids: Collection[str],
    tool_names: Collection[str] = (),
) -> DecideReply | ToolRequests | Failure:
    """Read one reply.

    Accepted beside a tool call: text that is exactly one JSON object (fenced or not, after a
    ``<think>`` block or not) with the fields of ``decide``, alone or as the ``arguments`` beside
    ``"name": "decide"``. Questions count as tool calls only, since a server takes answers to no other.
    A decision given together with questions stands, and the questions are not asked. Two decisions
    in one reply are a failure. Any integer confidence from 0 to 100 is rounded to the nearest 5;
    fields that ``decide`` does not have are ignored. The rationale is cleaned as untrusted text.
    """
    try:
        found = read_call(message, DECIDE, "action", tool_names)
        if isinstance(found, ToolRequests):
            return found
        return DecideReply(
            action=_action(found, allowed_actions),
            confidence=_confidence(found),
            rationale=_rationale(found),
            cited_memories=_cited(found, known_memory_ids),
            scored=found.get("scored") is True,
        )
    except UnfitError as unfit:
        return unfit.failure


def parse_explanation(
    message: AIMessage, *, known_memory_ids: Collection[str], tool_names: Collection[str] = ()
) -> ExplainReply | ToolRequests | Failure:
    """Read one reply of a warm-up lesson; the rules of :func:`parse_reply`."""
    try:
        found = read_call(message, EXPLAIN, "rationale", tool_names)
        if isinstance(found, ToolRequests):
            return found
        return ExplainReply(_rationale(found), _cited(found, known_memory_ids))
    except UnfitError as unfit:
        return unfit.failure


def reask_messages(message: AIMessage, failure: Failure) -> list[BaseMessage]:
    """What to add to the conversation for the one re-ask: the bad reply as text, and what was wrong.

    The reply goes back without its tool calls, since servers refuse calls that nothing answered, and
    also where it was empty, since many templates refuse two messages of the user in a row.
    """
    said, _ = clean(_said(message), MAX_RATIONALE_TOKENS)
    wrong, _ = clean(failure.detail, MAX_RATIONALE_TOKENS)
    ask = HumanMessage(f"That was no usable reply: {wrong}. Answer again with one call of the tool.")
    return [AIMessage(said or "(nothing)"), ask]


def finish_reason(message: AIMessage) -> str | None:
    """Why generation stopped, in the server's words (``stop``, ``tool_calls``, ``length``)."""
    for key in ("finish_reason", "stop_reason", "done_reason"):
        given = message.response_metadata.get(key)
        if given is not None:
            return str(given)
    return None


def _function(name: str, description: str, first: JsonObject, memory_ids: Sequence[str] | None) -> ToolSchema:
    items: JsonObject = {"type": "string"}
    most = MAX_CITED
    if memory_ids is not None:
        most = min(MAX_CITED, len(memory_ids))
        if memory_ids:
            items["enum"] = list(memory_ids)
    # The reasons stand before the action: a model that writes in this order decides by them.
    properties: JsonObject = {
        "rationale": {"type": "string", "description": "The reasons, in a few sentences."},
        **first,
        "cited_memories": {
            "type": "array",
            "items": items,
            "maxItems": most,
            "description": "Ids of the memories this rests on; may be empty.",
        },
    }
    return function_schema(name, description, properties)


def function_schema(name: str, description: str, properties: Mapping[str, Json]) -> ToolSchema:
    """A tool in OpenAI's format; every property is required and no other is taken."""
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


def read_call(
    message: AIMessage, final: str, telling: str, tool_names: Collection[str]
) -> Arguments | ToolRequests:
    """The arguments of the one call of ``final``, or the questions.

    Args:
        telling: the field by which arguments written as text are known.

    Raises:
        UnfitError: for anything else.
    """
    if finish_reason(message) in ("length", "max_tokens"):
        raise UnfitError(FailureReason.TOKEN_LIMIT, "the reply was cut off at the token limit")
    if message.invalid_tool_calls:
        bad = message.invalid_tool_calls[0]
        detail = f"the arguments of {bad.get('name')!r} are no JSON object: {shown(bad.get('args'))}"
        raise UnfitError(FailureReason.UNPARSABLE, detail)
    calls = [ToolRequest(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls]
    if not calls:
        calls = [_from_text(message, final, telling)]
    finals = [call for call in calls if call.name == final]
    if len(finals) > 1:
        raise UnfitError(
            FailureReason.BAD_ARGUMENTS, f"{len(finals)} calls of {final!r}, exactly one expected"
        )
    if finals:
        return finals[0].arguments
    for call in calls:
        if call.name not in tool_names:
            known = ", ".join(sorted({final, *tool_names}))
            raise UnfitError(FailureReason.BAD_ARGUMENTS, f"no tool named {shown(call.name)}; known: {known}")
    return ToolRequests(tuple(calls))


def _from_text(message: AIMessage, final: str, telling: str) -> ToolRequest:
    """The final call written as text; ``telling`` is the field by which its arguments are known."""
    text = _THOUGHT.sub("", message.text).strip()
    if not text:
        refusal = message.additional_kwargs.get("refusal")
        why = f"the model refused: {shown(refusal)}" if refusal else "the reply is empty"
        raise UnfitError(FailureReason.EMPTY_REPLY, why)
    fenced = _FENCED.match(text)
    try:
        given = json.loads(fenced.group(1) if fenced else text)
    except (ValueError, RecursionError):
        given = None
    if isinstance(given, dict):
        name, arguments = given.get("name"), given.get("arguments", given.get("parameters"))
        if name == final and isinstance(arguments, dict):
            return ToolRequest("", final, arguments)
        if telling in given:
            return ToolRequest("", final, given)
    detail = f"a call of {final!r} or its fields as one JSON object expected, given {shown(text)}"
    raise UnfitError(FailureReason.UNPARSABLE, detail)


def _action(found: Arguments, allowed: Collection[Action]) -> Action:
    given = found.get("action")
    known = ", ".join(action for action in Action if action in allowed)
    if given is None:
        raise UnfitError(FailureReason.BAD_ARGUMENTS, f"'action' is missing; one of {known} expected")
    name = given.strip().upper() if isinstance(given, str) else ""
    if name in Action.__members__ and Action[name] in allowed:
        return Action[name]
    raise UnfitError(FailureReason.UNKNOWN_ACTION, f"action {shown(given)} is not one of {known}")


def _confidence(found: Arguments) -> int:
    given = found.get("confidence")
    # JSON has one kind of number, so 70.0 is 70; but 1.0 may mean all or 1 %, and is refused.
    if isinstance(given, float) and given.is_integer() and given != 1.0:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= 100:
        detail = f"confidence {shown(given)} is no integer percent from 0 to 100"
        raise UnfitError(FailureReason.BAD_ARGUMENTS, detail)
    return (given + CONFIDENCE_STEP // 2) // CONFIDENCE_STEP * CONFIDENCE_STEP


def _rationale(found: Arguments) -> str:
    given = found.get("rationale")
    text = clean(given, MAX_RATIONALE_TOKENS)[0] if isinstance(given, str) else ""
    if not text:
        raise UnfitError(FailureReason.BAD_ARGUMENTS, f"rationale {shown(given)} is no text")
    return text


def _cited(found: Arguments, known: Collection[str]) -> tuple[str, ...]:
    given = found.get("cited_memories")
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise UnfitError(FailureReason.BAD_ARGUMENTS, f"cited_memories {shown(given)} is no list of ids")
    unique = tuple(dict.fromkeys(given))
    for one in unique:
        if one not in known:
            raise UnfitError(FailureReason.UNKNOWN_MEMORY, f"no memory {shown(one)} was shown")
    if len(unique) > MAX_CITED and found.get("scored") is not True:
        detail = f"{len(unique)} memories cited, at most {MAX_CITED} expected"
        raise UnfitError(FailureReason.BAD_ARGUMENTS, detail)
    return unique


def _said(message: AIMessage) -> str:
    calls = [f"{call['name']}({json.dumps(call['args'])})" for call in message.tool_calls]
    calls += [f"{call.get('name')}({call.get('args')})" for call in message.invalid_tool_calls]
    return " ".join([_THOUGHT.sub("", message.text), *calls])


def shown(value: object) -> str:
    """Anything of a reply as a few harmless characters, for a message."""
    text, cut = clean(repr(value), _SHOWN // 4)
    return text if text or cut else "''"
