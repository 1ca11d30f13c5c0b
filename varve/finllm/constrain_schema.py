"""JSON schemas as rules of an llguidance grammar. Light on import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_FOR_READING = ("description", "title", "default")


def json_rule(schema: Mapping[str, Any]) -> str:
    """A JSON schema as the right side of a rule, written as tool templates write JSON: ``, `` and ``: ``."""
    style = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    return "%json " + json.dumps({**_plain(schema), "x-guidance": style})


def _plain(schema: Any) -> Any:
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
