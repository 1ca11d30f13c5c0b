"""``backtest llm train-nano``: nano's own pipeline from the command line."""

from __future__ import annotations

from pathlib import Path


def train_nano(folder: Path, *, quick: bool = False, seed: int = 0) -> None:
    """Generate, tokenise, train, evaluate and write the card into ``folder``.

    Args:
        folder: a new or empty folder, or one with an interrupted training of the same kind.
        quick: a smaller model in about a minute, to see that every step works; it decides poorly.
        seed: of weights and training rows; the held-out rows stay.

    Raises:
        SettingError: if there is a model in the folder already.
    """
    from varve.finllm.nano.training.pipeline import FULL, QUICK, build

    build(folder, QUICK if quick else FULL, seed=seed)
    print(f"use it: backtest run --agent finmem --ticker TSLA --llm nano:{folder}")
