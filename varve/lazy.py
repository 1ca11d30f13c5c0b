"""Names that are imported when they are first used, so that importing a room costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """A module-level ``__getattr__`` for ``package``: each name comes from its home module in it.

    Args:
        package: the package's ``__name__``.
        homes: exported name to the module, within the package, that defines it.
    """

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"{package} has no {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get
