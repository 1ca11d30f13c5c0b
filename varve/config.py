"""Frozen settings: unknown keys refused, a hash as identity, one object from TOML, Python or shell."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from varve.bounded import UNREADABLE, check_characters, check_depth, parse_toml, read_text
from varve.errors import BadFileError, SettingError, near_names
from varve.harmless import shortened
from varve.types import Json

Settings = dict[str, Any]
"""A table of settings as TOML, Python or a shell gives it, tables in it too; not yet checked."""


MAX_NUMBER = 1e15
"""The largest number that a setting can be; whole ones have 64 bits."""


class FrozenConfig(BaseModel):
    """Base of every settings object."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )

    @model_validator(mode="after")
    def _within_reason(self) -> Self:
        """No number is so large that computing with it fails."""
        for name, value in self:
            whole = isinstance(value, int) and not -(2**63) <= value < 2**63
            if whole or (isinstance(value, float) and (value != value or MAX_NUMBER < abs(value) < math.inf)):
                raise ValueError(f"{name} cannot be {value:.3g}: a number of at most {MAX_NUMBER:g} expected")
        return self

    @classmethod
    def build(cls, **values: object) -> Self:
        """Validate ``values``.

        Raises:
            SettingError: naming the setting, what was given and what was expected.
        """
        try:
            check_depth(values)
            check_characters(values)
            return cls(**values)
        except ValidationError as error:
            raise _setting_error(cls, error) from error
        # What a validator stumbles over is a value of a kind that it does not know.
        except UNREADABLE as error:
            raise SettingError(f"settings of {cls.__name__} cannot be used: {error}") from error

    @classmethod
    def from_toml(cls, path: Path, **overrides: object) -> Self:
        """Settings from a TOML file; ``overrides`` win over it.

        Raises:
            BadFileError: if the file cannot be read as TOML.
            SettingError: if it holds an unknown key or a value that cannot be used.
        """
        return cls.build(**{**read_toml(path), **overrides})

    def identity(self) -> str:
        """SHA-256 (hex) over the canonical JSON of every setting, defaulted ones too."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()


class Described(NamedTuple):
    """A setting as a user reads of it; ``default`` is JSON, None where one is ``needed``."""

    name: str
    default: Json
    needed: bool
    allowed: str
    meaning: str


def described(cls: type[BaseModel], values: BaseModel | None = None, before: str = "") -> list[Described]:
    """Every setting of a class, those of a settings object inside it under dotted names.

    Args:
        values: what to show as defaults; None takes those of the class.
        before: stands before each name.
    """
    if values is None and not any(field.is_required() for field in cls.model_fields.values()):
        values = cls()
    found: list[Described] = []
    for name, field in cls.model_fields.items():
        needed = values is None and field.is_required()
        default = field.get_default(call_default_factory=True) if values is None else getattr(values, name)
        # A field may hold settings of a class that other settings choose.
        kind = type(default) if isinstance(default, BaseModel) else field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += described(kind, None if needed else default, f"{before}{name}.")
            continue
        default = None if needed else to_jsonable_python(default)
        meaning = " ".join((field.description or "").split())
        found.append(Described(before + name, default, needed, _allowed(field), meaning))
    return found


def _allowed(field: FieldInfo) -> str:
    """What a setting can be, in words: choices, or a kind with its bounds."""
    bounds = [
        f"{sign} {getattr(part, name):g}"
        for part in field.metadata
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if isinstance(getattr(part, name, None), int | float)
    ]
    return ", ".join([_kind(field.annotation), *bounds])


def _kind(annotation: object) -> str:
    words: dict[object, str] = {
        bool: "true or false", int: "whole number", float: "number", str: "text", date: "YYYY-MM-DD",
    }  # fmt: skip
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return _either([str(part) for part in parts])
    if get_origin(annotation) is tuple:
        return f"list of {_kind(parts[0])}"
    if type(None) in parts:
        return _either([*(_kind(part) for part in parts if part is not type(None)), "none"])
    return words.get(annotation, "table" if get_origin(annotation) is dict else "any")


def _either(choices: list[str]) -> str:
    return " or ".join([", ".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else choices[0]


def read_toml(path: Path) -> Settings:
    """The table of a TOML file.

    Raises:
        BadFileError: if it is missing, no TOML, or larger or deeper than a settings file can be.
    """
    try:
        return parse_toml(read_text(path))
    except (OSError, ValueError) as error:
        raise BadFileError(
            f"settings file {path} cannot be read as TOML: {error}", mend="give a UTF-8 TOML file"
        ) from error


def merged(base: Mapping[str, object], over: Mapping[str, object]) -> Settings:
    """Two tables as one; the second wins, table by table."""
    both = dict(base)
    for name, value in over.items():
        there = both.get(name)
        both[name] = (
            merged(there, value) if isinstance(there, Mapping) and isinstance(value, Mapping) else value
        )
    return both


def joined(
    base: Mapping[str, object], over: Mapping[str, object], *, replace: bool, name: str = ""
) -> Settings:
    """Two tables as one, of which nothing is dropped unsaid: a table and a value never replace each other.

    Args:
        replace: whether a value of ``over`` may replace another value; equal values may always meet.
        name: of the tables, for messages.

    Raises:
        SettingError: naming what is given as two things.
    """
    both = dict(base)
    for key, value in over.items():
        place, there = f"{name}.{key}" if name else key, both.get(key, value)
        if isinstance(there, Mapping) and isinstance(value, Mapping):
            value = joined(there, value, replace=replace, name=place)
        elif isinstance(there, Mapping) or isinstance(value, Mapping):
            raise SettingError(
                f"setting {place!r} is given as a table and as a value: {there!r} and {value!r}",
                mend=f"leave out one of them: {place} itself, or what is given below it",
            )
        elif not replace and repr(there) != repr(value):
            raise SettingError(
                f"setting {place!r} is given twice: as {there!r} and as {value!r}", mend="give it once"
            )
        both[key] = value
    return both


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no spaces and no NaN, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def home() -> Path:
    """Return the folder of stored data and runs, links resolved: ``VARVE_HOME``, else ``~/.varve``.

    Raises:
        SettingError: if there is no such path.
    """
    given = os.environ.get("VARVE_HOME")
    try:
        found = (Path(given).expanduser() if given else Path.home() / ".varve").resolve()
        found.is_dir()  # says what can be no path
        return found
    except (OSError, RuntimeError, ValueError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise SettingError(
            f"VARVE_HOME is {shortened(given, 200)!r}, which names no folder: {why}"
            if given
            else f"VARVE_HOME is not set, and there is no home folder: {why}",
            mend="set VARVE_HOME to the folder that is to hold data and runs",
        ) from error


def _setting_error(cls: type[BaseModel], error: ValidationError) -> SettingError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or cls.__name__
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        known = sorted(cls.model_fields)
        close = near_names(key, known)
        hint = f"did you mean {close[0]!r}?" if close else f"known settings: {', '.join(known)}"
        return SettingError(f"unknown setting {name!r} for {cls.__name__}", mend=hint)
    return SettingError(
        f"setting {name!r} cannot be {shortened(repr(first.get('input')), 200)}: {first['msg']}"
    )
