"""Headlines and filing summaries from patterns."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Literal

import numpy as np

from varve.market.worlds.specs import PLACES, Spec

Tone = Literal["positive", "negative", "neutral", "mixed"]


@cache
def patterns() -> dict[str, list[str]]:
    """Pattern lists by name, as in ``patterns.toml``."""
    text = resources.files("varve.market.worlds").joinpath("patterns.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def headline(rng: np.random.Generator, spec: Spec, tone: Tone) -> str:
    """One headline of that tone."""
    return _fill(rng, spec, _pick(rng, patterns()[tone]))


def filing(rng: np.random.Generator, spec: Spec, form: str, tone: Tone) -> str:
    """A summary of a 10-Q or 10-K: two sentences of the tone among neutral ones."""
    kinds = patterns()
    toned = kinds[f"filing_{tone}"]
    first = int(rng.integers(len(toned)))
    chosen = [toned[first], toned[(first + 1) % len(toned)], _pick(rng, kinds["filing_neutral"])]
    body = " ".join(_fill(rng, spec, pattern) for pattern in chosen)
    period = "annual" if form == "10-K" else "quarterly"
    return f"{spec.company} {period} report ({form}): {body}"


def _pick(rng: np.random.Generator, options: list[str] | tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _fill(rng: np.random.Generator, spec: Spec, pattern: str) -> str:
    text = pattern.format(
        company=spec.company,
        product=_pick(rng, spec.products),
        market=spec.market,
        rival=spec.rival,
        place=_pick(rng, PLACES),
        share=int(rng.integers(2, 40)),
        count=int(rng.integers(2, 90)) * 10,
        quarter=_pick(rng, ("first-quarter", "second-quarter", "third-quarter", "fourth-quarter")),
    )
    return text[0].upper() + text[1:]
