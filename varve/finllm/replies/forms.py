"""Reply forms: what a stage of an agent asks for, as one tool's schema, and what came, read strictly.

A form is a name, a sentence and fields. Like the ``decide`` of :mod:`varve.finllm.replies.decide` it gives
either what was filled in, or questions, or a failure with its reason; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from langchain_core.messages import AIMessage

from varve.finllm.replies.decide import (
    DecideReply,
    ExplainReply,
    ToolRequests,
    UnfitError,
    decide_tool_schema,
    explain_tool_schema,
    function_schema,
    parse_explanation,
    parse_reply,
    read_call,
    shown,
)
from varve.finllm.replies.untrusted import clean
from varve.types import Action, Failure, FailureReason, JsonObject, ToolSchema

R_co = TypeVar("R_co", covariant=True)


class ReplyForm(Protocol[R_co]):
    """One way to reply: ``name`` is the tool that the model calls."""

    @property
    def name(self) -> str:
        """The tool's name."""
        ...

    def schema(self, labels: Sequence[str]) -> ToolSchema:
        """The tool in OpenAI's format; ``labels`` are all that may be named, the same every day."""
        ...

    def parse(
        self, message: AIMessage, known: Collection[str], tool_names: Collection[str] = ()
    ) -> R_co | ToolRequests | Failure:
        """Read a reply; ``known`` are the labels that were shown so far."""
        ...


@dataclass(frozen=True)
class DecideForm:
    """The ``decide`` of every agent."""

    actions: tuple[Action, ...] = tuple(Action)
    name: str = field(default="decide", init=False)

    def schema(self, labels: Sequence[str]) -> ToolSchema:
        """See :class:`ReplyForm`."""
        return decide_tool_schema(self.actions, labels)

    def parse(
        self, message: AIMessage, known: Collection[str], tool_names: Collection[str] = ()
    ) -> DecideReply | ToolRequests | Failure:
        """See :class:`ReplyForm`."""
        return parse_reply(
            message, allowed_actions=self.actions, known_memory_ids=known, tool_names=tool_names
        )


@dataclass(frozen=True)
class ExplainForm:
    """The ``explain`` of a warm-up lesson."""

    name: str = field(default="explain", init=False)

    def schema(self, labels: Sequence[str]) -> ToolSchema:
        """See :class:`ReplyForm`."""
        return explain_tool_schema(labels)

    def parse(
        self, message: AIMessage, known: Collection[str], tool_names: Collection[str] = ()
    ) -> ExplainReply | ToolRequests | Failure:
        """See :class:`ReplyForm`."""
        return parse_explanation(message, known_memory_ids=known, tool_names=tool_names)


class Field(Protocol):
    """A field of a form."""

    def schema(self, labels: Sequence[str]) -> JsonObject:
        """As JSON schema."""
        ...

    def read(self, name: str, given: object, known: Collection[str]) -> object:
        """The value, or :class:`~varve.finllm.replies.decide.UnfitError`."""
        ...


@dataclass(frozen=True)
class Text:
    """Some words, cleaned as untrusted text and cut to ``max_tokens`` of four characters."""

    description: str
    max_tokens: int = 200

    def schema(self, labels: Sequence[str]) -> JsonObject:
        """A string."""
        return {"type": "string", "description": self.description}

    def read(self, name: str, given: object, known: Collection[str]) -> str:
        """Words; none is no answer."""
        text = clean(given, self.max_tokens)[0] if isinstance(given, str) else ""
        if not text:
            raise UnfitError(FailureReason.BAD_ARGUMENTS, f"{name} {shown(given)} is no text")
        return text


@dataclass(frozen=True)
class Choice:
    """One of a few words, in lower case."""

    description: str
    values: tuple[str, ...]

    def schema(self, labels: Sequence[str]) -> JsonObject:
        """An enumeration."""
        return {"type": "string", "enum": list(self.values), "description": self.description}

    def read(self, name: str, given: object, known: Collection[str]) -> str:
        """The word, whatever its case."""
        word = given.strip().lower() if isinstance(given, str) else ""
        if word not in self.values:
            known_values = ", ".join(self.values)
            raise UnfitError(
                FailureReason.BAD_ARGUMENTS, f"{name} {shown(given)} is not one of {known_values}"
            )
        return word


@dataclass(frozen=True)
class Label:
    """The label of one line that was shown."""

    description: str

    def schema(self, labels: Sequence[str]) -> JsonObject:
        """An enumeration of the labels."""
        return {"type": "string", "enum": list(labels), "description": self.description}

    def read(self, name: str, given: object, known: Collection[str]) -> str:
        """The label."""
        if not isinstance(given, str) or given not in known:
            raise UnfitError(FailureReason.UNKNOWN_MEMORY, f"{name}: no line {shown(given)} was shown")
        return given


@dataclass(frozen=True)
class Each:
    """A list with at most ``most`` entries, each an object with ``fields``; may be empty."""

    description: str
    fields: Mapping[str, Field]
    most: int

    def schema(self, labels: Sequence[str]) -> JsonObject:
        """An array of objects."""
        item: JsonObject = {
            "type": "object",
            "properties": {name: field.schema(labels) for name, field in self.fields.items()},
            "required": list(self.fields),
            "additionalProperties": False,
        }
        return {"type": "array", "items": item, "maxItems": self.most, "description": self.description}

    def read(self, name: str, given: object, known: Collection[str]) -> list[Filled]:
        """The entries, every one of them whole."""
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise UnfitError(FailureReason.BAD_ARGUMENTS, f"{name} {shown(given)} is no list of objects")
        if len(given) > self.most:
            detail = f"{len(given)} entries of {name}, at most {self.most} expected"
            raise UnfitError(FailureReason.BAD_ARGUMENTS, detail)
        return [
            {
                part: field.read(f"{name}[{place}].{part}", one.get(part), known)
                for part, field in self.fields.items()
            }
            for place, one in enumerate(given)
        ]


Filled = dict[str, Any]
"""The fields of a form by name: text, a choice, a label, or a list of such tables."""


@dataclass(frozen=True)
class Form:
    """A form of fields; the first field is the one by which a reply written as text is known."""

    name: str
    description: str
    fields: Mapping[str, Field]

    def schema(self, labels: Sequence[str]) -> ToolSchema:
        """See :class:`ReplyForm`."""
        properties = {name: field.schema(labels) for name, field in self.fields.items()}
        return function_schema(self.name, self.description, properties)

    def parse(
        self, message: AIMessage, known: Collection[str], tool_names: Collection[str] = ()
    ) -> Filled | ToolRequests | Failure:
        """See :class:`ReplyForm`; fields that the form does not have are ignored."""
        try:
            found = read_call(message, self.name, next(iter(self.fields)), tool_names)
            if isinstance(found, ToolRequests):
                return found
            return {name: field.read(name, found.get(name), known) for name, field in self.fields.items()}
        except UnfitError as unfit:
            return unfit.failure
