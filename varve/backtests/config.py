"""The settings of one run, and the window of sessions that they mean on given data."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from varve.config import FrozenConfig

NANO_READS = ("finmem", "finagent")
"""Agents whose pages nano has learned to read; others fall to the scripted stand-in."""


class RunConfig(FrozenConfig):
    """Everything that decides what a run does; equal settings on equal data give an equal run digest.

    Dates are session dates, both ends included. ``initial_cash`` is in the instrument's currency.
    ``settings`` are the agent's own, checked by its ``Config`` class. ``fill="same_close"`` fills at
    the close that the agent has already read: an ablation, never a result. ``memory`` is the id of the
    snapshot that the agent's memory begins with; ``allow_future_memory`` lets it know what happens in
    the run: an ablation, never a result. ``after_cutoff`` moves the start behind what the model can know.
    ``decide="score"`` weighs the actions instead of writing one (models of this process alone); an action
    less likely than ``abstain_below`` percent is an abstention, which becomes ``abstain_as``.
    ``tune`` chooses the settings that are not given by a seeded search on the warm-up. ``llm="auto"`` is
    the model that comes with the package where it has learned to read the agent's pages, else the scripted
    stand-in; what it became is what is kept.
    """

    agent: str = "finmem"
    ticker: str
    start: date | None = None
    end: date | None = None
    warmup_start: date | None = None
    data: Literal["auto", "store", "sample"] = "auto"
    world: str = "default"
    world_seed: int = 0
    news: bool = True
    llm: str = "auto"
    decide: Literal["generate", "score"] = "generate"
    abstain_below: int = Field(default=0, ge=0, le=100)
    abstain_as: Literal["HOLD", "FLAT"] = "HOLD"
    embedder: str = "hashing"
    seed: int = Field(default=0, ge=0)
    sizer: str = "all_in"
    costs: str = "retail"
    initial_cash: float = Field(default=100_000.0, gt=0, allow_inf_nan=False)
    fill: Literal["auto", "same_close"] = "auto"
    horizon_sessions: int = Field(default=5, ge=1)
    memory: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    allow_future_memory: bool = False
    after_cutoff: bool = False
    tune: bool = False
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _named_llm(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("llm", "auto") != "auto":
            return values
        return {**values, "llm": "nano" if values.get("agent", "finmem") in NANO_READS else "scripted"}

    @field_validator("ticker")
    @classmethod
    def _upper(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("a ticker, for example TSLA")
        return value.strip().upper()
