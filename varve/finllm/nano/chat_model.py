"""The chat model: a local model that reads a prompt by nano's own view of it."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.language_models.base import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from varve.finllm.engine.queue import GenerationRequest, ScoreRequest
from varve.finllm.langchain import Tool
from varve.finllm.local import action_scoring as score
from varve.finllm.local.chat_model import LocalModel
from varve.finllm.nano import answers as teacher
from varve.finllm.nano import tokenizer as tokens
from varve.finllm.nano.examples import QUESTIONS
from varve.finllm.nano.prompt_view import (
    View,
    answer_text,
    day_text,
    read_rules,
    read_view,
    system_text,
    without_last,
)
from varve.finllm.nano.stage_view import STAGES, StageView, read_stage
from varve.finllm.replies.decide import DECIDE
from varve.types import JsonObject, ToolSchema

VIEW_VERSION = 2
"""Goes up when a prompt is read differently, so that no cached reply outlives it."""

_ORDER = ("rationale", "action", "confidence", "cited_memories")
_KNOWN = (*QUESTIONS, "decide", "explain", *STAGES)


class NanoModel(LocalModel):
    """nano: reads the agents' prompts in its own short form and writes its reasons before the action.

    A conversation without a day (no line ``Ticker:``) goes to the weights as it is; nano has learned
    nothing of such.
    """

    @property
    def _llm_type(self) -> str:
        return "varve-nano"

    @property
    def _identifying_params(self) -> JsonObject:
        return {**super()._identifying_params, "view": VIEW_VERSION}

    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: str | bool | ToolSchema | None = None,
        final: str | None = None,
        **kwargs: object,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """As of the local model, the fields of a reply in the order that nano writes them."""
        ordered = [_reasons_first(convert_to_openai_tool(tool)) for tool in tools]
        return super().bind_tools(ordered, tool_choice=tool_choice, final=final, **kwargs)

    def _prompt(self, messages: Sequence[BaseMessage], tools: Sequence[ToolSchema]) -> tuple[list[int], int]:
        tokenizer, room = self._host.tokenizer, self._host.context - self.max_new_tokens
        stage = _stage_of(messages, tools)
        if stage is not None:
            said = [("system", system_text(read_rules(_texts(messages)))), ("user", stage.text)]
            text = tokens.render(said, [stage.name])
            return list(tokenizer(text, add_special_tokens=False)["input_ids"]), stage.left_out
        view = read_view(_texts(messages))
        if view is None:
            return super()._prompt(messages, tools)
        names = [tool["function"]["name"] for tool in _known(tools)]
        while True:
            text = tokens.render(conversation(view, messages), names)
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            shorter = without_last(view) if len(ids) > room else None
            if shorter is None:
                return list(ids), view.left_out
            view = shorter

    def _scored(
        self, messages: Sequence[BaseMessage], tools: Sequence[ToolSchema], decide: ToolSchema
    ) -> AIMessage:
        """The reasons are written first, then the actions are weighed where one of them would follow.

        Without its count on the page nano has not learned to weigh: by letters it is right as often as HOLD
        alone. The actions stand in no order here, so there is nothing to rotate and no prior to take off.
        """
        alone = [_reasons_first(decide)]
        prompt, cut = self._prompt(messages, alone)
        grammar = self._grammar(messages, alone, "any", DECIDE)
        made = self.engine.generate(
            GenerationRequest(tuple(prompt), self.max_new_tokens, grammar, timeout_s=self.timeout_s)
        )
        reply = self._reply(made, True, [])
        actions = list(decide["function"]["parameters"]["properties"]["action"]["enum"])
        labels = tuple(self._single(f'", "action": "{action}"') for action in actions)
        place = next((i for i, token in enumerate(made.token_ids) if token in labels), None)
        if place is None:  # cut short and steered to its end: there is no place to weigh at
            return reply
        asked = ScoreRequest(
            ((*prompt, *made.token_ids[:place]),), (labels,), lambda found: True, timeout_s=self.timeout_s
        )
        row = dict(zip(actions, self.engine.score(asked).log_probs[0], strict=True))
        found = [[row[action] for action in order] for order in score.rotations(actions)]
        nothing = [[0.0] * len(actions)] * len(actions)
        weighed = score.weigh(actions, found, nothing, abstain_below=self.abstain_below)
        written = reply.tool_calls[0]["args"]
        told = score.arguments(weighed, written["cited_memories"], abstain_as=self.abstain_as)
        told["rationale"] = f"{weighed.words} {written['rationale']}"
        reply.tool_calls = [tool_call(name=DECIDE, args={**told, "scored": False}, id="call_0")]
        if cut:
            reply.response_metadata["cut_items"] = cut
        return reply

    def _grammar(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[ToolSchema],
        choice: str,
        final: str | None,
    ) -> str:
        read = _stage_of(messages, tools) or read_view(_texts(messages))
        if read is not None:  # only what it reads can be named
            messages = [HumanMessage("\n".join(f"{line.label} | " for line in read.lines))]
        offered = _known(tools) if choice == "any" else tools
        return super()._grammar(messages, offered, choice, final)


def conversation(view: View, messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    """What nano reads: profile, day, and where tools were asked the first question and all answers."""
    said = [("system", system_text(view)), ("user", day_text(view))]
    asked = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    if view.asked and asked:
        said += [
            ("assistant", teacher.call_text(asked[0]["name"], asked[0]["args"])),
            ("tool", answer_text(view)),
        ]
    return said


def _known(tools: Sequence[ToolSchema]) -> list[ToolSchema]:
    """The tools that it was taught; strategies and others are not offered to it."""
    return [tool for tool in tools if tool["function"]["name"] in _KNOWN] or list(tools)


def _stage_of(messages: Sequence[BaseMessage], tools: Sequence[ToolSchema]) -> StageView | None:
    """The stage of FinAgent that the one form bound belongs to, read from the question asked."""
    names = [tool["function"]["name"] for tool in tools]
    asked = [message.text for message in messages if isinstance(message, HumanMessage)]
    known = [name for name in names if name in STAGES]
    return read_stage(known[0], asked[0]) if known and asked else None


def _texts(messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    return [(_role(message), message.text) for message in messages]


def _role(message: BaseMessage) -> str:
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, AIMessage):
        return "assistant"
    return "tool" if isinstance(message, ToolMessage) else "user"


def _reasons_first(tool: ToolSchema) -> ToolSchema:
    function = tool["function"]
    parameters = function.get("parameters") or {}
    given = parameters.get("properties") or {}
    ordered = {name: given[name] for name in (*_ORDER, *given) if name in given}
    if list(ordered) == list(given):
        return dict(tool)
    wanted = parameters.get("required", [])
    required = [name for name in ordered if name in wanted]
    return {
        **tool,
        "function": {**function, "parameters": {**parameters, "properties": ordered, "required": required}},
    }
