"""The rows of the result table, once, for terminal and report."""

from __future__ import annotations

from varve.backtests.results.metric import Shown, absent, in_words, registered_metrics, why_absent
from varve.backtests.results.metrics_file import Figures, RunMetrics

ABSTENTIONS = "abstentions"
"""A row that stands only where a model weighed its actions."""
STAGES = "failed_stages"
"""A row that stands only for agents whose days have stages."""

OWN: dict[str, Shown] = {
    "total_return": Shown(
        label="total return", unit="percent", better="higher", meaning="Gain over the window, after costs."
    ),
    "annual_return": Shown(
        label="annual return", unit="percent", better="higher", meaning="The same, compounded to a year."
    ),
    "annual_volatility": Shown(
        label="annual volatility",
        unit="percent",
        better="lower",
        meaning="Standard deviation of session returns, by the root of the sessions of a year.",
    ),
    "sharpe": Shown(
        label="Sharpe", unit="ratio", better="higher", meaning="Mean ÷ deviation of session returns, a year."
    ),
    "sharpe_interval": Shown(
        label="  95 % interval", unit="interval", better="neither", meaning="What luck alone leaves open."
    ),
    "sortino": Shown(
        label="Sortino", unit="ratio", better="higher", meaning="As Sharpe, with losses alone as risk."
    ),
    "calmar": Shown(
        label="Calmar", unit="ratio", better="higher", meaning="Annual return ÷ maximum drawdown."
    ),
    "max_drawdown": Shown(
        label="max drawdown", unit="percent", better="higher", meaning="Deepest fall from a high; negative."
    ),
    "turnover": Shown(
        label="turnover a year",
        unit="times",
        better="lower",
        meaning="Traded notional ÷ mean equity, a year.",
    ),
    "trades": Shown(label="trades", unit="count", better="neither", meaning="Fills."),
    "exposure": Shown(
        label="exposure", unit="percent", better="neither", meaning="Mean of |position| ÷ equity, in value."
    ),
    "sessions_in_position": Shown(
        label="sessions in position",
        unit="count",
        better="neither",
        meaning="Sessions that came with a position; the others tell nothing of a Sharpe ratio.",
    ),
    "spells": Shown(label="  in spells", unit="count", better="neither", meaning="Runs of such sessions."),
    "costs": Shown(
        label="costs", unit="money", better="lower", meaning="Commission, half-spread and impact."
    ),
    "failures": Shown(label="failures", unit="count", better="lower", meaning="Decisions that failed."),
    STAGES: Shown(
        label="failed stages",
        unit="count",
        better="lower",
        meaning="Stages of days that went on without them.",
    ),
    ABSTENTIONS: Shown(
        label="abstentions", unit="count", better="neither", meaning="Decisions left to a setting."
    ),
    "tokens": Shown(label="tokens", unit="count", better="lower", meaning="Tokens of prompts and replies."),
}
"""Varve's own figures in the order of the table, by their name in ``metrics.json``."""

WHOLE_YEAR = 0.95
_BY_THE_YEAR = ("annual_return", "calmar")
"""What a window shorter than a year does not show: a few weeks compounded to a year are nobody's return (the
Global Investment Performance Standards forbid it). ``metrics.json`` has the figures all the same."""

ABSENT = in_words(None, "ratio")


def table_rows(metrics: RunMetrics, *, columns: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Header and rows of text from ``metrics.json``: a label, then cells of the first ``columns``."""
    shown = metrics.columns[:columns]
    header = ["", *(column.name for column in shown)]
    without = {
        ABSTENTIONS: all(column.metrics.abstentions is None for column in shown),
        STAGES: all(column.metrics.stages is None for column in shown),
    }
    years = _years(metrics)
    rows = [
        [how.label, *(_cell(column.metrics, name, how, years) for column in shown)]
        for name, how in OWN.items()
        if not without.get(name)
    ]
    extra = dict.fromkeys(name for column in shown for name in column.metrics.extra or {})
    known = registered_metrics()
    for name in extra:
        # The package of a metric may be gone; its figure stays in the record.
        how = known.get(name) or Shown(label=name, unit="ratio", better="neither", meaning="")
        values = [(column.metrics.extra or {}).get(name) for column in shown]
        rows.append([how.label, *(in_words(value, how.unit, "no value here") for value in values)])
    return header, rows


def _years(metrics: RunMetrics) -> float:
    """How long the run was, by the time that passed; 1 where an old file does not say."""
    if not metrics.bars_per_year:
        return WHOLE_YEAR
    return (metrics.agent.sessions - 1) / metrics.bars_per_year


def _cell(values: Figures, name: str, how: Shown, years: float) -> str:
    if name in _BY_THE_YEAR and years < WHOLE_YEAR and getattr(values, name) is not None:
        return absent(f"{years:.1f} years, 1 needed")
    if how.unit == "interval":
        low, high = values.sharpe_low, values.sharpe_high
        if low is None or high is None:
            return absent(why_absent(name, values))
        return f"{low:.2f} to {high:.2f}"
    if name == STAGES:
        return _failed_stages(values) or absent(why_absent(name, values))
    value = _costs(values) if name == "costs" else getattr(values, name)
    return in_words(value, how.unit, why_absent(name, values))


def _failed_stages(values: Figures) -> str:
    if values.stages is None:
        return ""
    failed, asked = (
        sum(stage.failed for stage in values.stages.values()),
        sum(stage.failed + stage.done for stage in values.stages.values()),
    )
    return f"{failed} of {asked}"


def _costs(values: Figures) -> float | None:
    if values.commissions is None or values.slippage is None:
        return None
    return values.commissions + values.slippage
