"""What went wrong between Varve and a model: which faults pass, which do not, and no secrets in either."""

from __future__ import annotations

import os
from dataclasses import dataclass

from langchain_core.exceptions import ModelError as LangChainModelError
from pydantic import SecretStr

from varve.errors import ModelTransportError
from varve.finllm.replies.untrusted import clean
from varve.harmless import HIDDEN, KEY_VARIABLE, hide, is_secret

__all__ = ["HIDDEN", "KEY_VARIABLE", "Fault", "fault_of", "hide", "mend_of", "secrets_of"]

_MAX_DETAIL_TOKENS = 100
_PASSING_STATUS = (408, 425, 429)
# Base classes of connection faults in openai and httpx, by name: neither package is always there.
_PASSING_CLASSES = ("APIConnectionError", "TransportError")


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed exchange. ``passing`` says whether the same call may succeed a little later."""

    passing: bool
    detail: str
    status: int | None = None
    retry_after: float | None = None


def fault_of(error: Exception, secrets: tuple[str, ...]) -> Fault | None:
    """The fault that ``error`` tells of, or None where it is no fault of the exchange but of code."""
    detail = _detail(f"{type(error).__name__}: {error}", secrets)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 300 <= status < 400:
        return Fault(False, f"HTTP {status}, it sends requests on to another address", status)
    if isinstance(status, int) and status >= 400:
        passing = status in _PASSING_STATUS or status >= 500
        return Fault(passing, f"HTTP {status}, {detail}", status, _retry_after(error))
    if isinstance(error, ModelTransportError):
        return Fault(True, _detail(error.message, secrets))
    if isinstance(error, LangChainModelError):
        return Fault(error.is_retryable, detail)
    named = any(base.__name__ in _PASSING_CLASSES for base in type(error).__mro__)
    if named or isinstance(error, ConnectionError | TimeoutError):
        return Fault(True, detail)
    return None


def _detail(text: str, secrets: tuple[str, ...]) -> str:
    # Hidden before the cut, which could leave a piece of a key, and behind it: what is cleaned away may have
    # stood between the pieces of one.
    return hide(clean(hide(text, secrets), _MAX_DETAIL_TOKENS)[0], secrets)


def mend_of(fault: Fault) -> str:
    """What mends a fault that does not pass."""
    if fault.status in (401, 403):
        return f"set {KEY_VARIABLE} to a key that the server accepts"
    if fault.status is not None and 300 <= fault.status < 400:
        return "give the address that answers itself; a key is never sent on to where a server points"
    if fault.status == 404:
        return "check the model's name and that the address ends as the server's does, mostly in /v1"
    if fault.status in (400, 413, 422):
        return (
            "the server refused the request itself: check that it serves tool calls for this model "
            "and that the prompt fits the model's context"
        )
    return "check the model and its server; no decision was recorded for this step"


def secrets_of(model: object) -> tuple[str, ...]:
    """Every secret that a model holds, and the key in the environment; empty ones left out."""
    held = [value for value in vars(model).values() if isinstance(value, SecretStr)]
    found = [value.get_secret_value() for value in held] + [os.environ.get(KEY_VARIABLE, "").strip()]
    # Placeholders like "none" are no secrets, and hiding them would spoil honest text.
    return tuple(dict.fromkeys(secret for secret in found if is_secret(secret)))


def _retry_after(error: Exception) -> float | None:
    """Seconds that the server asks to wait, None where it gives no plain number."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    try:
        return max(0.0, float(headers["retry-after"])) if headers is not None else None
    except (KeyError, TypeError, ValueError):
        return None
