"""Sentiment of a line of financial news from a small word list; for the scripted model only."""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from importlib import resources

_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_ENDINGS = (("ies", "y"), ("s", ""), ("es", ""), ("ed", ""), ("d", ""), ("ing", ""), ("ing", "e"))
NEGATION_REACH = 3
"""A negation turns round the words up to so many places after it."""


@lru_cache(maxsize=50_000)
def sentiment(text: str) -> float:
    """From −1 (all bad words) to 1 (all good words); 0 where none or as many of each are found.

    (good − bad) ÷ (good + bad), each word once per place, turned round within three words after a
    negation.
    """
    weights, negations = _lists()
    last_negation = -NEGATION_REACH - 1
    good = bad = 0
    for place, word in enumerate(_WORD.findall(text.lower().replace("’", "'"))):
        if word in negations:
            last_negation = place
            continue
        weight = _weight(word, weights)
        if place - last_negation <= NEGATION_REACH:
            weight = -weight
        good += weight > 0
        bad += weight < 0
    return (good - bad) / (good + bad) if good + bad else 0.0


def fingerprint() -> str:
    """SHA-256 (hex) of the word list: a part of what the scripted model is."""
    import hashlib

    return hashlib.sha256(_source().encode()).hexdigest()


def _weight(word: str, weights: dict[str, int]) -> int:
    if word in weights:
        return weights[word]
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            base = word[: -len(ending)] + instead
            if base in weights:
                return weights[base]
            # A doubled consonant: dropped, cutting, slashed stays as it is.
            if len(base) > 3 and base[-1] == base[-2] and base[:-1] in weights:
                return weights[base[:-1]]
    return 0


@cache
def _lists() -> tuple[dict[str, int], frozenset[str]]:
    lists = tomllib.loads(_source())
    weights = dict.fromkeys(lists["positive"], 1) | dict.fromkeys(lists["negative"], -1)
    return weights | dict.fromkeys(lists["neutral"], 0), frozenset(lists["negation"])


@cache
def _source() -> str:
    return resources.files("varve.finllm.scripted").joinpath("lexicon.toml").read_text(encoding="utf-8")
