"""Options of the command line as the settings of a run. Light on import, as the whole command line is."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varve.errors import UsageError

if TYPE_CHECKING:
    from varve.backtests.config import RunConfig


def run_config(file: Path | None, given: dict[str, Any], settings: dict[str, Any]) -> RunConfig:
    """The settings of a run; see :func:`merged_values`.

    Raises:
        SettingError, BadFileError: as :class:`RunConfig` and the file have it.
        UsageError: if nobody named a ticker.
    """
    from varve.backtests.config import RunConfig

    merged = merged_values(file, given, settings)
    if "ticker" not in merged:
        raise UsageError("no ticker given", mend="add one, for example: --ticker TSLA")
    return RunConfig.build(**merged)


def merged_values(file: Path | None, given: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Values of a TOML file under the options ``given``, and the agent's own ``settings`` over the file's."""
    from varve.config import read_toml

    values = {} if file is None else read_toml(file)
    merged = {**values, **given, "settings": {**values.get("settings", {}), **settings}}
    if merged.get("memory"):
        from varve.backtests.simulate.starting_memory import snapshot_id

        merged["memory"] = snapshot_id(str(merged["memory"]))
    return merged


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` with the value read as TOML where it is TOML, else as text; dots make tables."""
    import tomllib

    settings: dict[str, Any] = {}
    for key, text in pairs_of(pairs, "--set").items():
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table = settings
        *parents, last = key.split(".")
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return settings


def pairs_of(texts: list[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` texts of an option as a table.

    Raises:
        UsageError: for a text without a name or without ``=``.
    """
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} was given {text!r}; expected NAME=VALUE", mend=f"{option} name=value")
        pairs[key.strip()] = value.strip()
    return pairs


def day_of(given: datetime | None) -> date | None:
    """The date of an option that typer reads as an instant."""
    return None if given is None else given.date()
