"""Embedders: text to unit vectors, deterministic, with a fingerprint that names them exactly."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from varve import registry
from varve.errors import UsageError

Vectors = NDArray[np.float32]
_WORD = re.compile(r"[a-z0-9][a-z0-9'.%-]*")
_CACHED_TEXTS = 20_000
MAX_CHARS = 20_000
"""Longer texts are embedded by their beginning."""


class Embedder(Protocol):
    """Turns texts into unit vectors. Equal fingerprints mean equal vectors for equal texts."""

    name: str
    dimension: int

    @property
    def fingerprint(self) -> str:
        """What distinguishes this embedder's vectors from every other's."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Float32 vectors of shape (len(texts), dimension), each of length 1 (0 for a text without words)."""
        ...


class HashingEmbedder:
    """Word and character hashing with a finance synonym list: instant and deterministic.

    It knows shared words, shared word parts and the synonyms listed; it has little sense of paraphrase.
    """

    name = "hashing"
    dimension = 384

    def __init__(self) -> None:
        self._cache: OrderedDict[str, Vectors] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        """Version of the method and hash of the synonym list."""
        digest = hashlib.sha256(repr(sorted(_synonyms().items())).encode()).hexdigest()[:12]
        return f"hashing-1-{self.dimension}-{digest}"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See :meth:`Embedder.embed`.

        Raises:
            UsageError: if an item is no text.
        """
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise UsageError(f"an embedder takes text; item {row} is {type(text).__name__}")
            rows[row] = self._one(text[:MAX_CHARS])
        return rows

    def _one(self, text: str) -> Vectors:
        known = self._cache.get(text)
        if known is not None:
            self._cache.move_to_end(text)
            return known
        vector = self._hash(text)
        self._cache[text] = vector
        if len(self._cache) > _CACHED_TEXTS:
            self._cache.popitem(last=False)
        return vector

    def _hash(self, text: str) -> Vectors:
        synonyms = _synonyms()
        words = [synonyms.get(word, word) for word in _WORD.findall(text.lower())]
        weights: dict[int, float] = {}
        before = ""
        for word in words:
            # Short words and figures say little about what a text is about.
            weight = 0.3 if len(word) < 4 or word[0].isdigit() else 1.0
            _add(weights, f"w:{word}", weight)
            if before:
                _add(weights, f"b:{before} {word}", 0.4)
            for i in range(len(word) - 3):
                _add(weights, f"c:{word[i : i + 4]}", 0.15)
            before = word
        vector = np.zeros(self.dimension, dtype=np.float64)
        for slot, weight in weights.items():
            vector[abs(slot) % self.dimension] += weight if slot > 0 else -weight
        length = float(np.sqrt((vector**2).sum()))
        return (vector / length if length else vector).astype(np.float32)


def _add(weights: dict[int, float], feature: str, weight: float) -> None:
    code = zlib.crc32(feature.encode())
    # One bit of the hash is the sign, so that collisions cancel on average; +1 keeps 0 out.
    slot = (code >> 1) + 1
    key = slot if code & 1 else -slot
    weights[key] = weights.get(key, 0.0) + weight


@cache
def _synonyms() -> dict[str, str]:
    text = resources.files("varve.memory").joinpath("synonyms.txt").read_text(encoding="utf-8")
    groups = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {word: group[0] for group in groups for word in group}


@cache
def get_embedder(name: str) -> Embedder:
    """The registered embedder of that name, one per process so that its vectors are cached.

    Raises:
        UnknownNameError: if there is none.
    """
    made: Embedder = registry.load("embedders", name)()
    return made
