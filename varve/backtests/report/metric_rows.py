"""The rows of the result table, once, for terminal and report."""

from __future__ import annotations

from typing import Any

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


def table_rows(metrics: dict[str, Any], *, columns: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Header and rows of text from ``metrics.json``: a label, then cells of the first ``columns``."""
    shown = metrics["columns"][:columns]
    header = ["", *(column["name"] for column in shown)]
    weighed = any(ABSTENTIONS[1] in column["metrics"] for column in shown)
    rows = [
        [label, *(_cell(column["metrics"], key, form) for column in shown)]
        for label, key, form in ROWS
        if weighed or label != ABSTENTIONS[0]
    ]
    return header, rows


def _cell(values: dict[str, Any], key: str, form: str) -> str:
    if form == "interval":
        low, high = values.get("sharpe_low"), values.get("sharpe_high")
        return ABSENT if low is None or high is None else f"{low:.2f} to {high:.2f}"
    if key == "costs":
        value: Any = values["commissions"] + values["slippage"]
    else:
        value = values.get(key)
    if value is None:
        return ABSENT
    if form == "percent":
        return f"{100 * value:.1f} %"
    if form == "ratio":
        return f"{value:.2f}"
    if form == "times":
        return f"{value:.1f}×"
    return f"{value:,.0f}"
