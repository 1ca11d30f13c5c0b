"""The window of sessions that a run's dates mean on given data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from varve.backtests.config import RunConfig
from varve.errors import NoDataError, SettingError
from varve.market.data import BarSeries, InstrumentData

DEFAULT_TEST_SESSIONS = 63
DEFAULT_WARM_UP_SESSIONS = 42
"""A quarter after two months: what nano decides within a minute on two cores."""
DEFAULT_TUNING_SESSIONS = 126
"""A search asks no model, and of two months there is little to choose by."""


@dataclass(frozen=True, slots=True)
class Window:
    """Bar indices of a run: warm-up ``[warmup_first, first)``, test ``[first, last]``.

    The bar ``first`` is bar 0 of the equity curve (flat); the decision after it fills on the next.
    """

    warmup_first: int
    first: int
    last: int


def resolve_window(config: RunConfig, bars: BarSeries, *, warm_up: bool) -> Window:
    """The window that the settings mean on these bars.

    Without dates: the last 63 bars, or the last two thirds of fewer; the warm-up is up to 42 bars
    before the start, 126 for a search.

    Raises:
        SettingError: start after end, warm-up not before the start.
        NoDataError: dates outside the data, or fewer than two sessions between them.
    """
    _check_order(config)
    count = len(bars)
    if count < 2:
        raise NoDataError(f"{config.ticker} has {count} bars; a run needs at least 2")
    known = f"data for {config.ticker} runs from {bars.session(0)} to {bars.session(count - 1)}"
    for name in ("start", "end", "warmup_start"):
        given: date | None = getattr(config, name)
        if given is not None and not bars.session(0) <= given <= bars.session(count - 1):
            raise NoDataError(
                f"{name} {given} is outside the data: {known}",
                mend="give dates inside it, or import or pull more data",
            )
    last = count - 1 if config.end is None else _at_or_before(bars, config.end)
    if config.start is None:
        length = min(DEFAULT_TEST_SESSIONS, max(2, (last + 1) * 2 // 3))
        first = max(0, last + 1 - length)
    else:
        first = _at_or_after(bars, config.start)
    if first >= last:
        raise NoDataError(
            f"fewer than two sessions from {config.start} to {config.end or bars.session(last)}: {known}",
            mend="give a longer window",
        )
    if not warm_up:
        warmup_first = first
    elif config.warmup_start is None:
        length = DEFAULT_TUNING_SESSIONS if config.tune else DEFAULT_WARM_UP_SESSIONS
        warmup_first = max(0, first - length)
    else:
        warmup_first = _at_or_after(bars, config.warmup_start)
        if warmup_first >= first:
            raise SettingError(
                f"warmup_start {config.warmup_start} is not before the test, which starts "
                f"{bars.session(first)}",
                mend="give an earlier --warmup-start",
            )
    return Window(warmup_first, first, last)


def after_knowledge(config: RunConfig, data: InstrumentData) -> RunConfig:
    """The settings with a start behind what the model can know, where ``after_cutoff`` asks for that.

    Synthetic data and models that know no world need no moving.

    Raises:
        SettingError: if nobody says until when the model knows the world, or nothing is left after it.
    """
    from varve.finllm.chat.model_cards import USER_FILE, card_of

    if not config.after_cutoff or data.provenance.synthetic:
        return config
    card = card_of(config.llm)
    if card is not None and not card.knows_the_world:
        return config
    until = None if card is None else card.known_until
    if until is None:
        raise SettingError(
            f"after_cutoff needs to know until when {config.llm.partition('@')[0]} knows the world; "
            "nobody says",
            mend=f"name its knowledge_cutoff in {USER_FILE} under VARVE_HOME; see: backtest llm models",
        )
    end = config.end or data.bars.session(len(data.bars) - 1)
    if end <= until:
        raise SettingError(
            f"after_cutoff leaves nothing: the model knows the world until {until}, the run ends {end}",
            mend="give a later --end, or import or pull later data",
        )
    start = max(config.start or date.min, until + timedelta(days=1))
    return config if config.start == start else config.model_copy(update={"start": start})


def _check_order(config: RunConfig) -> None:
    if config.start is not None and config.end is not None and config.start > config.end:
        raise SettingError(f"start {config.start} is after end {config.end}", mend="swap --start and --end")
    if config.warmup_start is not None and config.start is not None and config.warmup_start >= config.start:
        raise SettingError(
            f"warm-up from {config.warmup_start} overlaps the test, which starts {config.start}",
            mend="give a --warmup-start before --start",
        )


def _at_or_after(bars: BarSeries, day: date) -> int:
    return int(np.searchsorted(bars.sessions, np.datetime64(day), side="left"))


def _at_or_before(bars: BarSeries, day: date) -> int:
    return int(np.searchsorted(bars.sessions, np.datetime64(day), side="right")) - 1
