"""JSON schemas as rules of an llguidance grammar. Light on import."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from varve.types import Json

Part = Any
"""Of a JSON schema: a table, a list or a value."""
_FOR_READING = ("description", "title", "default")
_BOUND = ("enum", "const", "pattern", "format", "minLength")
_LABEL = re.compile(r"[MN]\d+")
_BEGUN = r"^[\p{L}\p{N}][\s\S]*$"


def json_rule(schema: Mapping[str, Json]) -> str:
    """A JSON schema as the right side of a rule, written as tool templates write JSON: ``, `` and ``: ``."""
    style = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    return "%json " + json.dumps({**_plain(schema), "x-guidance": style})


def told(schema: Part) -> Part:
    """The schema with every free text not empty: beginning with a letter or digit of any script."""
    if isinstance(schema, list | tuple):
        return [told(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if schema.get("type") == "string" and not any(key in schema for key in _BOUND):
        return {**schema, "pattern": _BEGUN}
    return {key: told(value) for key, value in schema.items()}


def narrowed(schema: Part, labels: Collection[str]) -> Part:
    """The schema with labels (``M1``, ``N2`` ...), alone and in lists, narrowed to those that were shown."""
    if isinstance(schema, list | tuple):
        return [narrowed(one, labels) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    items = schema.get("items")
    if isinstance(items, Mapping) and _names_labels(items):
        left = [one for one in items["enum"] if one in labels]
        bound = {"items": {**items, "enum": left}} if left else {"items": {"type": "string"}, "maxItems": 0}
        return {**schema, **bound}
    if _names_labels(schema):
        return {**schema, "enum": [one for one in schema["enum"] if one in labels] or schema["enum"]}
    return {key: narrowed(value, labels) for key, value in schema.items()}


def _names_labels(schema: Mapping[str, Part]) -> bool:
    named = schema.get("enum")
    return bool(named) and all(isinstance(one, str) and _LABEL.fullmatch(one) for one in named or ())


def _plain(schema: Part) -> Part:
    """A schema without what is only for reading."""
    if isinstance(schema, Mapping):
        kept = {key: value for key, value in schema.items() if key not in _FOR_READING}
        named = kept.pop("properties", None)
        plain = {key: _plain(value) for key, value in kept.items()}
        if named is not None:
            plain["properties"] = {key: _plain(value) for key, value in named.items()}
        return plain
    if isinstance(schema, list | tuple):
        return [_plain(value) for value in schema]
    return schema
