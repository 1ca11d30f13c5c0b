"""Run every benchmark and print one table."""

from importlib import import_module

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe

MODULES = ("envs", "decisions", "journal")


def main() -> None:
    console = Console(highlight=False)
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name, justify in (("figure", "left"), ("value", "right"), ("unit", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for module in MODULES:
        for name, value, unit in import_module(f"benchmarks.{module}").run():
            table.add_row(name, f"{value:,.1f}" if value < 100 else f"{value:,.0f}", unit)
    console.print(table)
    console.print(describe(), style="dim")


if __name__ == "__main__":
    main()
