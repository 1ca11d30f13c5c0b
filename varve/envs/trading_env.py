"""A Gymnasium environment over the exchange, registered as ``varve/Trading-v0``.

``gymnasium.make("varve.envs.trading_env:varve/Trading-v0", ticker="TSLA")`` imports this module first;
after ``import varve.envs.trading_env`` the plain name does.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from varve.envs.costs import CostModel, get_costs
from varve.envs.desk import Desk
from varve.envs.exchange import Exchange
from varve.envs.sizing import AllIn, Sizer
from varve.envs.tracks import split_ratios
from varve.errors import SettingError
from varve.market.calendars import get_calendar
from varve.market.data import Floats, InstrumentData
from varve.market.market_data import MarketData
from varve.market.observation import Observation
from varve.market.view import MarketView
from varve.types import Action, Decision, FillRule, Intent

ACTIONS = (Action.HOLD, Action.BUY, Action.SELL, Action.FLAT)
"""What the discrete actions 0 to 3 mean."""

_CLIP = 10.0
"""Features are scaled to be near 1 and clipped to ±10, so that one jump does not drown the rest."""


class TradingEnv(gym.Env[np.ndarray, np.int64]):
    """One instrument, one decision a session, filled at the next bar by the exchange.

    Observation: float32 of shape (lookback + 3,): the last ``lookback`` daily log returns in units of
    2 %, newest last; the volume of the last bar against its 20-bar mean, as a log (0 without volume);
    the position's weight in equity; the open position's return since its first fill, in units of 10 %.
    Action: 0 HOLD, 1 BUY, 2 SELL, 3 FLAT. Reward: relative change of equity over the bar, after costs.
    The end of the data (or of ``episode_sessions``) is ``truncated``, ruin is ``terminated``.

    Args:
        data: the instrument's bars and documents.
        costs: a preset name or a model. sizer: how much an action trades.
        lookback: returns in the observation; the episode starts after as many bars.
        episode_sessions: length of an episode, starting at a random bar; None plays all bars from the
            first possible one.
        text_observations: put the text that an agent reads into ``info["observation"]``.

    Raises:
        SettingError: if ``lookback`` or ``episode_sessions`` does not fit the data.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(
        self,
        data: InstrumentData,
        *,
        costs: CostModel | str = "retail",
        sizer: Sizer | None = None,
        initial_cash: float = 100_000.0,
        fill_rule: FillRule | None = None,
        lookback: int = 20,
        episode_sessions: int | None = None,
        text_observations: bool = False,
    ) -> None:
        if not 1 <= lookback < len(data.bars) - 1:
            raise SettingError(
                f"lookback {lookback} does not fit {len(data.bars)} bars", mend="give a shorter lookback"
            )
        most = len(data.bars) - 1 - lookback
        if episode_sessions is not None and not 1 <= episode_sessions <= most:
            raise SettingError(
                f"episode_sessions {episode_sessions} is outside 1 to {most}, the bars after the lookback",
                mend="give a shorter episode, or more data",
            )
        self._sizer = sizer or AllIn()
        self._symbol, self._instrument = data.instrument.symbol, data.instrument
        self._market = MarketData({self._symbol: data})
        self._calendar = get_calendar(data.instrument.calendar)
        self.exchange = Exchange(
            self._market,
            (self._symbol,),
            costs=get_costs(costs) if isinstance(costs, str) else costs,
            initial_cash=initial_cash,
            fill_rule=fill_rule,
            shorting=self._sizer.allows_short,
        )
        self._lookback, self._episode, self._text = lookback, episode_sessions, text_observations
        self._desk = Desk(self._sizer, self._instrument)
        self._features = _features(data, lookback)
        self._closes: list[float] = data.bars.close.tolist()
        self._decisions = [Decision((Intent(self._instrument, action),)) for action in ACTIONS]
        self._entry_equity = initial_cash
        self._dates = [session.isoformat() for session in self.exchange.sessions]
        self._views: dict[int, tuple[datetime, MarketView]] = {}
        self.action_space = spaces.Discrete(len(ACTIONS))
        self.observation_space = spaces.Box(-_CLIP, _CLIP, (lookback + 3,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, object] | None = None
    ) -> tuple[np.ndarray, dict[str, object]]:
        """Start a flat episode; with ``episode_sessions`` on a random bar drawn from ``np_random``."""
        super().reset(seed=seed)
        first, last = self._lookback, len(self._closes) - 1
        if self._episode is not None:
            first = int(self.np_random.integers(first, last - self._episode + 1))
        self.exchange.reset(first=first, length=self._episode)
        self._desk.reset()
        self._entry_equity = self.exchange.initial_cash
        return self._observe(), self._info()

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, object]]:
        """Trade one action at the next bar.

        Raises:
            SettingError: if the action is not 0 to 3.
        """
        number = int(action)
        if not 0 <= number < len(ACTIONS):
            raise SettingError(f"action {action!r} is not one of 0 to {len(ACTIONS) - 1}")
        idle = number == 0 and not self._desk.left and not self._desk.waiting
        # HOLD with nothing to work off never trades: the desk need not be asked, and no view made.
        orders = () if idle else self._desk.orders(self._decisions[number], self._observation())
        before = self.exchange.ledger.positions[self._symbol]
        held_equity = self.exchange.equity
        result = self.exchange.step(orders)
        if not idle:
            self._desk.settle(result)
        after = self.exchange.ledger.positions[self._symbol]
        if after and (before <= 0 < after or after < 0 <= before):
            self._entry_equity = held_equity
        return self._observe(), result.reward, result.terminated, result.truncated, self._info()

    def _observation(self) -> Observation:
        exchange = self.exchange
        index = exchange.index
        decision_at, view = self._seen(index)
        return Observation(
            step=index - exchange.first_index,
            instrument=self._instrument,
            session=exchange.session,
            decision_at=decision_at,
            previous_decision_at=self._seen(index - 1)[0] if index else None,
            view=view,
            portfolio=exchange.portfolio,
        )

    def _seen(self, index: int) -> tuple[datetime, MarketView]:
        """The decision after bar ``index`` and its view; kept, as every episode comes by again."""
        found = self._views.get(index)
        if found is None:
            decision_at = self._calendar.decision_at(self.exchange.sessions[index])
            found = self._views[index] = decision_at, self._market.as_of(decision_at)
        return found

    def _observe(self) -> np.ndarray:
        exchange = self.exchange
        row: np.ndarray = self._features[exchange.index].copy()
        held = exchange.ledger.positions[self._symbol]
        if held:
            equity = exchange.equity
            if equity > 0:
                row[-2] = min(_CLIP, max(-_CLIP, held * self._closes[exchange.index] / equity))
            row[-1] = min(_CLIP, max(-_CLIP, 10.0 * (equity / self._entry_equity - 1.0)))
        return row

    def _info(self) -> dict[str, object]:
        exchange = self.exchange
        info: dict[str, object] = {"session": self._dates[exchange.index], "equity": exchange.equity}
        if self._text:
            info["observation"] = self._observation().text()
        return info


def make_env(ticker: str = "TSLA", *, world: str = "default", seed: int = 0, **settings: Any) -> TradingEnv:
    """The environment on a sample world; ``gymnasium.make("varve/Trading-v0", ticker=...)`` does the same.

    Raises:
        UnknownNameError: if there is no sample world of that ticker.
    """
    from varve.market.worlds import sample_world

    return TradingEnv(sample_world(ticker, world=world, seed=seed), **settings)


def _features(data: InstrumentData, lookback: int) -> Floats:
    """Per bar, what the observation holds of the market; the last two columns stay 0. Bars so far only."""
    bars, n = data.bars, len(data.bars)
    ratio = split_ratios(data)
    returns = np.zeros(n)
    returns[1:] = np.log(bars.close[1:] * ratio[1:] / bars.close[:-1])
    table = np.zeros((n, lookback + 3), dtype=np.float32)
    for lag in range(lookback):
        table[lag:, lookback - 1 - lag] = returns[: n - lag] / 0.02
    volume = bars.volume / np.cumprod(ratio)
    for i in range(1, n):
        past = volume[max(0, i - 20) : i]
        mean = past[~np.isnan(past)].mean() if (~np.isnan(past)).any() else 0.0
        if mean > 0 and volume[i] > 0:
            table[i, lookback] = np.log(volume[i] / mean)
    return np.clip(table, -_CLIP, _CLIP)


gym.register(id="varve/Trading-v0", entry_point="varve.envs.trading_env:make_env")
