"""Environment and exchange steps, one ticker, costs on, beside gym-trading-env in its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from varve.envs.costs import get_costs
from varve.envs.exchange import Exchange
from varve.envs.trading_env import TradingEnv
from varve.market import MarketData
from varve.market.worlds import sample_world
from varve.types import Order

STEPS, REPEATS = 40_000, 3
RIVAL = "gym-trading-env==0.3.5"
RIVAL_HOME = Path(tempfile.gettempdir()) / "varve-benchmarks" / RIVAL
"""The rival wants packages that this environment does not have; it is installed once and kept."""

# The same bars, three positions as free as Varve's four actions, fees on, no text printed.
RIVAL_STEPS = """
import json, sys, time
import numpy as np, pandas as pd
from gym_trading_env.environments import TradingEnv
given = json.load(sys.stdin)
frame = pd.DataFrame(given["bars"], index=pd.date_range("2020-01-01", periods=len(given["bars"]["close"])))
frame["feature_return"] = frame["close"].pct_change().fillna(0.0)
frame["feature_volume"] = np.log(frame["volume"] / frame["volume"].rolling(20).mean()).fillna(0.0)
env = TradingEnv(frame, positions=[-1, 0, 1], trading_fees=0.001, verbose=0)
actions = np.random.default_rng(0).integers(0, 3, given["steps"]).tolist()
env.reset(seed=0)
started = time.process_time()
for action in actions:
    *_, done, truncated, _ = env.step(action)
    if done or truncated:
        env.reset()
print(time.process_time() - started)
"""


def _exchange_seconds() -> float:
    data = sample_world("TSLA")
    exchange = Exchange(MarketData({"TSLA": data}), ("TSLA",), costs=get_costs("retail"), initial_cash=1e5)
    buy, sell = (Order("TSLA", 50.0),), (Order("TSLA", -50.0),)
    started = time.process_time()
    for i in range(STEPS):
        if exchange.done:
            exchange.reset()
        exchange.step(buy if i % 20 == 0 else sell if i % 20 == 10 else ())
    return time.process_time() - started


def _env_seconds() -> float:
    env = TradingEnv(sample_world("TSLA"))
    actions = np.random.default_rng(0).integers(0, 4, STEPS).tolist()
    env.reset(seed=0)
    started = time.process_time()
    for action in actions:
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return time.process_time() - started


def _rival() -> Path | str:
    """The rival's Python, installed where it is not; why not, where that fails."""
    python = RIVAL_HOME / "bin" / "python"
    try:
        if not (RIVAL_HOME / "installed").exists():
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(RIVAL_HOME)],
                [str(python), "-m", "pip", "install", "--quiet", RIVAL],
            ):
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
            (RIVAL_HOME / "installed").touch()
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip().splitlines()[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return python


def _rival_seconds(python: Path) -> float:
    bars = sample_world("TSLA").bars
    columns = {name: getattr(bars, name).tolist() for name in ("open", "high", "low", "close", "volume")}
    done = subprocess.run(
        [str(python), "-c", RIVAL_STEPS], input=json.dumps({"bars": columns, "steps": STEPS}),
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout)


def run() -> list[tuple[str, float, str]]:
    """Name, value and unit of each figure."""
    python = _rival()
    exchange, ours, theirs = [], [], []
    for _ in range(REPEATS):  # by turns: what else the machine does hits all alike
        exchange.append(_exchange_seconds())
        ours.append(_env_seconds())
        if isinstance(python, Path):
            theirs.append(_rival_seconds(python))
    figures = [
        ("exchange steps, an order every tenth", STEPS / median(exchange), "per CPU-second"),
        ("environment steps, random actions", STEPS / median(ours), "per CPU-second"),
    ]
    if not theirs:
        print(
            f"{RIVAL} cannot be installed, so nothing stands beside the environment: {python}",
            file=sys.stderr,
        )
        return figures
    return [
        *figures,
        (f"{RIVAL}, the same", STEPS / median(theirs), "per CPU-second"),
        ("environment ÷ gym-trading-env (bar 1.5, aim 3)", median(theirs) / median(ours), "×"),
    ]
