"""Models behind an OpenAI-compatible server: vLLM, SGLang, Ollama, llama.cpp, or hosted.

``--llm openai:<model>@<base_url>``. The key is read from ``OPENAI_API_KEY`` and goes nowhere but
into the request; local servers mostly need none. More variables of the environment:
``VARVE_MODEL_TIMEOUT_S`` (seconds that the server may be silent, 60),
``VARVE_MODEL_MAX_TOKENS`` (length of one reply in tokens, 1024; raise it for models that think
before they answer) and ``VARVE_MODEL_VISION`` (``true`` where the model takes images, ``false``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable
from pydantic import SecretStr

from varve.errors import SettingError, UsageError
from varve.finllm.langchain import More, Tool
from varve.finllm.served.credentials import SERVED, server
from varve.harmless import KEY_VARIABLE
from varve.types import JsonObject

TIMEOUT_VARIABLE = "VARVE_MODEL_TIMEOUT_S"
LENGTH_VARIABLE = "VARVE_MODEL_MAX_TOKENS"
VISION_VARIABLE = "VARVE_MODEL_VISION"
DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MAX_TOKENS = 1024
NO_KEY = "none"
FORM = "openai:<model>@<base_url>"
EXAMPLE = "openai:qwen3-8b@http://localhost:8000/v1"


def make_openai(argument: str, *, seed: int) -> BaseChatModel:
    """A chat model for ``<model>@<base_url>``, at temperature 0 with a seed.

    It never tries again by itself: that is the session's, which knows when to stop the run.

    Raises:
        UsageError: if the argument has not this form, the key cannot be sent, or the package
            ``langchain-openai`` is missing.
        SettingError: if a variable of the environment has a value that cannot be used.
    """
    name, url = _parted(argument)
    timeout = _number(TIMEOUT_VARIABLE, DEFAULT_TIMEOUT_S)
    length = _number(LENGTH_VARIABLE, DEFAULT_MAX_TOKENS)
    vision = _switch(VISION_VARIABLE)
    key = _key()
    if find_spec("langchain_openai") is None:
        raise UsageError(
            "models behind a server need the package langchain-openai, which is not installed",
            mend="pip install 'varve[http]'",
        )
    return OpenAIModel(
        model=name,
        base_url=url,
        api_key=SecretStr(key),
        seed=seed,
        timeout_s=timeout,
        max_completion_tokens=int(length),
        vision=vision,
    )


class OpenAIModel(BaseChatModel):
    """What a served model is, without the client: that takes a second to import, and a run whose every
    reply is in the cache never needs it.
    """

    model: str
    base_url: str
    api_key: SecretStr
    seed: int
    timeout_s: float
    max_completion_tokens: int
    temperature: float = 0.0
    vision: bool = False

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    @property
    def _identifying_params(self) -> JsonObject:
        return {
            "model": self.model,
            "base_url": self.base_url,
            "temperature": self.temperature,
            "seed": self.seed,
            "max_completion_tokens": self.max_completion_tokens,
            # Named only where it is so: what was recorded before there was vision stays the same.
            **({"vision": True} if self.vision else {}),
        }

    @cached_property
    def client(self) -> BaseChatModel:
        """The client, made at the first call."""
        from varve.finllm.served.checked_server import ServedModel, straight_clients

        return ServedModel(
            model=self.model,
            base_url=self.base_url,
            api_key=self.api_key,
            temperature=self.temperature,
            seed=self.seed,
            timeout=self.timeout_s,
            max_retries=0,
            max_completion_tokens=self.max_completion_tokens,
            use_responses_api=False,
            openai_proxy=None,
            **straight_clients(),
        )

    def bind_tools(self, tools: Sequence[Tool], **kwargs: More) -> Runnable[LanguageModelInput, AIMessage]:
        """The client with ``tools`` bound, one of which it has to call."""
        return self.client.bind_tools(tools, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: object,
    ) -> ChatResult:
        return self.client._generate(messages, stop=stop, run_manager=run_manager, **kwargs)


def _parted(argument: str) -> tuple[str, str]:
    """Model and address. A message never repeats an address that may hold a secret."""
    match = SERVED.fullmatch(argument)
    if match is None:
        raise UsageError(f"model 'openai:...' cannot be read; expected {FORM}", mend=f"for example {EXAMPLE}")
    try:
        server(match["url"])
    except UsageError as error:
        raise UsageError(
            error.message.replace("a model server", f"model {match['model']!r}"),
            mend=f"give the plain address, for example {EXAMPLE}, and a key by {KEY_VARIABLE}",
        ) from None
    return match["model"], match["url"].rstrip("/")


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip() or NO_KEY
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise UsageError(
            f"the value of {KEY_VARIABLE} cannot be sent: blanks or characters outside ASCII in it",
            mend=f"set {KEY_VARIABLE} to the key alone",
        )
    return key


def _number(variable: str, default: float) -> float:
    given = os.environ.get(variable, "").strip()
    try:
        value = float(given) if given else default
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e6:
        raise SettingError(f"{variable} cannot be {given!r}: a number above 0 expected")
    return value


def _switch(variable: str) -> bool:
    """Off where nothing is given."""
    given = os.environ.get(variable, "").strip().lower()
    if given not in ("", "true", "false"):
        raise SettingError(f"{variable} cannot be {given!r}: true or false expected")
    return given == "true"
