"""From a conversation to the text that a model reads, by its own chat template."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage

from varve.errors import ModelError
from varve.finllm.local.template_limits import limited
from varve.finllm.local.tool_formats import Family, tools_text, written_call
from varve.harmless import shortened
from varve.types import JsonObject, ToolSchema

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SECTION = re.compile(r"^(<<<([A-Z0-9_]+)\n)(.*?)^\2>>>$", re.DOTALL | re.MULTILINE)
_DATED = re.compile(r"\b(\d{4}-\d\d-\d\d)\b")
_LABELLED = re.compile(r"^([MN]\d+) \| ", re.MULTILINE)
CUT_LINE = "(cut: the oldest lines did not fit)"


def render(
    tokenizer: PreTrainedTokenizerBase,
    family: Family,
    messages: Sequence[BaseMessage],
    tools: Sequence[ToolSchema],
) -> str:
    """The prompt as text, up to where the model's reply begins.

    Raises:
        ModelError: if the template refuses the conversation, or takes too long over it.
    """
    said = [_plain(family, message) for message in messages]
    if tools and not family.in_template:
        said = _with_system(said, tools_text(family, tools))
    try:
        with limited():
            text = tokenizer.apply_chat_template(
                _folded(said) if not family.in_template else said,
                tools=[dict(tool) for tool in tools] if tools and family.in_template else None,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,  # templates without that switch ignore it
            )
    except Exception as error:  # templates are programs: they raise anything
        raise ModelError(
            f"the model's chat template refuses the conversation: {type(error).__name__}: "
            f"{shortened(str(error), 400)}",
            mend="use another model, or one whose template knows tools",
        ) from error
    return str(text)


def cut_oldest(messages: Sequence[BaseMessage]) -> list[BaseMessage] | None:
    """The conversation without the oldest line of its untrusted sections; None where none is left.

    The system message (rules, profile, contract) and all text outside of sections stay. A line's age is
    the first date in it; lines without one count as older than any, later messages as younger.
    """
    oldest: tuple[str, int, int, int] | None = None
    for place, message in enumerate(messages):
        if isinstance(message, SystemMessage | AIMessage):
            continue
        for section in _SECTION.finditer(message.text):
            start = section.start(3)
            for line in section.group(3).splitlines(keepends=True):
                dated = _DATED.search(line)
                age = (dated.group(1) if dated else "", place, start, start + len(line))
                start += len(line)
                if line.strip() != CUT_LINE and (oldest is None or age < oldest):
                    oldest = age
    if oldest is None:
        return None
    _, place, start, end = oldest
    text = messages[place].text
    note = "" if CUT_LINE in _section_at(text, start) else CUT_LINE + "\n"
    shorter = messages[place].model_copy(update={"content": text[:start] + note + text[end:]})
    return [*messages[:place], shorter, *messages[place + 1 :]]


def shown_labels(messages: Iterable[BaseMessage]) -> list[str]:
    """Labels of the lines that the conversation shows, in order; the system message shows none."""
    seen: dict[str, None] = {}
    for message in messages:
        if not isinstance(message, SystemMessage | AIMessage):
            seen.update(dict.fromkeys(_LABELLED.findall(message.text)))
    return list(seen)


def _section_at(text: str, place: int) -> str:
    return next(m.group(3) for m in _SECTION.finditer(text) if m.start(3) <= place < m.end(3))


def _plain(family: Family, message: BaseMessage) -> JsonObject:
    """A message as templates take it: plain text, arguments as objects."""
    text = message.text
    if isinstance(message, AIMessage):
        calls: list[JsonObject] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["args"]},
            }
            for call in message.tool_calls
        ]
        if calls and not family.in_template:
            written = "\n".join(
                written_call(family, call["name"], call["args"]) for call in message.tool_calls
            )
            return {"role": "assistant", "content": f"{text}\n{written}".strip()}
        return {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    if isinstance(message, ToolMessage):
        if not family.in_template:
            return {"role": "user", "content": f"Tool answer: {text}"}
        return {
            "role": "tool",
            "content": text,
            "tool_call_id": message.tool_call_id,
            "name": message.name or "",
        }
    return {"role": "system" if isinstance(message, SystemMessage) else "user", "content": text}


def _with_system(said: list[JsonObject], more: str) -> list[JsonObject]:
    if said and said[0]["role"] == "system":
        return [{**said[0], "content": f"{said[0]['content']}\n\n{more}"}, *said[1:]]
    return [{"role": "system", "content": more}, *said]


def _folded(said: list[JsonObject]) -> list[JsonObject]:
    """Messages of one role in a row as one: many plain templates insist on turns."""
    folded: list[JsonObject] = []
    for one in said:
        if folded and folded[-1]["role"] == one["role"]:
            folded[-1] = {**one, "content": f"{folded[-1]['content']}\n{one['content']}"}
        else:
            folded.append(one)
    return folded
