"""``backtest compare``: the runs, the table, and what it cannot show, in the terminal or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from varve.backtests.studies.compare.comparison import Comparison


def run_compare(names: Sequence[str], *, as_json: bool) -> None:
    """Compare the runs of those names and print what comes out."""
    from varve.backtests.record.folder import find_run
    from varve.backtests.studies.compare.comparison import compare
    from varve.backtests.studies.compare.entrants import read_entrant

    folders = [find_run(name) for name in names]
    found = compare([read_entrant(folder) for folder in folders])
    if as_json:
        from varve.backtests.studies.compare.sentences import conclusions

        print(json.dumps(found.json(conclusions(found)), indent=2, allow_nan=False))
    else:
        print_comparison(found)


def print_comparison(found: Comparison) -> None:
    """Print a comparison no wider than the terminal."""
    from rich.console import Console
    from rich.table import Table

    from varve.backtests.studies.compare.sentences import conclusions
    from varve.backtests.studies.compare.table import blocks

    console = Console(highlight=False)
    if found.synthetic:
        console.print("SYNTHETIC: no real prices or news", style="bold yellow")
    console.print(f"{found.sessions[0]} to {found.sessions[-1]}, {len(found.sessions)} sessions, bar 0 flat")
    for run in found.runs:
        console.print(f"{run.key}  {run.name}", markup=False)
        console.print(f"   {run.run_id}", style="dim", soft_wrap=True)
        if run.note:
            console.print(f"   {run.note}", style="bold red", markup=False)
    for header, rows in blocks(found, console.width):
        table = Table(show_edge=False, pad_edge=False, header_style="bold")
        table.add_column(header[0], no_wrap=True)
        for name in header[1:]:
            table.add_column(name, justify="right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)
    console.print()
    for sentence in conclusions(found):
        console.print(f"• {sentence}", markup=False)
