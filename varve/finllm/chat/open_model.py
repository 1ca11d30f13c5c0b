"""From ``--llm`` to a chat model, and what a run record says about it."""

from __future__ import annotations

import hashlib
import json
import math
import re

from langchain_core.language_models import BaseChatModel

from varve import registry
from varve.config import canonical_json
from varve.errors import UsageError
from varve.finllm.chat.faults import hide, secrets_of
from varve.finllm.chat.images import sees
from varve.finllm.chat.reply_source import Identity
from varve.types import Json

FORM = "nano, scripted, hf:<folder>[+adapter], or openai:<model>@<base_url>"
_SPEC = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)(?::(?P<argument>\S+))?")


def open_model(spec: str, *, seed: int = 0) -> BaseChatModel:
    """The chat model that ``spec`` names: ``name`` or ``name:argument``.

    ``name`` is looked up in the registry group ``llms``; what is registered there is a factory
    ``make(argument, *, seed)``, and ``argument`` is empty where the spec has none.

    Raises:
        UnknownNameError: if no model of that name is registered; near names are suggested.
        UsageError: if the spec has not this form, or its argument does not fit.
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None:
        shown = spec.partition(":")[0]  # an address may hold a secret
        raise UsageError(f"model {shown!r} cannot be read; expected {FORM}", mend="give --llm scripted")
    made = registry.load("llms", match["name"])(match["argument"] or "", seed=seed)
    if not isinstance(made, BaseChatModel):
        raise UsageError(
            f"model {match['name']!r} gives a {type(made).__name__}, a langchain BaseChatModel expected",
            mend="mend the package that registers it",
        )
    if made.name is None:
        made.name = spec.strip()
    return made


def deciding(model: BaseChatModel, decide: str, abstain_below: int, abstain_as: str) -> BaseChatModel:
    """The model in the way that a run decides: ``generate`` as it is, ``score`` weighing the actions.

    Models that can weigh have a method ``with_scoring``.

    Raises:
        UsageError: if the model cannot be asked for probabilities.
    """
    if decide == "generate":
        return model
    scoring = getattr(model, "with_scoring", None)
    if scoring is None:
        raise UsageError(
            f"model {model.name or type(model).__name__!r} cannot score: its probabilities are out of reach",
            mend="use --decide generate, or a model of this process: --llm hf:FOLDER",
        )
    made = scoring(abstain_below=abstain_below, abstain_as=abstain_as)
    assert isinstance(made, BaseChatModel)
    return made


def model_identity(model: BaseChatModel) -> Identity:
    """What the run record says about a model: name, settings, their SHA-256.

    The fingerprint is over everything that the model itself gives as identifying it (sampling and
    seed among them). Nothing secret is in it. What it knows of the world is told by
    :mod:`varve.finllm.chat.model_cards`.
    """
    secrets = secrets_of(model)
    settings = _plain(dict(model._identifying_params))
    kind = type(model).__name__
    text = hide(canonical_json({"kind": model._llm_type, "settings": settings}), secrets)
    found: Identity = {
        "name": hide(model.name or kind, secrets),
        "fingerprint": hashlib.sha256(text.encode()).hexdigest(),
        "settings": json.loads(text)["settings"],
    }
    if sees(model):  # named only where it is so: records from before there was vision stay the same
        found["vision"] = True
    return found


def _plain(value: object) -> Json:
    """``value`` as JSON; what is no plain value goes by its type's name, never by its address."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return type(value).__name__
