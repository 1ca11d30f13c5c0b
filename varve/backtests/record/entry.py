"""What every record on disk is read into: a frozen model, checked once, that gives back what it read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from varve.clock import parse_iso
from varve.errors import BadFileError
from varve.types import Json, JsonObject

Number = int | float
"""A number as it was written: 1 stays 1, and 1.0 stays 1.0."""


def _day(text: str) -> str:
    if len(text) != 10:
        raise ValueError("an ISO date expected, YYYY-MM-DD")
    date.fromisoformat(text)
    return text


def _instant(text: str) -> str:
    parse_iso(text)
    return text


Day = Annotated[str, AfterValidator(_day)]
"""An ISO date, as it was written."""
Instant = Annotated[str, AfterValidator(_instant)]
"""An ISO instant, UTC, as it was written."""

Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], Field(strict=False)]
"""A JSON list of one kind of item."""


class Entry(BaseModel):
    """Base of every record on disk.

    Keys that this version does not know are kept, so that a record of a newer minor version is read. A
    value of another type is refused, not converted.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, use_attribute_docstrings=True)

    def as_json(self) -> JsonObject:
        """Return what was read or given, as JSON values; a default that was not written stays out."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)

    @classmethod
    def read(cls, raw: Json | Mapping[str, Json], where: str | Path, *, mend: str) -> Self:
        """Check one record.

        Args:
            raw: its JSON value.
            where: the file, and the place in it.
            mend: the command or change that mends a damaged one.

        Raises:
            BadFileError: naming file and field of the first thing that is wrong.
        """
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise BadFileError(f"{where} is damaged: {first_fault(error)}", mend=mend) from error


def first_fault(error: ValidationError) -> str:
    """Say in one line which field is wrong, and how."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the whole"
    if first["type"] == "missing":
        return f"{field} is missing"
    return f"{field} cannot be {_shown(first.get('input'))}: {first['msg']}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
