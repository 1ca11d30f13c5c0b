"""What rules have in common: one signal a day with its reasons and its own record, traded or told.

A rule is written once, along a whole history (:meth:`SignalTrader.read`). :meth:`SignalTrader.signal`
is its last word for a view, which agents may use as a tool; :meth:`SignalTrader.decide` trades it;
:func:`varve.strategies.tuning.tune` scores it over a window.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from varve.errors import UsageError
from varve.market.data import BarSeries, Floats
from varve.market.observation import Observation
from varve.market.view import MarketView
from varve.strategies.base import Trader
from varve.types import Action, Decision

HORIZON_SESSIONS = 5
"""Sessions over which a past signal is judged, the one on which it could first be filled included."""

_ACTIONS = {1: Action.BUY, 0: Action.HOLD, -1: Action.SELL}


@dataclass(frozen=True, slots=True)
class Record:
    """What a rule's own past signals were worth, as far as that was known at an instant.

    A BUY or SELL counts on the session on which it is new, not while it is repeated. Its return is that
    of following it: sign × (close of the fifth session after it ÷ price at which it could first be
    filled − 1), a fraction before costs and without dividends; SELL counts a fall as a gain. The fill
    price is the next open, or the next close where the data's fill rule says so.

    Args:
        signals: past signals whose five sessions were over.
        hit_rate: share of them with a return above 0; None without any.
        mean_return: mean of their returns; None without any.
    """

    signals: int = 0
    hit_rate: float | None = None
    mean_return: float | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """A rule's word at one instant.

    Args:
        action: BUY, HOLD or SELL; what one does with it is the trader's affair.
        values: indicators by name at the last bar, empty while there are too few bars.
        explanation: one English sentence.
        record: what its earlier signals were worth.
    """

    action: Action
    values: Mapping[str, float]
    explanation: str
    record: Record


@dataclass(frozen=True, slots=True)
class Reading:
    """A rule along n bars.

    Entry i hangs on bars 0 to i alone. ``actions``: shape (n,), 1 BUY, 0 HOLD, −1 SELL. ``lines``:
    indicators by name, shape (n,), NaN where not known.
    """

    actions: NDArray[np.int8]
    lines: Mapping[str, Floats]


class SignalTrader(Trader):
    """Base of rules; override :attr:`bars_needed`, :meth:`read` and :meth:`explain`.

    ``search_space`` has the values of each setting that :func:`varve.strategies.tuning.tune` tries; any
    choice of them must be a config that can be used.
    """

    search_space: ClassVar[Mapping[str, Sequence[int | float]]] = {}

    @property
    @abstractmethod
    def bars_needed(self) -> int:
        """Bars until the first BUY or SELL is possible."""

    @abstractmethod
    def read(self, bars: BarSeries) -> Reading:
        """The rule at each of n bars, n at least :attr:`bars_needed`, split-adjusted."""

    @abstractmethod
    def explain(self, action: Action, values: Mapping[str, float]) -> str:
        """Why these values mean that action, in one English sentence."""

    def signal(self, view: MarketView, symbol: str | None = None) -> Signal:
        """The rule's word on what is visible; HOLD where there are too few bars.

        Args:
            view: the market as it could be known at one instant.
            symbol: whose bars; the view's only one where None.

        Raises:
            UsageError: if no symbol is given and the view has more than one.
        """
        symbol = symbol or _only_symbol(view)
        bars = view.bars(symbol)
        if len(bars) < self.bars_needed:
            known = f"only {len(bars)} of the {self.bars_needed} bars that {self.name} needs are known"
            return Signal(Action.HOLD, {}, f"HOLD, because {known}.", Record())
        reading = self.read(bars)
        action = _ACTIONS[int(reading.actions[-1])]
        values = {name: float(line[-1]) for name, line in reading.lines.items()}
        at_open = view.provenance(symbol).fill_rule == "next_open"
        record = record_of(reading.actions, bars, at_open=at_open)
        return Signal(action, values, self.explain(action, values), record)

    def decide(self, observation: Observation) -> Decision:
        """Trade the signal: BUY is long, SELL flat (short where shorting is on), HOLD as it stands.

        An order is given only where the position differs from that.
        """
        signal = self.signal(observation.view, observation.instrument.symbol)
        held = (observation.position > 0) - (observation.position < 0)
        down = -1 if self.context.shorting else 0
        wanted = {Action.BUY: 1, Action.HOLD: held, Action.SELL: down}[signal.action]
        if wanted != held:
            return self._single(Action.BUY if wanted > held else Action.SELL, signal.explanation)
        no_trade = "" if signal.action is Action.HOLD else " The position stands so already."
        return self._single(Action.HOLD, signal.explanation + no_trade)


def record_of(actions: NDArray[np.int8], bars: BarSeries, *, at_open: bool) -> Record:
    """The record of the signals in ``actions`` (shape (n,)), by the bars they were read from.

    Args:
        actions: 1 BUY, 0 HOLD, −1 SELL per bar.
        bars: all that was visible.
        at_open: whether orders fill at the next open, where it is known, rather than the next close.
    """
    given = np.flatnonzero(actions)
    new = np.ones(len(given), dtype=bool)
    new[1:] = actions[given[1:]] != actions[given[:-1]]
    judged = given[new]
    judged = judged[judged + HORIZON_SESSIONS < len(bars)]
    if not len(judged):
        return Record()
    entry = bars.close[judged + 1]
    if at_open:
        opens = bars.open[judged + 1]
        entry = np.where(np.isnan(opens), entry, opens)
    returns = actions[judged] * (bars.close[judged + HORIZON_SESSIONS] / entry - 1.0)
    return Record(len(returns), float((returns > 0).mean()), float(returns.mean()))


def _only_symbol(view: MarketView) -> str:
    if len(view.symbols) != 1:
        raise UsageError(
            f"a signal was asked of a view of {', '.join(view.symbols) or 'no symbol'}: one expected",
            mend="name it: signal(view, symbol)",
        )
    return view.symbols[0]
