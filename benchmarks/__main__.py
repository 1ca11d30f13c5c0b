"""Run every benchmark, or those named, and print one table: ``python -m benchmarks [memory …]``."""

import sys
from importlib import import_module

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe

MODULES = ("envs", "memory", "decisions", "journal")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def main() -> None:
    """Print the table."""
    console = Console(highlight=False)
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name, justify in (("figure", "left"), ("value", "right"), ("unit", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for module in sys.argv[1:] or MODULES:
        for name, value, unit in import_module(f"benchmarks.{module}").run():
            table.add_row(name, _shown(value), unit)
    console.print(table)
    console.print(describe(), style="dim")


if __name__ == "__main__":
    main()
