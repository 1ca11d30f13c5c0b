"""Cards that ``backtest audit`` and ``backtest rescore`` leave beside a run, tied to it by its run digest."""

from __future__ import annotations

from varve.backtests.record.entry import Entry, Many, Number

AUDIT_FILE, RESCORE_FILE, RESCORE_CHART = "audit.json", "rescore.json", "rescore.png"


class Check(Entry):
    """One line of the audit's card."""

    name: str
    """What was looked at."""
    passed: bool | None
    """Whether it stood; None for what is told without being judged."""
    detail: str
    """What was found, in words."""


class AuditCard(Entry):
    """``audit.json``."""

    run_digest: str
    """The record that was audited."""
    seeds: int = 0
    """Seeds of the noise and planted worlds; 0 where these were left out."""
    checks: Many[Check]
    """Every check in order."""


class StageTold(Entry):
    """One change on the way from a paper's rules to realistic ones."""

    change: str
    """What was changed."""
    total_return: Number
    """Fraction, after the change."""


class ScoredTold(Entry):
    """Decisions under one rule; fractions, None where the rule prints none."""

    total_return: Number
    """Over the window."""
    annual_return: Number | None
    """A year."""
    annual_volatility: Number | None
    """A year."""
    sharpe: Number | None
    """As the rule prints it."""
    max_drawdown: Number
    """0.3 is a loss of 30 %."""
    trades: int
    """How often the position changed."""
    wealth: Many[Number]
    """The curve, 1 at the start, one entry a session."""
    position: Many[int]
    """1 long, 0 flat, −1 short, one entry a decision."""


class ColumnTold(Entry):
    """One rule's view of a run."""

    rule: str
    """Its name."""
    agent: ScoredTold
    """The agent's decisions."""
    buy_and_hold: ScoredTold
    """Buying at the first of them and holding."""
    costs: Number | None = None
    """In currency; None where the rule has none of its own."""


class TableTold(Entry):
    """The table as it is printed."""

    header: Many[str]
    """A label and the rules."""
    rows: Many[Many[str]]
    """A label and a cell for each rule; a heading is alone."""


class RescoreCard(Entry):
    """``rescore.json``."""

    run_id: str
    """The run."""
    run_digest: str | None
    """The record that was scored; None before the run had a digest."""
    agent: str
    """Who decided."""
    ticker: str
    """What was traded."""
    synthetic: bool
    """Whether the data are invented."""
    fill_rule: str
    """When orders fill under the realistic rules."""
    currency: str
    """What costs are in."""
    start: str
    """First session, ISO date."""
    end: str
    """Last session, ISO date."""
    decisions: dict[str, int]
    """How often each action was decided."""
    failures: int
    """Decisions that failed and count as HOLD."""
    columns: Many[ColumnTold]
    """Each rule, the realistic ones last."""
    stages: Many[StageTold]
    """The way from a paper's rules to the realistic ones."""
    sentences: Many[str]
    """What it comes to, in words."""
    table: TableTold
    """The table as it is printed."""
