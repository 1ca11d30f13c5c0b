"""``run.json`` as a record: everything that was set, what the run began with, and what became of it.

The fields stand in the order in which they are written.
"""

from __future__ import annotations

from typing import Literal, cast

from pydantic import ConfigDict, Field, model_validator

from varve.backtests.config import RunConfig
from varve.backtests.record.entry import Day, Entry, Instant, Many, Number
from varve.finllm.chat.reply_source import Identity
from varve.types import FillRule, Json, JsonObject

Status = Literal["running", "finished", "stopped"]


class RecordedSettings(RunConfig):
    """The settings of a recorded run.

    A setting that the run's version did not have takes its default. One that this version does not know is
    kept beside the others; :meth:`RunRecord.settings` refuses it.
    """

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _named_llm(cls, values: JsonObject) -> JsonObject:
        # What was recorded is what is said: nothing is chosen again.
        return values

    def as_json(self) -> JsonObject:
        """Return the settings as they were recorded."""
        return self.model_dump(mode="json", exclude_unset=True)


class WindowEntry(Entry):
    """The sessions of a run; dates are ISO dates, both ends included."""

    warmup_start: Day
    """First session of the warm-up; ``start`` where there is none."""
    start: Day
    """First session of the test, bar 0 of the equity curve."""
    end: Day
    """Last session of the test."""
    warmup_sessions: int
    """How many sessions lie between the start of the warm-up and ``start``."""
    sessions: int
    """How many sessions the test has, both ends included."""


class InstrumentEntry(Entry):
    """What was traded."""

    symbol: str
    """Its ticker."""
    calendar: str
    """The calendar of its venue."""
    currency: str
    """What prices and cash are in."""
    lot_size: Number
    """The smallest quantity that can be traded."""


class ModelEntry(Entry):
    """The language model that a run asked."""

    name: str
    """What it is called."""
    fingerprint: str
    """SHA-256 (hex) over kind and settings."""
    settings: JsonObject
    """Everything that identifies it, sampling and seed among them."""
    vision: bool = False
    """Whether it was sent images; False in runs of before there were any."""

    @property
    def identity(self) -> Identity:
        """The model as the language-model rooms know it, as it was recorded."""
        return cast("Identity", self.as_json())


class KnowledgeEntry(Entry):
    """How much of the window the model may have read about."""

    status: Literal["none", "unknown", "inside", "partly", "after"]
    """``inside`` all of it, ``partly`` its beginning, ``after`` nothing, ``none`` nothing ever."""
    known_until: Day | None = None
    """Until when it knows the world, ISO date; None where nobody says or it knows no world."""
    card: JsonObject | None = None
    """Its model card; None without one."""


class MemoryEntry(Entry):
    """The snapshot of a memory that a run began with."""

    snapshot: str
    """Its id, SHA-256 (hex)."""
    memories: dict[str, int]
    """How many it holds, by the memory's name."""
    last_available_at: Instant
    """The last instant of which it knows, ISO, UTC."""
    from_the_future: bool
    """Whether it knows of instants at which the run already used it."""
    synthetic: bool
    """Whether it was made on synthetic data."""
    embedder: str
    """What made its vectors."""
    source: JsonObject
    """Where it comes from: run, ticker, data."""


class TriedSettings(Entry):
    """One trial of a search."""

    params: JsonObject
    """What was set apart from the base."""
    score: Number | None
    """Annual Sharpe ratio on the warm-up; None where there is none."""


class TuningEntry(Entry):
    """A search for a rule's settings on the warm-up; dates are ISO dates, both included."""

    start: Day
    """First session of the search."""
    end: Day
    """Last session of the search."""
    base: JsonObject
    """The settings that the search began with."""
    best: JsonObject
    """The settings that it chose."""
    trials: Many[TriedSettings]
    """Everything that it tried, in order."""
    bars_per_year: Number | None = None
    """Sessions of a year, by which scores are annual; None in records that took their calendar's."""


class SoftwareEntry(Entry):
    """The software that a run was made with."""

    versions: dict[str, str]
    """Versions of Varve, Python and what results hang on."""
    commit: str | None = None
    """Varve's commit; None outside a checkout."""
    dirty: bool | None = None
    """Whether the checkout held changes; None outside one."""


class TrialEntry(Entry):
    """Where a run stands among all that were tried."""

    registry: str
    """The id of the trial registry that it was entered in."""


class RepliesEntry(Entry):
    """Where the model's replies came from."""

    calls: int
    """How many were asked for."""
    cached: int
    """How many of them came from the reply cache."""
    cached_input_tokens: int
    """Tokens that the prompts of those once cost."""
    cached_output_tokens: int
    """Tokens that those replies once cost."""


class TrialsFound(Entry):
    """A run beside all others that were tried; None where a figure does not exist."""

    ticker: str
    """What was tried on."""
    settings: int
    """How many distinct settings were tried, another seed being another setting."""
    trials: int
    """How many trials there were."""
    complete: bool
    """False where there were perhaps more."""
    known_sharpes: int
    """Of how many the Sharpe ratio is known."""
    luck_sharpe_per_session: Number | None
    """The Sharpe ratio per session that the best of them has by luck."""
    probabilistic_sharpe: Number | None
    """The probability that the true Sharpe ratio is above 0."""
    deflated_sharpe: Number | None
    """The probability that it is above that luck."""
    minimum_track_record_sessions: Number | None
    """From how many sessions on such a record is above 0 at 95 %."""
    withheld: str | None = None
    """Why nothing can be said of its Sharpe ratio; None where something can."""


class TrialsProblem(Entry):
    """Why a run cannot be set beside the others that were tried."""

    problem: str
    """What is wrong with the trial registry."""


class RunRecord(Entry):
    """Everything that ``run.json`` holds.

    Fields with a default were not written by every version; the default is what their absence means.
    """

    schema_version: int = 1
    """The form of this file."""
    digest_version: int = 1
    """What the run digest hashes; see :mod:`varve.backtests.record.digest`."""
    rules: int = 1
    """The rules by which it trades and remembers; see :data:`varve.types.RULES`."""
    run_id: str
    """What the run is called."""
    status: Status
    """``running``, ``finished`` with all its results, or ``stopped``."""
    reason: str | None = None
    """Why it was stopped."""
    started_at: Instant
    """When it began, ISO, UTC."""
    finished_at: Instant | None = None
    """When it was finished or stopped, ISO, UTC."""
    data_label: str
    """What the data are, in words."""
    synthetic: bool
    """Whether the data are invented."""
    config: RecordedSettings
    """Every setting of the run, passed or defaulted."""
    config_hash: str = ""
    """SHA-256 (hex) over the settings; empty where nobody says."""
    agent_settings: JsonObject
    """The agent's own settings as it took them, defaults among them."""
    tuning: TuningEntry | None = None
    """The search that chose them; None without one."""
    costs: JsonObject = Field(default_factory=dict)
    """The cost model, by name of its parts."""
    fill_rule: FillRule
    """When orders filled."""
    instrument: InstrumentEntry
    """What was traded."""
    provenance: JsonObject = Field(default_factory=dict)
    """Where the data came from."""
    data_hash: str
    """SHA-256 (hex) over the data that the run could see."""
    bundle: bool = True
    """Whether these data are kept in the folder."""
    window: WindowEntry
    """The sessions of the run."""
    model: ModelEntry | None = None
    """The language model; None for an agent that asks none."""
    knowledge: KnowledgeEntry | None = None
    """What that model may have read; None without one, and in runs of before this was told."""
    memory: MemoryEntry | None = None
    """The memory that the run began with; None where it began with an empty one."""
    seed: int = 0
    """The run's seed."""
    software: SoftwareEntry = SoftwareEntry(versions={})
    """What it was made with; no versions where nobody says."""
    trial: TrialEntry | None = None
    """The registry that it was entered in; None in runs of before there was one."""
    resumed_at: Many[str] = ()
    """When it was resumed, ISO, UTC, in order."""
    damaged_replies: Many[str] = ()
    """Keys of replies in the cache that were damaged; the model was asked again."""
    unverified: str | None = None
    """Why its run digest can no longer be checked; None where it can."""
    run_digest: str | None = None
    """The run digest, SHA-256 (hex); None before the first results."""
    replies: RepliesEntry | None = None
    """Where replies came from; None before the first results."""
    trials: TrialsFound | TrialsProblem | None = None
    """The run beside all that were tried; None where nothing is known."""

    def settings(self) -> RunConfig:
        """Return the settings, to run by them.

        Raises:
            SettingError: if one is not known to this version.
        """
        return RunConfig.build(**self.config.as_json())

    def changed(self, **changes: Json) -> RunRecord:
        """Return the record with some entries changed, checked again."""
        return RunRecord.model_validate({**self.as_json(), **changes})
