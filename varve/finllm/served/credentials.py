"""Where the user's key may go: to a server that the user named, never to one that a file names.

A run folder, a settings file or a sweep may come from someone else. A server that one of them names gets a
key only where the user gave its address on this command line, or in this home's ``config.toml``::

    trusted_servers = ["https://api.example.com/v1"]
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from pydantic import Field

from varve.config import FrozenConfig, home, read_toml
from varve.errors import SettingError, UsageError
from varve.harmless import KEY_VARIABLE, key_in_environment

HOME_FILE = "config.toml"
SEND_KEY_TO = "--send-key-to"
"""The option that names a server which may get the key."""

_BESIDE_THE_KEY = ("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID")
# A model's name may hold an @; what follows the last @http is the address.
SERVED = re.compile(r"(?P<model>\S+)@(?P<url>https?://\S+)", re.IGNORECASE)


class HomeSettings(FrozenConfig):
    """What this home's ``config.toml`` says."""

    trusted_servers: tuple[str, ...] = Field(default=())
    """Base URLs of model servers that get the key also where only a file names them."""


def home_settings() -> HomeSettings:
    """The settings of this home; the defaults where it has none.

    Raises:
        BadFileError: if ``config.toml`` is no TOML.
        SettingError: if it holds an unknown key or a value that cannot be used.
    """
    path = home() / HOME_FILE
    if not path.is_file():
        return HomeSettings()
    try:
        found = HomeSettings.build(**read_toml(path))
        for url in found.trusted_servers:
            server(url)
    except UsageError as error:
        raise SettingError(f"in {path}: {error.message}", mend=error.mend) from error
    return found


def server(url: str) -> tuple[str, str, int, str]:
    """A base URL as what is compared: scheme, host, port and path.

    Raises:
        UsageError: if it is no plain http(s) address; an address that may hold a secret is not repeated.
    """
    held = False
    try:
        parts = urlsplit(url.strip())
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        plain = (
            url.isascii()
            and url.isprintable()
            and not set(url.strip()) & {"\\", " "}
            and bool(parts.hostname)
        )
        user = parts.username is not None or parts.password is not None
        held = user or bool(parts.query or parts.fragment)
    except (ValueError, KeyError):
        plain = False
    if not plain or held or parts.port == 0:
        what = "holds a name, a password or a query" if held else "is no http(s) address with host and port"
        raise UsageError(
            f"the address of a model server {what}",
            mend=f"give the plain address, for example http://localhost:8000/v1, and a key by {KEY_VARIABLE}",
        )
    return parts.scheme, str(parts.hostname), port, parts.path.rstrip("/")


def check_key_may_go(spec: str, *, named_by: str, given: Iterable[str] = (), again: str) -> None:
    """Check that the key in the environment may go where a file leads.

    Args:
        spec: the model as the file names it.
        named_by: the file, for the message.
        given: base URLs, or models with one (as ``--llm`` has them), that the user gave on this command line.
        again: the command that sends the key there.

    Raises:
        UsageError: if a key is set and nobody but the file named that server.
    """
    spec = spec.strip()
    if spec in given or not leads_away(spec) or (spec.startswith("openai:") and not _credentials()):
        return
    match = SERVED.fullmatch(spec.partition(":")[2])
    if match is not None:
        wanted = server(match["url"])
        named = [SERVED.fullmatch(one.partition(":")[2]) for one in given]
        urls = [one["url"] if one else other for one, other in zip(named, given, strict=True)]
        if any(server(url) == wanted for url in [*urls, *home_settings().trusted_servers]):
            return
    shown = f"the server {match['url']}" if match else f"the model {spec.partition('@')[0]}"
    raise UsageError(
        f"{named_by} names {shown}, and a key is set ({KEY_VARIABLE}); nothing was sent: "
        "a file does not say where a key goes",
        mend=f"if you trust it: {again}; or without a key: env -u {KEY_VARIABLE} …",
    )


def leads_away(spec: str) -> bool:
    """Whether a model is behind an address."""
    kind, _, rest = spec.partition(":")
    return kind not in ("hf", "nano", "scripted") and ("@" in rest or "://" in rest)


def _credentials() -> bool:
    return key_in_environment() is not None or any(os.environ.get(name) for name in _BESIDE_THE_KEY)
