"""The weights of nano that ship with the package, and how they are opened. Light on import."""

from __future__ import annotations

from pathlib import Path

from varve.finllm.engine.model_folder import find_folder
from varve.finllm.nano.chat_model import NanoModel

WEIGHTS = Path(__file__).parent / "weights"
MAX_NEW_TOKENS = 336
"""The longest reply that it is taught, and room before a reply is steered to its end."""


def make_nano(argument: str, *, seed: int) -> NanoModel:
    """The model behind ``--llm nano``, or ``nano:<folder>`` of ``backtest llm train-nano``.

    Raises:
        NoDataError, BadFileError: if there is no model in the folder.
    """
    folder = find_folder(argument) if argument else WEIGHTS
    return NanoModel(folder=str(folder), seed=seed, max_new_tokens=MAX_NEW_TOKENS)
