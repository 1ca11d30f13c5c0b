"""What ``backtest audit`` prints: a card, a line a check, and how the run did in all."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape

from varve.backtests.derive import derive
from varve.backtests.integrity.audit import audit_run
from varve.backtests.record.cards import Check
from varve.backtests.record.folder import find_run
from varve.errors import IntegrityError

_MARKS = {True: "[bold green]pass[/]", False: "[bold red]FAIL[/]", None: "[dim]  – [/]"}


def run_audit(run: str, *, seeds: int, as_json: bool) -> None:
    """Audit a run, print the card, and build the report anew with it.

    Raises:
        IntegrityError: if a check failed; the card is printed and kept before.
    """
    folder = find_run(run)
    console = Console(highlight=False)

    def show(check: Check) -> None:
        if not as_json:
            console.print(f"{_MARKS[check.passed]}  [bold]{check.name}[/]: {escape(check.detail)}")

    checks = audit_run(folder, seeds=seeds, on_check=show)
    derive(folder)
    if as_json:
        print(json.dumps([check.as_json() for check in checks], indent=2))
    else:
        console.print(f"report: {folder.report}", soft_wrap=True)
    failed = [check.name for check in checks if check.passed is False]
    if failed:
        raise IntegrityError(
            f"run {folder.run_id} failed {len(failed)} of its checks: {', '.join(failed)}",
            mend="do not believe its result before the cause is found",
        )
