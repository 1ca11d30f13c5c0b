"""The ``backtest`` command. Heavy packages are imported inside the commands that need them."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from varve.cli.cache import cache_app
from varve.cli.data import data_app
from varve.cli.llm import llm_app
from varve.cli.memory import memory_app
from varve.cli.options import Json, Output, output_of
from varve.cli.run import replay, report, run
from varve.cli.screen import (
    forget_impossible_sizes,
    say,
    say_json,
    show_crash,
    show_failure,
    show_usage_error,
)
from varve.cli.streams import check_output, lasting_output
from varve.cli.studies import ablate, audit, compare, rescore
from varve.cli.sweep import sweep
from varve.cli.trials import trials_app
from varve.config import Described
from varve.errors import UnknownNameError, UsageError, VarveError
from varve.harmless import shortened

app = typer.Typer(
    name="backtest",
    help="Backtest language-model trading agents. A first run: backtest run --agent finmem --ticker TSLA",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (run, replay, report, compare, rescore, ablate, audit, sweep):
    app.command()(command)
for name, group in {
    "data": data_app, "memory": memory_app, "llm": llm_app, "cache": cache_app, "trials": trials_app,
}.items():  # fmt: skip
    app.add_typer(group, name=name)

LISTED = ("agents", "strategies", "sizers", "costs", "llms", "embedders", "sources", "memories",
          "metrics", "panels")  # fmt: skip
WITH_SETTINGS = ("agents", "strategies", "sizers", "costs", "memories")


def main() -> None:
    """Entry point: expected failures end with one message and the exit code of their kind."""
    forget_impossible_sizes()
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    with lasting_output() as out:
        try:
            code = _exit_code(arguments)
            check_output(out)
        except VarveError as error:
            code = show_failure(error, debug=debug)
        except KeyboardInterrupt as error:
            print(f"{error or 'interrupted'}; every finished step is kept", file=sys.stderr)
            code = 130
        except Exception as error:  # noqa: BLE001 (a defect ends in one message, too)
            code = show_crash(error, debug=debug)
    sys.exit(code)


def _exit_code(arguments: list[str]) -> int:
    """Do what is asked; what typer says of the words of a command is shown as every failure is."""
    for argument in arguments:
        if "\0" in argument or not _is_text(argument):
            raise UsageError(
                f"the argument {shortened(argument, 80)!r} is no text: a zero byte, or no UTF-8",
                mend="give it again, in UTF-8",
            )
    try:
        done = app(args=arguments, standalone_mode=False)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        said = getattr(error, "format_message", None)
        if said is None:
            raise
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            if help_text := said():  # with rich it is printed already
                print(help_text)
        else:
            show_usage_error(said(), None if context is None else context.command_path)
        return 2
    return done if isinstance(done, int) else 0


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _print_version(wanted: bool) -> None:
    if wanted:
        import varve

        print(f"varve {varve.__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (anywhere on the line).")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before the command; main() has read ``--debug`` already."""


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help=", ".join((*LISTED, "settings")))],
    of: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="For settings: an agent, strategy, memory, sizer, cost preset."
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """List what is registered, or the settings of one of them: backtest list settings finmem."""
    output = output_of(json_)
    if what == "settings":
        _print_settings(of, output)
    elif what not in LISTED:
        raise UnknownNameError("list", what, (*LISTED, "settings"))
    elif of is not None:
        raise UsageError(f"list {what} takes no name, given {of!r}", mend=f"backtest list settings {of}")
    else:
        _print_registered(what, output)


def _print_registered(group: str, output: Output) -> None:
    from varve import registry

    found = {name: _summary(registry.load(group, name)) for name in registry.names(group)}
    if output is Output.JSON:
        say_json([{"name": name, "summary": summary} for name, summary in found.items()])
        return
    for name, summary in found.items():
        say(f"{name:<16} {summary}")


def _summary(found: object) -> str:
    # A metric is an object that says what it is.
    said = getattr(found, "meaning", "") or found.__doc__ or ""
    return str(said).strip().split("\n")[0]


def _print_settings(name: str | None, output: Output) -> None:
    from rich.table import Table

    from varve.cli.screen import Screen

    settings = _settings_of(name)
    if output is Output.JSON:
        say_json([setting._asdict() for setting in settings])
        return
    if not settings:
        say(f"{name} has no settings")
        return
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for header in ("setting", "default", "can be", "meaning"):
        table.add_column(header, overflow="fold")
    for setting in settings:
        default = "must be given" if setting.needed else _shown(setting.default)
        table.add_row(setting.name, default, setting.allowed, setting.meaning)
    Screen().print(table)


def _shown(default: Any) -> str:
    """A default as it is typed behind ``--set``."""
    if default is None:
        return "none"
    return default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)


def _settings_of(name: str | None) -> list[Described]:
    """The settings of what has that name.

    Raises:
        UsageError: if no name is given.
        UnknownNameError: if nothing with settings has it.
    """
    from varve import registry
    from varve.config import described
    from varve.envs.costs import get_costs

    known = {one: group for group in WITH_SETTINGS for one in registry.names(group)}
    if name is None:
        raise UsageError("settings of what?", mend=f"name one of: {', '.join(sorted(known))}")
    if name not in known:
        raise UnknownNameError("agent, strategy, memory, sizer or cost preset", name, known)
    if known[name] == "costs":
        preset = get_costs(name)
        return described(type(preset), preset, "costs.")
    found = registry.load(known[name], name)
    if known[name] == "sizers":
        return described(found, before="sizer.")
    return described(found.Config, before="memory." if known[name] == "memories" else "")


if __name__ == "__main__":
    main()
