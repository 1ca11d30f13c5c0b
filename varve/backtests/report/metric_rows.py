"""The rows of the result table, once, for terminal and report."""

from __future__ import annotations

from varve.backtests.results.metrics_file import Figures, RunMetrics

ABSTENTIONS = ("abstentions", "abstentions")
"""Label and key of a row that stands only where a model weighed its actions."""

ROWS: tuple[tuple[str, str, str], ...] = (
    ("total return", "total_return", "percent"),
    ("annual return", "annual_return", "percent"),
    ("annual volatility", "annual_volatility", "percent"),
    ("Sharpe", "sharpe", "ratio"),
    ("  95 % interval", "sharpe_interval", "interval"),
    ("Sortino", "sortino", "ratio"),
    ("Calmar", "calmar", "ratio"),
    ("max drawdown", "max_drawdown", "percent"),
    ("turnover a year", "turnover", "times"),
    ("trades", "trades", "count"),
    ("exposure", "exposure", "percent"),
    ("costs", "costs", "money"),
    ("failures", "failures", "count"),
    (*ABSTENTIONS, "count"),
    ("tokens", "tokens", "count"),
)
"""Label, key and format of each row."""

ABSENT = "–"


def table_rows(metrics: RunMetrics, *, columns: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Header and rows of text from ``metrics.json``: a label, then cells of the first ``columns``."""
    shown = metrics.columns[:columns]
    header = ["", *(column.name for column in shown)]
    weighed = any(column.metrics.abstentions is not None for column in shown)
    rows = [
        [label, *(_cell(column.metrics, key, form) for column in shown)]
        for label, key, form in ROWS
        if weighed or label != ABSTENTIONS[0]
    ]
    return header, rows


def _cell(values: Figures, key: str, form: str) -> str:
    if form == "interval":
        low, high = values.sharpe_low, values.sharpe_high
        return ABSENT if low is None or high is None else f"{low:.2f} to {high:.2f}"
    value = _costs(values) if key == "costs" else getattr(values, key)
    if value is None:
        return ABSENT
    if form == "percent":
        return f"{100 * value:.1f} %"
    if form == "ratio":
        return f"{value:.2f}"
    if form == "times":
        return f"{value:.1f}×"
    return f"{value:,.0f}"


def _costs(values: Figures) -> float | None:
    if values.commissions is None or values.slippage is None:
        return None
    return values.commissions + values.slippage
