"""Varve: backtests of language-model trading agents that one can believe and have again."""

__version__ = "0.1.0"
