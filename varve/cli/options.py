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
    """Values of a TOML file under the options ``given``, and the agent's own ``settings`` over the file's.

    Raises:
        SettingError: if one of the settings is a table in one of them and a value in the other.
    """
    from varve.config import joined, read_toml

    values = {} if file is None else read_toml(file)
    merged = {"settings": {}, **values, **given}
    merged = joined(merged, {"settings": settings}, replace=True)
    if merged.get("memory"):
        from varve.backtests.simulate.starting_memory import snapshot_id

        merged["memory"] = snapshot_id(str(merged["memory"]))
    return merged


def settings_of(pairs: list[str], **options: Any) -> dict[str, Any]:
    """``key=value`` with the value read as TOML where it is TOML, else as text; dots make tables.

    Args:
        options: settings that have an option of their own; those that are None or empty are not given.

    Raises:
        UsageError: if one setting is given as two things.
    """
    import tomllib

    from varve.config import joined

    settings: dict[str, Any] = {}
    for key, text in pairs_of(pairs, "--set").items():
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        for part in reversed(key.split(".")):
            value = {part: value}
        settings = joined(settings, value, replace=False)
    return joined(settings, {name: one for name, one in options.items() if one}, replace=False)


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
