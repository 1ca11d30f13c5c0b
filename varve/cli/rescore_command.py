"""``backtest rescore``: the table in the terminal, figures, chart and page in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from varve.backtests.derive import derive
from varve.backtests.record.folder import find_run
from varve.backtests.studies.rescore.page import PAGE_FILE, write_rescored
from varve.backtests.studies.rescore.rescore import RULES, Rescored, rescore
from varve.backtests.studies.rescore.sentences import rescore_card, sentences, table


def run_rescore(run: str, rules: Sequence[str], *, as_json_: bool) -> None:
    """Score a run's decisions again, keep the page with the run and print the table.

    Raises:
        VarveError: for an unknown run or rule, or a run folder that is not whole.
    """
    folder = find_run(run)
    rescored = rescore(folder, rules or RULES)
    write_rescored(folder, rescored)
    if rescored.run_digest:
        # The run's report shows what lies beside it.
        derive(folder)
    if as_json_:
        print(json.dumps(rescore_card(rescored).as_json(), indent=2))
        return
    console = Console(highlight=False)
    console.print(rescored.label, style="bold yellow" if rescored.synthetic else "bold")
    console.print(_rich(rescored))
    for sentence in sentences(rescored):
        console.print(sentence, style="italic")
    console.print(f"page: {folder.path / PAGE_FILE}", soft_wrap=True)


def _rich(rescored: Rescored) -> Table:
    header, rows = table(rescored)
    shown = Table(show_edge=False, pad_edge=False, header_style="bold")
    shown.add_column(header[0], no_wrap=True)
    for name in header[1:]:
        shown.add_column(name, justify="right", overflow="fold")
    for i, row in enumerate(rows):
        if row.cells:
            shown.add_row(f"  {row.label}", *row.cells)
        else:
            if i:
                shown.add_section()
            shown.add_row(row.label, style="bold")
    return shown
