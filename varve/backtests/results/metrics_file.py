"""``metrics.json`` as a record: the figures of a run's agent and of its baselines."""

from __future__ import annotations

from varve.backtests.record.entry import Entry, Many, Number
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.rows import UsageEntry
from varve.errors import BadFileError
from varve.files import read_json

METRICS_FILE = "metrics.json"


class StageFigures(Entry):
    """One stage of an agent's days, over warm-up and trading."""

    done: int
    """How often it came to its end."""
    failed: int
    """How often the day went on without it."""
    skipped: int
    """How often it had nothing to ask."""
    shown_image: int
    """How often its chart was given as an image."""
    shown_table: int
    """How often its chart was given as a table."""
    calls: int
    """How often the model was asked in it."""
    input_tokens: int
    """Tokens of its prompts."""
    output_tokens: int
    """Tokens of its replies."""


class Figures(Entry):
    """Figures of one column; None where there is none. Those of the agent alone have a default."""

    sessions: int
    """Sessions of the window, bar 0 included."""
    total_return: Number | None
    """Fraction, over the window."""
    annual_return: Number | None
    """Fraction a year."""
    annual_volatility: Number | None
    """Fraction a year."""
    sharpe: Number | None
    """Annual Sharpe ratio."""
    sharpe_low: Number | None
    """Lower bound of its 95 % interval."""
    sharpe_high: Number | None
    """Upper bound of its 95 % interval."""
    sortino: Number | None
    """Annual Sortino ratio."""
    calmar: Number | None
    """Annual return ÷ maximum drawdown."""
    max_drawdown: Number | None
    """Fraction, negative."""
    turnover: Number | None
    """Traded notional ÷ mean equity, a year."""
    trades: int
    """Fills."""
    round_trips: int
    """Returns to flat."""
    exposure: Number | None
    """Mean over sessions of |position × close| ÷ equity at the close; a fraction."""
    sessions_in_position: int | None = None
    """Sessions that came with a position; None in files of before this was counted."""
    spells: int | None = None
    """Runs of such sessions, with flat ones between them; None likewise."""
    commissions: Number | None
    """In currency."""
    slippage: Number | None
    """Half-spread and impact, in currency."""
    dividends: Number | None
    """Received, in currency."""
    final_equity: Number | None
    """At the last close, in currency."""
    extra: dict[str, Number | None] | None = None
    """Figures of registered metrics, by name; None where none was registered."""
    failures: int | None = None
    """Decisions that failed."""
    warmup_failures: int | None = None
    """Lessons that failed."""
    decisions: int | None = None
    """Trading steps."""
    abstentions: int | None = None
    """Decisions that a model that weighs its actions left to a setting; None where none weighed."""
    tokens: int | None = None
    """Tokens of all prompts and replies."""
    usage: UsageEntry | None = None
    """The same apart."""
    stages: dict[str, StageFigures] | None = None
    """By name; None for an agent without stages."""
    tools: dict[str, int] | None = None
    """How often each tool that was offered was called; None for an agent without stages."""


class MetricColumn(Entry):
    """The agent, or one of its baselines."""

    name: str
    """Who traded."""
    metrics: Figures
    """Its figures."""
    ledger_matches_vectorbt: bool
    """Whether vectorbt's replay of the fills gives the ledger's profit."""


class LuckEntry(Entry):
    """Between which total returns 95 of 100 random traders of the run's turnover end; fractions."""

    low: Number
    """The lower end."""
    high: Number
    """The upper end."""
    below: int
    """How many of them end below the run."""
    draws: int
    """How many there were."""

    @property
    def sentence(self) -> str:
        """The same in words."""
        return (
            f"95 of {self.draws} random traders that trade as often end between {100 * self.low:.1f} % and "
            f"{100 * self.high:.1f} %; this run ends above {self.below} of {self.draws}."
        )


class RunMetrics(Entry):
    """Everything that ``metrics.json`` holds."""

    ticker: str
    """What was traded."""
    synthetic: bool
    """Whether the data are invented."""
    fill_rule: str
    """When orders filled."""
    currency: str
    """What money is in."""
    start: str
    """First session, ISO date."""
    end: str
    """Last session, ISO date."""
    columns: Many[MetricColumn]
    """The agent first, then its baselines."""
    sentence: str
    """What a window of this length can show."""
    cautions: Many[str] = ()
    """What a reader must know before the figures."""
    luck: LuckEntry | None = None
    """What random traders of the same turnover got; None for a run that never traded."""
    bars_per_year: Number | None = None
    """Sessions of a year, by the time that passed; None in files of before this was measured."""

    @property
    def agent(self) -> Figures:
        """The agent's figures."""
        return self.columns[0].metrics


def read_metrics(folder: RunFolder) -> RunMetrics:
    """Read a run's ``metrics.json``.

    Raises:
        BadFileError: if it is missing or damaged; it names the field.
    """
    path, mend = folder.path / METRICS_FILE, f"backtest report {folder.run_id}"
    try:
        raw = read_json(path, mend=mend)
    except FileNotFoundError as error:
        raise BadFileError(f"there is no file {path}", mend=mend) from error
    return RunMetrics.read(raw, path, mend=mend)
