"""What each sample world looks like: names, volatilities, and how strongly text leads prices.

All of it is synthetic. Names are real tickers so that commands read naturally; nothing else is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

FIRST_SESSION, LAST_SESSION = date(2020, 1, 2), date(2024, 12, 31)

HEADLINES_PER_SESSION = (0.10, 0.30, 0.30, 0.20, 0.10)
"""Probabilities of 0 to 4 headlines a session."""

LEADING_SHARE = 0.60
"""Share of headlines whose tone leads the price; they move one session, 1 to ``MAX_LEAD`` ahead."""
UNRELATED_SHARE = 0.12
"""Share with a tone that means nothing."""
CONTRADICTING_SHARE = 0.05
"""Share that leads the price in the direction opposite to its tone."""
MIXED_SHARE = 0.05
"""Share with both tones in one line; the rest is neutral chatter."""

MAX_LEAD = 10
LEAD_STRENGTH = {"default": 0.31, "strong": 0.40}
"""In the worlds where text leads prices: a leading headline shifts the open-to-close return of one later
session by ± so many daily volatilities. Both worlds have the same draws. ``strong`` is for tests: who reads
gets rich. ``default`` is set so that an agent that reads has a Sharpe ratio of 1.5 to 2 (docs)."""
MOOD_PERSISTENCE = 0.80
"""News comes in stories: the tone of leading headlines follows a mood with this daily autocorrelation."""

GARCH_ALPHA, GARCH_BETA = 0.07, 0.90
RESIDUAL_VARIANCE_SHARE = 0.72
"""Share of the usual variance that is drawn; text, jumps and regimes bring the rest."""
PULL_PER_YEAR = 0.5
"""Log price reverts to its start at this rate, so that no price leaves its name's usual range for good."""
JUMP_PROBABILITY, JUMP_SIZE = 0.008, 3.5
"""Rare shocks, in daily volatilities."""
REGIME_DRIFTS = (0.05, 0.0, -0.05)
"""Bull, sideways, bear: drift of a session in daily volatilities."""
REGIME_CHANGE = 1 / 90
GAP_VARIANCE_SHARE = 0.25
"""Share of a day's variance between close and next open."""

NOISE_REGIME_VOLATILITY = (0.65, 1.0, 1.25)
"""In the noise world a regime changes the volatility and nothing else."""

PLANTED_PHRASE = "enters its scheduled accumulation window"
PLANTED_EDGE_PER_YEAR = 0.20
"""What a trader earns in a year, gross, by being long after the phrase and flat otherwise (see docs)."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One instrument of the sample worlds; ``volatility`` is annual, ``volume`` shares (coins) a day."""

    company: str
    price: float
    volatility: float
    volume: float
    products: tuple[str, ...]
    market: str
    rival: str
    calendar: str = "XNYS"
    lot_size: float = 1.0
    split: tuple[date, float] | None = None
    dividend_yield: float = 0.0


SPECS: dict[str, Spec] = {
    "TSLA": Spec(
        "Tesla", 420.0, 0.56, 9e7, ("Model 3", "Model Y", "battery", "charging", "truck"),
        "electric vehicles", "a legacy carmaker", split=(date(2022, 8, 25), 3.0),
    ),
    "AMZN": Spec(
        "Amazon", 1850.0, 0.35, 4e6, ("cloud", "advertising", "delivery", "grocery"),
        "online retail", "a big-box chain", split=(date(2022, 6, 6), 20.0),
    ),
    "NFLX": Spec(
        "Netflix", 325.0, 0.42, 7e6, ("streaming", "advertising tier", "live sport", "games"),
        "video streaming", "a rival studio",
    ),
    "MSFT": Spec(
        "Microsoft", 160.0, 0.27, 2.8e7, ("cloud", "office software", "console", "assistant"),
        "enterprise software", "a database vendor", dividend_yield=0.009,
    ),
    "COIN": Spec(
        "Coinbase", 250.0, 0.80, 8e6, ("custody", "trading", "staking", "wallet"),
        "crypto exchanges", "an offshore exchange",
    ),
    "ETH-USD": Spec(
        "Ethereum", 1300.0, 0.75, 6e6, ("staking", "rollup", "smart contract", "validator"),
        "digital assets", "a faster chain", calendar="24/7", lot_size=1e-4,
    ),
}  # fmt: skip

PLACES = ("Europe", "Texas", "China", "Germany", "India", "California", "Japan", "Brazil", "Canada", "Mexico")
