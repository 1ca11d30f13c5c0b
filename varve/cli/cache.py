"""``backtest cache``: what the reply cache holds, and moving it to another machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from varve.cli.screen import say
from varve.errors import SettingError, UsageError

cache_app = typer.Typer(help="The replies of language models, kept between runs.", no_args_is_help=True)

INPUT_PRICE, OUTPUT_PRICE = "VARVE_PRICE_INPUT", "VARVE_PRICE_OUTPUT"
"""Environment variables: USD per million tokens read, and written, by the model."""


def saved_usd(input_tokens: int, output_tokens: int) -> float | None:
    """What tokens would have cost in USD by the prices in the environment; None without prices.

    Raises:
        SettingError: if a price is no number.
    """
    prices = [_price(INPUT_PRICE), _price(OUTPUT_PRICE)]
    if prices == [None, None]:
        return None
    return (input_tokens * (prices[0] or 0.0) + output_tokens * (prices[1] or 0.0)) / 1e6


def _price(variable: str) -> float | None:
    given = os.environ.get(variable, "").strip()
    try:
        price = float(given) if given else None
    except ValueError:
        price = -1.0
    if price is not None and not 0.0 <= price < 1e9:
        raise SettingError(f"{variable} cannot be {given!r}: USD per million tokens expected")
    return price


@cache_app.command("stats")
def cache_stats() -> None:
    """Replies and tokens kept, by model."""
    from rich.table import Table

    from varve.cli.screen import Screen
    from varve.finllm.chat.reply_cache import ReplyCache, cache_path

    console = Screen()
    if not cache_path().exists():
        console.print(f"no reply cache yet: {cache_path()}", soft_wrap=True)
        return
    with ReplyCache() as cache:
        stats = cache.stats()
        damaged = cache.damaged
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    for name in ("replies", "tokens in", "tokens out", "USD"):
        table.add_column(name, justify="right")
    for row in stats:
        money = saved_usd(row.input_tokens, row.output_tokens)
        cells = (row.replies, row.input_tokens, row.output_tokens)
        table.add_row(row.model, *(f"{cell:,}" for cell in cells), "–" if money is None else f"{money:,.2f}")
    console.print(table)
    _tell_damaged(damaged)
    console.print(f"{cache_path()}: {cache_path().stat().st_size / 1e6:,.1f} MB", soft_wrap=True)
    if stats and saved_usd(0, 0) is None:
        console.print(f"for USD set {INPUT_PRICE} and {OUTPUT_PRICE} (USD per million tokens)", style="dim")


@cache_app.command("prune")
def cache_prune(
    model: Annotated[str | None, typer.Option(help="Of this model, as in: backtest cache stats")] = None,
    before: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All replies.")] = False,
) -> None:
    """Delete replies of a model, or made before a day, or all."""
    from varve.finllm.chat.reply_cache import ReplyCache

    if model is None and before is None and not everything:
        raise UsageError("nothing says which replies to delete", mend="give --model, --before or --all")
    instant = None if before is None else before.replace(tzinfo=UTC)
    with ReplyCache() as cache:
        if model is not None and model not in [row.model for row in cache.stats()]:
            known = ", ".join(row.model for row in cache.stats()) or "none"
            raise UsageError(f"no replies of model {model!r} are kept; kept: {known}")
        say(f"deleted {cache.prune(model=model, before=instant):,} replies")


@cache_app.command("export")
def cache_export(
    file: Annotated[Path, typer.Argument(help="The file to write: JSON lines.")],
    run: Annotated[str | None, typer.Option(help="Only the replies that this run used.")] = None,
) -> None:
    """Write the replies to a file, to publish or to move them."""
    from varve.finllm.chat.reply_cache import ReplyCache

    keys = None if run is None else _keys_of(run)
    with ReplyCache() as cache:
        say(f"wrote {cache.export(file, keys):,} replies to {file}")
        _tell_damaged(cache.damaged)


@cache_app.command("import")
def cache_import(file: Annotated[Path, typer.Argument(help="Made by: backtest cache export")]) -> None:
    """Add an exported file's replies to the cache; what is there stays."""
    from varve.finllm.chat.reply_cache import ReplyCache

    with ReplyCache() as cache:
        done = cache.import_(file)
    say(f"added {done.added:,} replies; {done.known:,} were there already")
    if done.differing:
        say(f"{done.differing:,} differ from what is there for the same call; those here were kept")


def _tell_damaged(keys: Sequence[str]) -> None:
    """Name the entries that are not what was written."""
    if keys:
        shown = ", ".join(f"{key[:12]}…" for key in keys[:3]) + (" …" if len(keys) > 3 else "")
        say(f"damaged entries: {len(keys):,} ({shown}); not counted, and asked for again when needed")


def _keys_of(run: str) -> list[str]:
    """The keys of a run's model calls.

    Raises:
        UsageError: if the run asked no model.
    """
    from varve.backtests.record.journal import Journal
    from varve.backtests.record.lookup import find_run
    from varve.finllm.chat.reply_cache import reply_key
    from varve.finllm.chat.reply_source import Asked

    folder = find_run(run)
    recorded = folder.read()
    if recorded.model is None:
        raise UsageError(f"run {folder.run_id} asked no language model")
    journal = Journal(folder.journal, run_id=recorded.run_id, read_only=True)
    try:
        calls = list(journal.rows("model_calls"))
    finally:
        journal.close()
    return [reply_key(recorded.model.identity, Asked(c.stage, c.attempt, c.messages, c.tools)) for c in calls]
