"""The settings of one run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from varve import registry
from varve.config import FrozenConfig
from varve.errors import SettingError

NO_MODEL = "scripted"
"""What the settings of a run name whose agent asks no model."""
TABLES = ("sizer", "costs")
"""Tables of a run's ``settings`` that are not the agent's: those of its sizer and of its cost preset."""


class RunConfig(FrozenConfig):
    """Everything that decides what a run does; equal settings on equal data give an equal run digest.

    Dates are session dates, both ends included. ``settings`` are the agent's own, checked by its ``Config``
    class, and in the tables ``sizer`` and ``costs`` those of the sizer and of the cost preset.
    ``fill="same_close"`` fills at the close that the agent has already read: an ablation, never a result.
    ``memory`` is the id of a snapshot; ``allow_future_memory`` lets it know what happens in the run: an
    ablation, never a result. With ``decide="score"`` an action less likely than ``abstain_below`` percent is
    an abstention, which becomes ``abstain_as``. ``tune`` chooses the settings that are not given.
    ``llm="auto"`` is the model that the agent's class names as its ``default_llm``; what it became is what
    is kept.
    """

    agent: str = "finmem"
    """An agent or strategy; see: backtest list agents"""
    ticker: str
    """What to trade, for example TSLA."""
    start: date | None = None
    """First session; left out: 63 sessions before the end."""
    end: date | None = None
    """Last session; left out: the last of the data."""
    warmup_start: date | None = None
    """First session of the warm-up; left out: 42 sessions before the start."""
    data: Literal["auto", "store", "sample"] = "auto"
    """auto, store or sample; auto takes stored data where it has some."""
    world: str = "default"
    """Sample world: default, strong, noise or planted."""
    world_seed: int = 0
    """Seed of the sample world."""
    news: bool = True
    """Show news and filings."""
    llm: str = "auto"
    """auto, nano, scripted, hf:FOLDER[+ADAPTER], or openai:MODEL@BASE_URL."""
    decide: Literal["generate", "score"] = "generate"
    """generate, or score: weigh the actions (models of this process)."""
    abstain_below: int = Field(default=0, ge=0, le=100)
    """Percent that the likeliest action needs in score mode."""
    abstain_as: Literal["HOLD", "FLAT"] = "HOLD"
    """What an abstention becomes: HOLD or FLAT."""
    embedder: str = "hashing"
    """How texts become vectors; see: backtest list embedders"""
    seed: int = Field(default=0, ge=0)
    """Seed of the agent's own randomness."""
    sizer: str = "all_in"
    """How much is traded; see: backtest list sizers"""
    costs: str = "retail"
    """What trading costs; see: backtest list costs"""
    initial_cash: float = Field(default=100_000.0, gt=0, allow_inf_nan=False)
    """Initial cash in the instrument's currency."""
    fill: Literal["auto", "same_close"] = "auto"
    """auto, or same_close (an ablation that cheats)."""
    horizon_sessions: int = Field(default=5, ge=1)
    """Sessions until an outcome is known."""
    memory: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Begin with this memory; see: backtest memory export"""
    allow_future_memory: bool = False
    """Even if it knows the run's future (an ablation that cheats)."""
    after_cutoff: bool = False
    """Start behind what the model can know; see: backtest llm models"""
    tune: bool = False
    """Choose a strategy's other settings by a search on the warm-up."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The agent's own, and the tables sizer and costs; see: backtest list settings NAME"""

    @model_validator(mode="before")
    @classmethod
    def _named_llm(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("llm", "auto") != "auto":
            return values
        return {**values, "llm": default_llm_of(values.get("agent", cls.model_fields["agent"].default))}

    @field_validator("ticker")
    @classmethod
    def _upper(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("a ticker, for example TSLA")
        return value.strip().upper()

    @field_validator("settings")
    @classmethod
    def _tables(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in TABLES:
            if not isinstance(value.get(name, {}), Mapping):
                raise SettingError(
                    f"setting 'settings.{name}' cannot be {value[name]!r}: a table expected",
                    mend=f"choose the {name} itself with --{name}; set one constant with "
                    f"--set {name}.NAME=VALUE, see: backtest list settings NAME",
                )
        # An empty table says nothing, and a run is known by what its settings say.
        return {name: table for name, table in value.items() if name not in TABLES or table}

    @property
    def agent_settings(self) -> dict[str, Any]:
        """The settings of the agent itself."""
        return {name: value for name, value in self.settings.items() if name not in TABLES}

    @property
    def sizer_settings(self) -> dict[str, Any]:
        """What is set of the sizer; the rest stays as it comes."""
        return dict(self.settings.get("sizer", {}))

    @property
    def cost_settings(self) -> dict[str, Any]:
        """What is set of the cost preset; the rest stays as it comes."""
        return dict(self.settings.get("costs", {}))

    def chosen(self, name: str) -> str:
        """Say what the run has for ``sizer`` or ``costs``: its name, and what was set of it."""
        table = self.settings.get(name, {})
        return " ".join([getattr(self, name), *(f"{key}={value}" for key, value in table.items())])

    @property
    def trading_settings(self) -> dict[str, Any]:
        """The tables of sizer and costs, as far as there are any."""
        return trading_tables(self.settings)


def default_llm_of(agent: object) -> str:
    """The model that an agent is made for; :data:`NO_MODEL` where it asks none, or there is none.

    Raises:
        UsageError: if the package that registered the agent cannot be imported.
        SettingError: if the agent needs a model and names none: what fills the forms of Varve's own agents
            cannot fill those of another.
    """
    for group in ("agents", "strategies"):
        if agent in registry.names(group):
            trader = registry.load(group, str(agent))
            named = getattr(trader, "default_llm", None)
            if named is None and getattr(trader, "needs_model", False):
                raise SettingError(
                    f"{agent} asks a language model and names none of its own",
                    mend="give one with --llm: hf:FOLDER, or openai:MODEL@BASE_URL",
                )
            return str(named or NO_MODEL)
    # That nothing has this name is told where the agent is looked up.
    return NO_MODEL


def trading_tables(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of sizer and costs in the settings of a run, also of a recorded one."""
    return {name: settings[name] for name in TABLES if name in settings}
