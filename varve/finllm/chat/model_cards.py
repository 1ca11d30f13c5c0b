"""What is known of models by name: licence, size, tool-call form, and until when they know the world.

Light on import. The package's own list is ``catalogue.toml``; ``models.toml`` under ``VARVE_HOME``, in the
same form, adds to it and wins over it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from typing import Literal

from pydantic import Field

from varve.config import FrozenConfig, home, read_toml
from varve.errors import BadFileError, SettingError
from varve.types import Json, JsonObject

USER_FILE = "models.toml"

Knowledge = Literal["none", "unknown", "inside", "partly", "after"]
"""Where a window lies: the model knows no world, or nobody says; it may have read about all of the window,
about its beginning, or about none of it."""


class ModelCard(FrozenConfig):
    """What its makers say of a model.

    ``parameters_b``: in billions. ``template``: the form of its tool calls. ``knowledge_cutoff``: the
    last day it was trained on, None where its makers state none. ``knows_the_world`` is False for
    models that learned from synthetic text alone.
    """

    licence: str = "unknown"
    parameters_b: float | None = Field(default=None, gt=0)
    template: str = "unknown"
    knowledge_cutoff: date | None = None
    release_date: date | None = None
    knows_the_world: bool = True

    @property
    def known_until(self) -> date | None:
        """The last day that it can know of: its cut-off, else its release, else None."""
        return self.knowledge_cutoff or self.release_date


def cards() -> dict[str, ModelCard]:
    """Every card by the model's name, the user's own last.

    Raises:
        BadFileError: if the user's file is no TOML or no table of models.
        SettingError: if an entry has an unknown key or a value that cannot be used.
    """
    own = tomllib.loads(files("varve.finllm.chat").joinpath("model_cards.toml").read_text(encoding="utf-8"))
    path = home() / USER_FILE
    added = read_toml(path) if path.is_file() else {}
    for name, entry in added.items():
        if not isinstance(entry, dict):
            raise BadFileError(
                f'{path} has {name} = {entry!r}: a table ["{name}"] expected',
                mend="write each model as in: backtest llm models --example",
            )
    try:
        return {name: ModelCard.build(**entry) for name, entry in {**own, **added}.items()}
    except SettingError as error:
        raise SettingError(f"in {path}: {error.message}", mend=error.mend) from error


def card_of(spec: str) -> ModelCard | None:
    """The card of the model that an ``--llm`` names; None where there is none.

    A served or local model is found by its whole name or by its last part, without regard to case:
    ``openai:qwen3-8b@URL`` and ``hf:models/Qwen3-8B`` are both ``Qwen/Qwen3-8B``. An adapter changes
    nothing of what its base model knows.
    """
    kind, _, rest = spec.partition(":")
    name = kind if not rest else rest.rpartition("@")[0] or rest
    name = name.partition("+")[0].rstrip("/").lower()
    known = {full.lower(): card for full, card in cards().items()}
    if name in known:
        return known[name]
    by_last = {full.rpartition("/")[2]: card for full, card in known.items()}
    return by_last.get(name.rpartition("/")[2])


def knowledge_of(spec: str, start: date, end: date, *, synthetic: bool) -> JsonObject:
    """What ``run.json`` says of a model's knowledge of a window.

    Args:
        spec: as ``--llm`` takes it.
        start, end: the test window's sessions, both included.
        synthetic: whether the data are invented; no model has read about those.

    Returns:
        ``status`` (see :data:`Knowledge`), ``known_until`` (ISO date or None), ``card`` (or None).
    """
    card = card_of(spec)
    until = None if card is None or not card.knows_the_world else card.known_until
    status: Knowledge
    if synthetic or (card is not None and not card.knows_the_world):
        status = "none"
    elif until is None:
        status = "unknown"
    elif end <= until:
        status = "inside"
    else:
        status = "partly" if start <= until else "after"
    return {
        "status": status,
        "known_until": None if until is None else until.isoformat(),
        "card": None if card is None else card.model_dump(mode="json"),
    }


def knowledge_warning(knowledge: Mapping[str, Json] | None) -> str | None:
    """The stamp on a run whose model may have read what happened; None where it cannot have."""
    status = "none" if knowledge is None else knowledge["status"]
    if knowledge is None or status in ("none", "after"):
        return None
    if status == "unknown":
        return (
            "Nobody says until when this model knows the world: it may remember this window instead of "
            f"judging it. Name its cut-off in {USER_FILE} under VARVE_HOME (backtest llm models)."
        )
    all_of = "all" if status == "inside" else "the beginning"
    return (
        f"Inside the model's knowledge: it may have read about {all_of} of this window "
        f"(known until {knowledge['known_until']}). --after-cutoff leaves such days out."
    )
