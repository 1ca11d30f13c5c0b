"""Options that commands share, and what they become: the settings of a run, and how results are printed.

An option that sets a field of :class:`~varve.backtests.config.RunConfig` is declared by the field itself:
its type, default and meaning are read from there. :data:`PANELS` says under which heading ``--help`` shows
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic_core import PydanticUndefined

from varve.backtests.config import RunConfig
from varve.bounded import MAX_DEPTH, BeyondBounds, parse_toml
from varve.config import joined, read_toml
from varve.errors import UsageError
from varve.harmless import shortened

PANELS: dict[str, tuple[str, ...]] = {
    "What decides": ("agent", "llm", "decide", "abstain_below", "abstain_as", "tune", "seed"),
    "Market": ("ticker", "data", "world", "world_seed", "news"),
    "Days": ("start", "end", "warmup_start", "horizon_sessions", "after_cutoff"),
    "Trading": ("sizer", "costs", "initial_cash", "fill"),
    "Memory": ("embedder", "memory", "allow_future_memory"),
}
"""Fields of ``RunConfig`` that have an option, by the heading of it."""

RUN_SETTINGS: tuple[str, ...] = tuple(name for names in PANELS.values() for name in names)
OTHER_NAMES = {"initial_cash": "--cash", "horizon_sessions": "--horizon"}
"""Options that are not called like their field."""
METAVARS = {"memory": "FILE|ID"}

_AGENT, _RECORD, _PRINTED = "Settings of the agent, the sizer and the costs", "Record and replies", "Printed"

Profile = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_AGENT,
        help="The agent's character, for example risk_averse (finmem) or neutral (finagent).",
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PART",
        rich_help_panel=_AGENT,
        help="Switch a part of the agent off, for example tools (finagent). May be given again.",
    ),
]
MemoryKind = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_AGENT, help="The agent's kind of memory: layered, flat; see: backtest list memories"
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        rich_help_panel=_AGENT,
        help="A setting, for example top_k=3 or sizer.fraction=0.1; see: backtest list settings NAME",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        rich_help_panel=_AGENT,
        help="A TOML file of a run's settings; options win over it.",
    ),
]
UseCache = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache",
        rich_help_panel=_RECORD,
        help="Take replies from the reply cache, and keep new ones.",
    ),
]
Bundle = Annotated[
    bool,
    typer.Option(
        "--bundle/--no-bundle",
        rich_help_panel=_RECORD,
        help="Keep the facts that were seen in the run folder.",
    ),
]
Resume = Annotated[
    str | None,
    typer.Option(metavar="RUN", rich_help_panel=_RECORD, help="Go on with a run that was stopped."),
]
SendKeyTo = Annotated[
    list[str] | None,
    typer.Option(
        "--send-key-to",
        metavar="BASE_URL",
        rich_help_panel=_RECORD,
        help="A server that may get your key though only a file names it. May be given again.",
    ),
]
Json = Annotated[bool, typer.Option("--json", rich_help_panel=_PRINTED, help="Print JSON and nothing else.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", rich_help_panel=_PRINTED, help="Print the path of the report and nothing else."),
]
RunName = Annotated[str, typer.Argument(help="A run's id, the start of one, its folder, or: latest")]


class Output(StrEnum):
    """What a command prints: tables and sentences, paths alone, or JSON alone."""

    TEXT = "text"
    QUIET = "quiet"
    JSON = "json"


def output_of(json: bool, quiet: bool = False) -> Output:
    """What ``--json`` and ``--quiet`` ask for.

    Raises:
        UsageError: if both are given.
    """
    if json and quiet:
        raise UsageError("--json and --quiet ask for two things", mend="give one of them")
    return Output.JSON if json else Output.QUIET if quiet else Output.TEXT


def takes_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each of these fields of ``RunConfig``.

    The command gets what was typed as ``given``; a field that was not typed is not in it, so that a file's
    values and the defaults stay.
    """

    def give(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**options: Any) -> None:
            typed = {name: options.pop(name) for name in names}
            given = {name: value for name, value in typed.items() if value is not None}
            command(given=given, **options)

        own = [p for name, p in signature(command, eval_str=True).parameters.items() if name != "given"]
        shown = [*map(_option, names), *(p.replace(kind=Parameter.KEYWORD_ONLY) for p in own)]
        # What typer reads a command's options from.
        called.__signature__ = Signature(shown)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
        return called

    return give


def _option(name: str) -> Parameter:
    """The option of a field of ``RunConfig``; None where it is not typed."""
    field = RunConfig.model_fields[name]
    panel = next(panel for panel, names in PANELS.items() if name in names)
    kinds = {bool: bool, int: int, float: float, date: datetime}
    of_field = [field.annotation, *get_args(field.annotation)]
    # Texts and choices are checked by RunConfig, whose messages name the setting.
    kind = next((kinds[one] for one in of_field if one in kinds), str)
    flag = OTHER_NAMES.get(name, f"--{name.replace('_', '-')}")
    if field.default is True:
        flag = f"{flag}/--no-{name.replace('_', '-')}"
    option = typer.Option(
        flag,
        help=field.description,
        rich_help_panel=panel,
        metavar="YYYY-MM-DD" if kind is datetime else METAVARS.get(name),
        formats=["%Y-%m-%d"] if kind is datetime else None,
        show_default=_shown(field.default),
    )
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option])


def _shown(default: object) -> str | bool:
    """How ``--help`` shows a default; False where there is nothing to show."""
    if default is None or default is False or default is PydanticUndefined:
        return False
    if default is True:
        return "yes"
    return f"{default:,.0f}" if isinstance(default, float) else str(default)


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """The settings of a run from :func:`run_values`.

    Raises:
        SettingError: as :class:`RunConfig` has it.
        UsageError: if nobody named a ticker.
    """
    if "ticker" not in values:
        raise UsageError("no ticker given", mend="add one, for example: --ticker TSLA")
    return RunConfig.build(**values)


def run_values(
    file: Path | None,
    given: Mapping[str, Any],
    pairs: list[str] | None,
    short: Mapping[str, object] | None = None,
    *,
    agent: str | None = None,
    servers: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The values of a TOML file, under the options ``given``, under the agent's own settings.

    Args:
        pairs: texts of ``--set``.
        short: settings that have an option of their own, such as ``--profile``; None where not typed.
        agent: whose short options are meant; None for the one that file or options name.
        servers: base URLs that get the user's key also where the file alone names them.

    Raises:
        BadFileError: if the file is no TOML.
        UsageError: for a setting without a name, a short option that the agent has not, or where a key
            would go to a server that the file alone names.
        SettingError: if a setting is given as two things.
    """
    values = {} if file is None else read_toml(file)
    if "llm" in values and "llm" not in given:
        from varve.finllm.served import check_key_may_go

        spec = str(values["llm"])
        again = f"the same command with --llm {spec}"
        check_key_may_go(spec, named_by=str(file), given=servers or (), again=again)
    everything = {"settings": {}, **values, **given}
    named = agent or str(everything.get("agent", RunConfig.model_fields["agent"].default))
    settings = joined(settings_of(pairs or []), short_settings(named, short or {}), replace=False)
    everything = joined(everything, {"settings": settings}, replace=True)
    if everything.get("memory"):
        from varve.backtests.simulate.starting_memory import snapshot_id

        everything["memory"] = snapshot_id(str(everything["memory"]))
    return everything


def short_settings(agent: str, given: Mapping[str, object]) -> dict[str, Any]:
    """Settings that were given by an option of their own, such as ``--profile``.

    Raises:
        UsageError: if the agent declares no such option, naming the agents that do.
    """
    typed = {name: value for name, value in given.items() if value not in (None, [])}
    if not typed:
        return {}
    from varve.backtests.simulate.prepare import find_trader

    declared = find_trader(agent).short_options
    for name in typed:
        if name not in declared:
            having = [one for one in _traders() if name in find_trader(one).short_options]
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"agent {agent!r} has no {flag}; agents that have it: {', '.join(having) or 'none'}",
                mend=f"leave it out; its settings: backtest list settings {agent}",
            )
    return typed


def _traders() -> list[str]:
    from varve import registry

    return [*registry.names("agents"), *registry.names("strategies")]


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` with the value read as TOML where it is TOML, else as text; dots make tables.

    Raises:
        UsageError: for a text without a name or without ``=``, or one setting given as two things.
    """
    settings: dict[str, Any] = {}
    for key, text in pairs_of(pairs, "--set").items():
        if key.count(".") >= MAX_DEPTH or not all(key.split(".")):
            raise UsageError(
                f"--set was given the name {shortened(key, 200)!r}; names, with a dot between them, expected",
                mend="see: backtest list settings NAME",
            )
        value: Any
        try:
            value = parse_toml(f"value = {text}")["value"]
        except BeyondBounds as error:
            raise UsageError(f"--set {key} cannot be read: {error}", mend="give one value") from error
        except ValueError:
            value = text
        for part in reversed(key.split(".")):
            value = {part: value}
        settings = joined(settings, value, replace=False)
    return settings


def pairs_of(texts: list[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` texts of an option as a table.

    Raises:
        UsageError: for a text without a name or without ``=``, and for one name with two values.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise UsageError(f"{option} was given {text!r}; expected NAME=VALUE", mend=f"{option} name=value")
        if pairs.setdefault(key, value) != value:
            raise UsageError(
                f"{option} was given {key!r} twice: as {pairs[key]!r} and as {value!r}", mend="give it once"
            )
    return pairs


def day_of(given: datetime | None) -> date | None:
    """The date of an option that typer reads as an instant."""
    return None if given is None else given.date()
