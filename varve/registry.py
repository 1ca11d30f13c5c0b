"""Names to things: agents, strategies, sizers, costs, sources, models and embedders, by entry point.

Another package adds one by declaring an entry point in one of these groups; Varve's own are
declared the same way in its ``pyproject.toml``.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from varve.errors import UnknownNameError, UsageError

GROUPS = ("agents", "strategies", "sizers", "costs", "sources", "llms", "embedders", "memories",
          "metrics", "panels")  # fmt: skip
_ONE_OF = {"strategies": "strategy", "costs": "cost preset", "memories": "memory"}
"""What one thing of a group is called, where that is not the group's name without its s."""


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    if group not in GROUPS:
        raise UnknownNameError("registry group", group, GROUPS)
    return {point.name: point for point in entry_points(group=f"varve.{group}")}


def names(group: str) -> list[str]:
    """The registered names of a group, sorted; loads nothing."""
    return sorted(_found(group))


def load(group: str, name: str) -> Any:
    """The object registered under ``name``.

    Raises:
        UnknownNameError: if nothing is registered under it; near names are suggested.
        UsageError: if the package that registered it cannot be imported.
    """
    found = _found(group)
    if name not in found:
        raise UnknownNameError(_ONE_OF.get(group, group.removesuffix("s")), name, found)
    try:
        return found[name].load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"{group} {name!r} is registered as {found[name].value!r} but cannot be imported: {error}",
            mend="install the package that provides it again",
        ) from error
