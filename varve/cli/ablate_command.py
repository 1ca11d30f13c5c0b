"""``backtest ablate``: every variant of an agent's memory beside the full one, in the terminal."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from varve.backtests.config import RunConfig
from varve.backtests.studies.ablation import Ablation, Compared, ablate, verdict
from varve.backtests.studies.rescore.sentences import signed


def run_ablation(config: RunConfig, *, seeds: int, as_json: bool) -> None:
    """Run all variants and print what each is worth.

    Raises:
        VarveError: as :func:`~varve.backtests.studies.ablation.ablate`.
    """
    errors = Console(stderr=True, highlight=False)
    with errors.status("") as status:
        found = ablate(
            config,
            seeds=seeds,
            on_run=lambda variant, done, total: status.update(f"run {done + 1} of {total}: {variant}"),
        )
    if as_json:
        print(json.dumps(ablation_json(found), indent=2, allow_nan=False))
        return
    console = Console(highlight=False)
    console.print(found.label, style="bold yellow" if found.synthetic else "bold")
    console.print(
        f"{found.agent} on {found.ticker}: full memory less each variant, {found.seeds} seeds, "
        f"{found.sessions} sessions each; in brackets 95 % intervals, p after Holm"
    )
    console.print(_table(found))
    console.print(verdict(found), style="italic")


def ablation_json(found: Ablation) -> dict[str, Any]:
    """Everything as JSON values; NaN becomes null."""
    values = {**asdict(found), "verdict": verdict(found)}
    for row, compared in zip(values["compared"], found.compared, strict=True):
        row["sharpe"] = _finite(compared.sharpe._asdict())
        row["daily"] = _finite(compared.daily._asdict())
        row["stands_out"] = compared.stands_out
    return values


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if value == value else None for name, value in values.items()}


def _table(found: Ablation) -> Table:
    shown = Table(show_edge=False, pad_edge=False, header_style="bold")
    shown.add_column("", no_wrap=True)
    for name in ("Sharpe", "p", "bps a session", "p", "same"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in found.compared:
        shown.add_row(*_cells(row, found.seeds), style="bold" if row.stands_out else None)
    return shown


def _cells(row: Compared, seeds: int) -> list[str]:
    same = f"{row.equal}/{seeds}"
    if row.equal == seeds:
        return [row.variant, "0", "–", "0", "–", same]
    return [
        row.variant,
        _interval(row.sharpe.value, row.sharpe.low, row.sharpe.high, ".2f"),
        f"{row.sharpe_p:.2f}",
        _interval(row.daily.value, row.daily.low, row.daily.high, ".1f"),
        f"{row.daily_p:.2f}",
        same,
    ]


def _interval(value: float, low: float, high: float, form: str) -> str:
    if value != value:
        return "–"
    return f"{signed(value, form)} [{signed(low, '.1f')}, {signed(high, '.1f')}]"
