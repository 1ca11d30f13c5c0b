"""The chat model of this process: ``--llm hf:<folder or id>[+adapter]``.

A langchain chat model like any other: it binds tools, gives structured output, counts tokens. Light on
import: torch and transformers are loaded at the first reply that is not in the reply cache.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from varve.errors import ModelError, SettingError, UnknownNameError, UsageError
from varve.files import named_path
from varve.finllm.engine.model_folder import Adapter, ModelFiles, find_folder, read_adapter, read_folder
from varve.finllm.engine.queue import Engine, Generated, GenerationRequest, Scored, ScoreRequest
from varve.finllm.langchain import More, Tool
from varve.finllm.local import action_scoring as score
from varve.finllm.local.chat_template import cut_oldest, render, shown_labels
from varve.finllm.local.schema_grammar import narrowed
from varve.finllm.local.tool_formats import Family, calls_grammar, family_of, read_calls
from varve.finllm.replies.decide import DECIDE
from varve.finllm.served.openai import LENGTH_VARIABLE
from varve.types import JsonObject, ToolSchema

if TYPE_CHECKING:
    from varve.finllm.engine.torch_worker import HostedModel

DEFAULT_MAX_NEW_TOKENS = 512
ENGINE_VERSION = 2
"""Goes up when the same request may get another reply, so that no cached reply outlives it."""
FORM = "hf:<folder or id>[+adapter folder]"


class LocalModel(BaseChatModel):
    """A causal language model of transformers, answering through the engine of its weights.

    Args:
        folder: of the model; adapter: of a LoRA adapter, merged into it.
        temperature: 0 for the likeliest reply; above, replies are drawn with ``seed`` and the prompt.
        max_new_tokens: most tokens of one reply.
        constrain: let a reply to bound tools be nothing but calls of them. Off, a reply may be wrong.
        decide: ``generate`` writes a decision, ``score`` weighs the actions
            (:mod:`varve.finllm.local.action_scoring`).
        abstain_below: percent that the likeliest action needs in score mode.
        abstain_as: the action that an abstention becomes.
        timeout_s: seconds that a reply may take, None for any.
    """

    folder: str
    adapter: str | None = None
    seed: int = 0
    temperature: float = Field(default=0.0, ge=0)
    max_new_tokens: int = Field(default=DEFAULT_MAX_NEW_TOKENS, ge=1)
    constrain: bool = True
    decide: Literal["generate", "score"] = "generate"
    abstain_below: int = Field(default=0, ge=0, le=100)
    abstain_as: str = "HOLD"
    timeout_s: float | None = None
    takes_final: bool = True
    """A session says which of the bound tools ends a conversation, and whether only that may be called."""

    _files: ModelFiles = PrivateAttr()
    _adapter: Adapter | None = PrivateAttr(default=None)
    _family: Family = PrivateAttr()
    _engine: Engine | None = PrivateAttr(default=None)
    _priors: dict[tuple[int, ...], Scored] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: object, /) -> None:
        """Check the folder.

        Raises:
            NoDataError, BadFileError: if there is no model in it that can be used.
        """
        super().model_post_init(context)
        self._files = read_folder(Path(self.folder))
        self._family = family_of(self._files.template)
        if self.adapter is not None:
            self._adapter = read_adapter(Path(self.adapter), self._files)

    @property
    def _llm_type(self) -> str:
        return "varve-local"

    @property
    def _identifying_params(self) -> JsonObject:
        template = hashlib.sha256(self._files.template.encode()).hexdigest()
        return {
            "weights": self._files.fingerprint,
            "adapter": None if self._adapter is None else self._adapter.fingerprint,
            "template": template,
            "family": self._family.name,
            "temperature": self.temperature,
            "seed": self.seed,
            "max_new_tokens": self.max_new_tokens,
            "constrain": self.constrain,
            "decide": self.decide,
            **self._scoring_params(),
            "engine": ENGINE_VERSION,
            "torch": version("torch"),
            "transformers": version("transformers"),
        }

    def _scoring_params(self) -> JsonObject:
        if self.decide == "generate":
            return {}
        return {"abstain_below": self.abstain_below, "abstain_as": self.abstain_as}

    def with_scoring(self, *, abstain_below: int = 0, abstain_as: str = "HOLD") -> LocalModel:
        """The same model, weighing the actions of ``decide`` instead of writing one."""
        made = self.model_copy(
            update={"decide": "score", "abstain_below": abstain_below, "abstain_as": abstain_as}
        )
        made._priors = {}
        return made

    @property
    def engine(self) -> Engine:
        """The engine of these weights in this process, opened at the first use.

        Raises:
            ModelError: if the model cannot be loaded or is too big.
        """
        if self._engine is None or self._engine.dead is not None:
            from varve.finllm.engine.load import shared_engine

            self._engine = shared_engine(self._files, self._adapter)
        return self._engine

    def close(self) -> None:
        """Let go of the weights, for every model of this process that shares them; a later use opens them."""
        from varve.finllm.engine.load import let_go

        self._engine = None
        let_go(self._files, self._adapter)

    @property
    def _host(self) -> HostedModel:
        """The engine's worker: tokenizer, context, constrainer."""
        return cast("HostedModel", self.engine.worker)

    @property
    def _shown_name(self) -> str:
        return self.name or self._files.folder.name

    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: str | bool | ToolSchema | None = None,
        final: str | None = None,
        **kwargs: More,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools, one of which it has to call.

        Args:
            tool_choice: a tool's name lets it call that one alone; ``auto`` lets it also answer in
                words; ``none`` only in words; ``any``, ``required``, True and None any of the tools.
            final: the tool that ends a conversation: a constrained reply calls it alone, and its texts
                are not empty.

        Raises:
            UnknownNameError: if no tool has that name.
        """
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        names = [schema["function"]["name"] for schema in schemas]
        choice = _choice(tool_choice)
        if choice not in ("auto", "none", "any", *names):
            raise UnknownNameError("tool", choice, names)
        return self.bind(tools=schemas, tool_choice=choice, final=final, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: More,
    ) -> ChatResult:
        tools, choice = list(kwargs.get("tools") or ()), _choice(kwargs.get("tool_choice"))
        names = [tool["function"]["name"] for tool in tools]
        if self.decide == "score" and DECIDE in names and choice in ("any", DECIDE):
            reply = self._scored(messages, tools, tools[names.index(DECIDE)])
            return ChatResult(generations=[ChatGeneration(message=reply)])
        prompt, cut = self._prompt(messages, tools)
        free = not self.constrain or not tools or choice in ("auto", "none")
        request = GenerationRequest(
            prompt_ids=tuple(prompt),
            max_new_tokens=self.max_new_tokens,
            grammar=None if free else self._grammar(messages, tools, choice, kwargs.get("final")),
            temperature=self.temperature,
            seed=self._seed_of(prompt) if self.temperature else 0,
            timeout_s=self.timeout_s,
        )
        reply = self._reply(self.engine.generate(request), bool(tools), stop or [])
        if cut:
            reply.response_metadata["cut_items"] = cut
        return ChatResult(generations=[ChatGeneration(message=reply)])

    def _scored(
        self, messages: Sequence[BaseMessage], tools: Sequence[ToolSchema], decide: ToolSchema
    ) -> AIMessage:
        """A call of ``decide`` from the probabilities of its actions; questions are never asked."""
        fields = decide["function"]["parameters"]["properties"]
        actions = list(fields["action"]["enum"])
        labels = fields["cited_memories"]["items"].get("enum", ())
        table, cut = self._asked(messages, tools, actions)
        free, _ = self._asked(score.without_content(messages), tools, actions)
        key = free.prompts[0]
        if key not in self._priors:
            # Always alone: what every later decision is measured by must not depend on a batch.
            self._priors[key] = self.engine.score(replace(free, doubtful=lambda found: True))
        prior = self._priors[key].log_probs
        least = self.abstain_below
        found = self.engine.score(
            replace(
                table, doubtful=lambda found: score.doubtful(actions, found, prior=prior, abstain_below=least)
            )
        )
        weighed = score.weigh(actions, found.log_probs, prior=prior, abstain_below=least)
        shown = [label for label in shown_labels(messages) if label in labels]
        arguments = score.arguments(weighed, shown, abstain_as=self.abstain_as)
        tokens = len(table.prompts[0])
        metadata = {"model_name": self._shown_name, "finish_reason": "tool_calls"}
        return AIMessage(
            content="",
            tool_calls=[tool_call(name=DECIDE, args=arguments, id="call_0")],
            usage_metadata=UsageMetadata(input_tokens=tokens, output_tokens=1, total_tokens=tokens + 1),
            response_metadata={**metadata, "cut_items": cut} if cut else metadata,
        )

    def _asked(
        self, messages: Sequence[BaseMessage], tools: Sequence[ToolSchema], actions: Sequence[str]
    ) -> tuple[ScoreRequest, int]:
        """The question in every rotation, and how many lines were cut to make it fit."""
        made = [self._prompt(score.asking(messages, order), tools) for order in score.rotations(actions)]
        letters = tuple(self._single(letter) for letter in score.letters(actions))
        prompts = tuple(tuple(prompt) for prompt, _ in made)
        request = ScoreRequest(prompts, (letters,) * len(prompts), timeout_s=self.timeout_s)
        return request, max(cut for _, cut in made)

    def _single(self, letter: str) -> int:
        ids = self._host.tokenizer(letter, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            raise ModelError(
                f"the model's tokenizer has no single token for {letter!r}, so it cannot score",
                mend="use --decide generate",
            )
        return int(ids[0])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: More,
    ) -> Iterator[ChatGenerationChunk]:
        """The whole reply as one chunk: a batch ends together."""
        reply = self._generate(messages, stop, run_manager, **kwargs).generations[0].message
        assert isinstance(reply, AIMessage)
        calls = [
            tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=place)
            for place, call in enumerate(reply.tool_calls)
        ]
        chunk = AIMessageChunk(
            content=reply.content,
            tool_call_chunks=calls,
            usage_metadata=reply.usage_metadata,
            response_metadata=reply.response_metadata,
            chunk_position="last",
        )
        made = ChatGenerationChunk(message=chunk)
        if run_manager:
            run_manager.on_llm_new_token(reply.text, chunk=made)
        yield made

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: More) -> LangSmithParams:
        made = super()._get_ls_params(stop=stop, **kwargs)
        made["ls_provider"], made["ls_max_tokens"] = "varve", self.max_new_tokens
        made["ls_model_name"] = kwargs.get("model") or self._shown_name
        return made

    def _prompt(self, messages: Sequence[BaseMessage], tools: Sequence[ToolSchema]) -> tuple[list[int], int]:
        """Token ids, and how many lines of untrusted sections were left out to make them fit."""
        tokenizer, room = self._host.tokenizer, self._host.context - self.max_new_tokens
        said: Sequence[BaseMessage] = messages
        cut = 0
        while True:
            text = render(tokenizer, self._family, said, tools)
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            shorter = cut_oldest(said) if len(ids) > room else None
            if shorter is None:
                return list(ids), cut  # where nothing is left to cut, the engine says how much too long
            said, cut = shorter, cut + 1

    def _grammar(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[ToolSchema],
        choice: str,
        final: str | None,
    ) -> str:
        wanted = [tool for tool in tools if choice in ("any", tool["function"]["name"])]
        if final is not None:
            wanted = narrowed(wanted, set(shown_labels(messages)))
        constrainer, tokenizer = self._host.constrainer, self._host.tokenizer

        def special(piece: str) -> int | None:
            number = tokenizer.convert_tokens_to_ids(piece)
            known = number is not None and number != tokenizer.unk_token_id
            return number if known and constrainer.special(number) else None

        return calls_grammar(self._family, wanted, final=final, special=special)

    def _seed_of(self, prompt: Sequence[int]) -> int:
        """From the seed and the prompt, which holds nothing later than its day."""
        text = f"{self.seed} {' '.join(map(str, prompt))}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")

    def _reply(self, made: Generated, tools: bool, stop: Sequence[str]) -> AIMessage:
        text = self._host.tokenizer.decode(made.token_ids, skip_special_tokens=True)
        calls: list[tuple[str, JsonObject]] = []
        bad: list[str] = []
        finish: str = made.finish
        if tools:
            text, calls, bad = read_calls(self._family, made.text)
            finish = "tool_calls" if calls and finish == "stop" else finish
        for end in stop:
            text = text.partition(end)[0]
        tokens = len(made.token_ids)
        return AIMessage(
            content=text,
            tool_calls=[
                tool_call(name=name, args=arguments, id=f"call_{place}")
                for place, (name, arguments) in enumerate(calls)
            ],
            invalid_tool_calls=[
                invalid_tool_call(name=None, args=one, id=f"bad_{place}", error="no call of a tool in JSON")
                for place, one in enumerate(bad)
            ],
            usage_metadata=UsageMetadata(
                input_tokens=made.prompt_tokens,
                output_tokens=tokens,
                total_tokens=made.prompt_tokens + tokens,
            ),
            response_metadata={"model_name": self._shown_name, "finish_reason": finish},
        )


def make_hf(argument: str, *, seed: int) -> LocalModel:
    """A model of transformers in this process: hf:<folder or id>[+adapter].

    Raises:
        UsageError: without a folder or id.
        NoDataError, BadFileError: if there is no model in it that can be used.
        SettingError: if ``VARVE_MODEL_MAX_TOKENS`` is no whole number above 0.
    """
    if not argument:
        raise UsageError(f"model 'hf' needs a folder; expected {FORM}", mend="--llm hf:~/models/qwen3-8b")
    folder, plus, adapter = argument.rpartition("+")
    if not plus or named_path(argument).is_dir():
        folder, adapter = argument, ""
    tuned = str(named_path(adapter)) if adapter else None
    return LocalModel(
        folder=str(find_folder(folder)),
        adapter=tuned,
        seed=seed,
        max_new_tokens=_max_new_tokens(),
    )


def _max_new_tokens() -> int:
    given = os.environ.get(LENGTH_VARIABLE, "").strip()
    if given and (not given.isdecimal() or int(given) < 1):
        raise SettingError(f"{LENGTH_VARIABLE} cannot be {given!r}: a whole number above 0 expected")
    return int(given) if given else DEFAULT_MAX_NEW_TOKENS


def _choice(given: object) -> str:
    """``auto``, ``none``, ``any``, or the name of a tool."""
    if given is None or given is True or given == "required":
        return "any"
    if given is False:
        return "none"
    if isinstance(given, dict):
        return str(given.get("function", {}).get("name"))
    return str(given)
