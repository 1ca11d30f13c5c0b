"""A chat model without weights: it reads the same prompt that any model gets and answers by a small rule.

For tests, for demonstrations and as the default until a trained model ships. What it is worth shows only
where news carry words of its list (``lexicon.toml``) and lead prices; it has no knowledge of the world.

The rule, from the text of the prompt alone:

1. Lines ``label | date | kind | text`` in marked sections are read; each text once. A news line of age a
   days counts exp(−a ÷ 14) × its sentiment (−1 to 1, see :mod:`varve.finllm.scripted.lexicon`); older
   than 16 days it counts nothing. A report counts a fifth of its sentiment for 90 days (10-Q) or a year
   (10-K).
2. The return over the closes shown ÷ the root of the sum of their squared daily returns, within ±1,
   counts 0.6; where no news line leans either way, 1.2.
3. The last five outcomes shown count 0.05 each, for the sign of their reward in the direction of their
   action.
4. BUY where the sum is above 0.5, SELL where it is below −0.8, else HOLD; with a risk-averse or
   conservative profile above 0.8 and below −0.5, with a neutral one 0.65 both ways.
5. Signals of trading strategies that are shown, or that tools told, count 0.1 each, BUY up and SELL down.
6. Where fewer than eight fresh news lines lean to a side it first asks ``news`` for the last 16 days;
   where they lean both ways and nearly cancel it first asks ``recall_memory`` and ``price_history``; and
   the MACD and z-score strategies. One round, and only where these tools are bound.

A warm-up lesson is answered with the lines whose sentiment agrees with the outcome; the stages of FinAgent
as :mod:`varve.finllm.scripted.finagent_stages` tells. With none of these bound it says in a sentence what
it would do.
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from varve.config import canonical_json
from varve.errors import UsageError
from varve.finllm.langchain import More, Tool
from varve.finllm.scripted import finagent_stages as scripted_stages
from varve.finllm.scripted import lexicon
from varve.finllm.scripted import prompt_reader as reading
from varve.types import JsonObject

VERSION = 1
MAX_CITED = 5
CHARACTERS_PER_TOKEN = 4


class ScriptedModel(BaseChatModel):
    """The rule above as a langchain chat model that binds tools. ``seed`` names a run and changes nothing."""

    seed: int = 0
    cache: bool = False
    """Never in the reply cache: the rule is quicker than a look-up."""

    @property
    def _llm_type(self) -> str:
        return "varve-scripted"

    @property
    def _identifying_params(self) -> JsonObject:
        return {
            "model": "scripted",
            "version": VERSION,
            "lexicon": lexicon.fingerprint(),
            "rule": reading.Rule().model_dump(),
        }

    def bind_tools(
        self, tools: Sequence[Tool], *, tool_choice: str | None = None, **kwargs: object
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools to call; ``tool_choice`` is accepted and not needed."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: More,
    ) -> ChatResult:
        names = {tool["function"]["name"] for tool in kwargs.get("tools") or ()}
        page = reading.read(messages)
        stage = next((name for name in scripted_stages.ANSWERS if name in names), None)
        if "explain" in names:
            reply = _call("explain", _explanation(page))
        elif "decide" in names:
            calls = reading.questions(page, names)
            reply = calls_message(calls) if calls else _call("decide", _decision(page))
        elif stage is not None:
            reply = _call(stage, scripted_stages.ANSWERS[stage](page))
        else:
            reply = AIMessage(str(_decision(page)["rationale"]))
        reply.usage_metadata = _usage(messages, reply)
        reply.response_metadata = {"model_name": "scripted", "finish_reason": "stop"}
        return ChatResult(generations=[ChatGeneration(message=reply)])


def make_scripted(argument: str, *, seed: int) -> ScriptedModel:
    """The model behind ``--llm scripted``.

    Raises:
        UsageError: if anything follows the name.
    """
    if argument:
        raise UsageError(
            f"the scripted model takes no argument, given {argument!r}", mend="give --llm scripted"
        )
    return ScriptedModel(seed=seed)


def calls_message(calls: Sequence[tuple[str, JsonObject]]) -> AIMessage:
    """A reply that calls tools, numbered in order."""
    made = [
        ToolCall(name=name, args=arguments, id=f"call_{place}")
        for place, (name, arguments) in enumerate(calls)
    ]
    return AIMessage("", tool_calls=made)


def _call(name: str, arguments: JsonObject) -> AIMessage:
    return calls_message([(name, arguments)])


def _decision(page: reading.Page) -> JsonObject:
    view = reading.judge(page)
    agreeing = reading.agreeing(page, view.score)
    return {
        "action": view.action,
        "confidence": view.confidence,
        "rationale": view.words,
        "cited_memories": [item.label for item in agreeing if item.label][:MAX_CITED],
    }


def _explanation(page: reading.Page) -> JsonObject:
    move = page.outcome or 0.0
    agreeing = reading.agreeing(page, move)
    moved = f"{100 * move:+.2f} %"
    side = "favourable" if move > 0 else "unfavourable"
    if agreeing:
        rationale = f"{len(agreeing)} {side} lines pointed to the move of {moved}: {agreeing[0].text}"
    else:
        rationale = f"Nothing known then pointed to the move of {moved}."
    cited = [item.label for item in agreeing if item.label][:MAX_CITED]
    return {"rationale": rationale, "cited_memories": cited}


def _usage(messages: Sequence[BaseMessage], reply: AIMessage) -> UsageMetadata:
    """Tokens reckoned as four characters each."""
    said = sum(len(message.text) for message in messages)
    answered = len(reply.text) + sum(len(canonical_json(call["args"])) for call in reply.tool_calls)
    given, taken = -(-said // CHARACTERS_PER_TOKEN), -(-answered // CHARACTERS_PER_TOKEN)
    return UsageMetadata(input_tokens=given, output_tokens=taken, total_tokens=given + taken)
