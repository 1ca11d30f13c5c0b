"""Sample worlds: seeded synthetic markets with text, made in memory, for a first run without a download."""

from varve.market.worlds.sample import TICKERS, WORLDS, sample_world

__all__ = ["TICKERS", "WORLDS", "sample_world"]
