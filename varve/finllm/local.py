"""The chat model of this process: ``--llm hf:<folder or id>[+adapter]``.

A langchain chat model like any other: it binds tools, gives structured output, counts tokens. Light on
import: torch and transformers are loaded at the first reply that is not in the reply cache.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from varve.errors import SettingError, UnknownNameError, UsageError
from varve.finllm.engine import Engine, Generated, GenerationRequest
from varve.finllm.engine_files import ModelFiles, find_folder, read_adapter, read_folder
from varve.finllm.families import Family, calls_grammar, family_of, read_calls
from varve.finllm.openai import LENGTH_VARIABLE
from varve.finllm.rendering import cut_oldest, render
from varve.finllm.replies import DECIDE, EXPLAIN

DEFAULT_MAX_NEW_TOKENS = 512
FORM = "hf:<folder or id>[+adapter folder]"


class LocalModel(BaseChatModel):
    """A causal language model of transformers, answering through the engine of its weights.

    Args:
        folder: of the model; adapter: of a LoRA adapter, merged into it.
        temperature: 0 for the likeliest reply; above, replies are drawn with ``seed`` and the prompt.
        max_new_tokens: most tokens of one reply.
        constrain: let a reply to bound tools be nothing but calls of them. Off, a reply may be wrong.
        decide: ``generate`` writes a decision, ``score`` weighs the actions (:mod:`varve.finllm.score`).
        timeout_s: seconds that a reply may take, None for any.
    """

    folder: str
    adapter: str | None = None
    seed: int = 0
    temperature: float = Field(default=0.0, ge=0)
    max_new_tokens: int = Field(default=DEFAULT_MAX_NEW_TOKENS, ge=1)
    constrain: bool = True
    decide: Literal["generate", "score"] = "generate"
    timeout_s: float | None = None
    offers_choice: bool = True
    """A session may say which of the bound tools can be called (``tool_choice``)."""

    _files: ModelFiles = PrivateAttr()
    _adapter_hash: str | None = PrivateAttr(default=None)
    _family: Family = PrivateAttr()
    _engine: Engine | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Check the folder.

        Raises:
            NoDataError, BadFileError: if there is no model in it that can be used.
        """
        super().model_post_init(context)
        self._files = read_folder(Path(self.folder))
        self._family = family_of(self._files.template)
        if self.adapter is not None:
            self._adapter_hash = read_adapter(Path(self.adapter), self._files)

    @property
    def _llm_type(self) -> str:
        return "varve-local"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        template = hashlib.sha256(self._files.template.encode()).hexdigest()
        return {
            "weights": self._files.fingerprint,
            "adapter": self._adapter_hash,
            "template": template,
            "family": self._family.name,
            "temperature": self.temperature,
            "seed": self.seed,
            "max_new_tokens": self.max_new_tokens,
            "constrain": self.constrain,
            "decide": self.decide,
            "torch": version("torch"),
            "transformers": version("transformers"),
        }

    @property
    def engine(self) -> Engine:
        """The engine of these weights in this process, opened at the first use.

        Raises:
            ModelError: if the model cannot be loaded or is too big.
        """
        if self._engine is None or self._engine.dead is not None:
            from varve.finllm.engine_load import shared_engine

            self._engine = shared_engine(self._files, None if self.adapter is None else Path(self.adapter))
        return self._engine

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | bool | dict[str, Any] | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools, one of which it has to call.

        Args:
            tool_choice: a tool's name lets it call that one alone; ``auto`` lets it also answer in
                words; ``none`` only in words; ``any``, ``required``, True and None any of the tools.

        Raises:
            UnknownNameError: if no tool has that name.
        """
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        names = [schema["function"]["name"] for schema in schemas]
        choice = _choice(tool_choice)
        if choice not in ("auto", "none", "any", *names):
            raise UnknownNameError("tool", choice, names)
        return self.bind(tools=schemas, tool_choice=choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        tools, choice = list(kwargs.get("tools") or ()), _choice(kwargs.get("tool_choice"))
        prompt, cut = self._prompt(messages, tools)
        must_call = bool(tools) and choice not in ("auto", "none")
        request = GenerationRequest(
            prompt_ids=tuple(prompt),
            max_new_tokens=self.max_new_tokens,
            grammar=self._grammar(tools, choice) if must_call and self.constrain else None,
            temperature=self.temperature,
            seed=self._seed_of(prompt) if self.temperature else 0,
            timeout_s=self.timeout_s,
        )
        reply = self._reply(self.engine.generate(request), bool(tools), stop or [])
        if cut:
            reply.response_metadata["cut_items"] = cut
        return ChatResult(generations=[ChatGeneration(message=reply)])

    def _prompt(
        self, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]]
    ) -> tuple[list[int], int]:
        """Token ids, and how many lines of untrusted sections were left out to make them fit."""
        tokenizer = self.engine.worker.tokenizer  # type: ignore[attr-defined]
        room = self.engine.worker.context - self.max_new_tokens  # type: ignore[attr-defined]
        said: Sequence[BaseMessage] = messages
        cut = 0
        while True:
            text = render(tokenizer, self._family, said, tools)
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            shorter = cut_oldest(said) if len(ids) > room else None
            if shorter is None:
                return list(ids), cut  # where nothing is left to cut, the engine says how much too long
            said, cut = shorter, cut + 1

    def _grammar(self, tools: Sequence[dict[str, Any]], choice: str) -> str:
        wanted = [tool for tool in tools if choice in ("any", tool["function"]["name"])]
        constrainer = self.engine.worker.constrainer  # type: ignore[attr-defined]
        tokenizer = self.engine.worker.tokenizer  # type: ignore[attr-defined]

        def special(piece: str) -> int | None:
            number = tokenizer.convert_tokens_to_ids(piece)
            known = number is not None and number != tokenizer.unk_token_id
            return number if known and constrainer.special(number) else None

        return calls_grammar(self._family, wanted, finals=(DECIDE, EXPLAIN), special=special)

    def _seed_of(self, prompt: Sequence[int]) -> int:
        """From the seed and the prompt, which holds nothing later than its day."""
        text = f"{self.seed} {' '.join(map(str, prompt))}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")

    def _reply(self, made: Generated, tools: bool, stop: Sequence[str]) -> AIMessage:
        text = made.text
        calls: list[tuple[str, Any]] = []
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
            response_metadata={"model_name": self.name or self._files.folder.name, "finish_reason": finish},
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
    if not plus or Path(argument).expanduser().is_dir():
        folder, adapter = argument, ""
    return LocalModel(
        folder=str(find_folder(folder)),
        adapter=str(Path(adapter).expanduser()) if adapter else None,
        seed=seed,
        max_new_tokens=_max_new_tokens(),
    )


def _max_new_tokens() -> int:
    given = os.environ.get(LENGTH_VARIABLE, "").strip()
    if given and (not given.isdecimal() or int(given) < 1):
        raise SettingError(f"{LENGTH_VARIABLE} cannot be {given!r}: a whole number above 0 expected")
    return int(given) if given else DEFAULT_MAX_NEW_TOKENS


def _choice(given: Any) -> str:
    """``auto``, ``none``, ``any``, or the name of a tool."""
    if given is None or given is True or given == "required":
        return "any"
    if given is False:
        return "none"
    if isinstance(given, dict):
        return str(given.get("function", {}).get("name"))
    return str(given)
