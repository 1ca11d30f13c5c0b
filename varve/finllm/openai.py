"""Models behind an OpenAI-compatible server: vLLM, SGLang, Ollama, llama.cpp, or hosted.

``--llm openai:<model>@<base_url>``. The key is read from ``OPENAI_API_KEY`` and goes nowhere but
into the request; local servers mostly need none. Two more variables of the environment:
``VARVE_MODEL_TIMEOUT_S`` (seconds that the server may be silent, 60) and
``VARVE_MODEL_MAX_TOKENS`` (length of one reply in tokens, 1024; raise it for models that think
before they answer).
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from pydantic import SecretStr

from varve.errors import SettingError, UsageError
from varve.finllm.faults import KEY_VARIABLE

TIMEOUT_VARIABLE = "VARVE_MODEL_TIMEOUT_S"
LENGTH_VARIABLE = "VARVE_MODEL_MAX_TOKENS"
DEFAULT_TIMEOUT_S = 60.0
DEFAULT_MAX_TOKENS = 1024
NO_KEY = "none"
FORM = "openai:<model>@<base_url>"
EXAMPLE = "openai:qwen3-8b@http://localhost:8000/v1"

# A model's name may hold an @; what follows the last @http is the address.
_ARGUMENT = re.compile(r"(?P<model>\S+)@(?P<url>https?://\S+)", re.IGNORECASE)


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
    key = _key()
    try:
        from varve.finllm.served import ServedModel
    except ImportError as error:
        raise UsageError(
            f"models behind a server need the package langchain-openai: {error}",
            mend="pip install 'varve[http]'",
        ) from error
    return ServedModel(
        model=name,
        base_url=url,
        api_key=SecretStr(key),
        temperature=0.0,
        seed=seed,
        timeout=timeout,
        max_retries=0,
        max_completion_tokens=int(length),
        use_responses_api=False,
    )


def _parted(argument: str) -> tuple[str, str]:
    """Model and address. A message never repeats an address that may hold a secret."""
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        model = argument.partition("@")[0]
        raise UsageError(
            f"model 'openai:{model}...' cannot be read; expected {FORM}", mend=f"for example {EXAMPLE}"
        )
    try:
        url = urlsplit(match["url"])
        usable = bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"the address of model {match['model']!r} is no http(s) address with host and port",
            mend=f"for example {EXAMPLE}",
        )
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise UsageError(
            f"the address of model {match['model']!r} holds a name, a password or a query",
            mend=f"give the plain address, and a key by the environment variable {KEY_VARIABLE}",
        )
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
