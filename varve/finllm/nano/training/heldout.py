"""The held-out set: drawn once, hashed and committed before training; see ``heldout.json``.

Six splits. ``fresh``: wording and subjects that training may draw, with values of its own. ``subjects``:
companies, tickers and products that training never draws. ``wording``: every news line, and the sentences
of reports, from patterns that training never draws. ``long``: as ``fresh``, but pages of about 1.5 times
the length of the longest training row. ``stages``: FinAgent's stages before the decision, and ``letters``:
actions chosen by their letter, both with wording and subjects that training may draw.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from random import Random
from typing import TYPE_CHECKING

from varve.finllm.nano.answers import Target
from varve.finllm.nano.examples import Example, draw_example, draw_letter, draw_stage

if TYPE_CHECKING:
    from varve.finllm.nano.wording import Split

ROWS = {"fresh": 400, "subjects": 400, "wording": 500, "long": 200, "stages": 300, "letters": 200}
SEEDS = {split: 9_000_001 + place for place, split in enumerate(ROWS)}
MORE_LINES = 1.9
FILE, ABOUT = "heldout.jsonl.gz", "heldout.json"
_WORD = re.compile(r"\w+")
GRAM = 8


@dataclass(frozen=True)
class HeldOut:
    """One row: a rendered prompt, the tools bound, and what the teacher answers."""

    split: str
    prompt: str
    tools: tuple[str, ...]
    target: Target


def draw_row(rng: Random, split: str) -> Example:
    """The next example of a split; rows are those whose length then fitted the trained length."""
    if split == "stages":
        return draw_stage(rng, "fresh")
    if split == "letters":
        return draw_letter(rng, "fresh")
    drawn: dict[str, Split] = {"subjects": "subjects", "wording": "wording"}
    return draw_example(rng, drawn.get(split, "fresh"), more=MORE_LINES if split == "long" else 1.0)


def read_heldout() -> tuple[list[HeldOut], str]:
    """The committed rows, and the SHA-256 of what was read."""
    body = gzip.decompress(resources.files("varve.finllm.nano.training").joinpath(FILE).read_bytes())
    rows = [json.loads(line) for line in body.decode().splitlines()]
    found = [
        HeldOut(row["split"], row["prompt"], tuple(row["tools"]), Target(row["call"][0], row["call"][1]))
        for row in rows
    ]
    return found, hashlib.sha256(body).hexdigest()


def grams(line: str) -> Iterator[int]:
    """Hashes of every eight words in a row of a line."""
    words = _WORD.findall(line.lower())
    for place in range(len(words) - GRAM + 1):
        yield hash(tuple(words[place : place + GRAM]))


def largest_overlap(rows: Iterable[Example], trained: set[int]) -> dict[str, float]:
    """Of the 8-grams in the lines of a row, the share that training has: the largest of a row, and of all."""
    largest = shared = total = 0.0
    for row in rows:
        found = [gram in trained for line in row.lines for gram in grams(line)]
        if found:
            largest = max(largest, sum(found) / len(found))
        shared, total = shared + sum(found), total + len(found)
    return {
        "largest_row_share": round(largest, 4),
        "share_of_all": round(shared / total if total else 0.0, 4),
    }
