"""Hash words, character grams and finance synonyms into a vector: instant, no model, no download."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from varve.errors import BadFileError, UsageError
from varve.memory.embed.base import Embedder, Vectors

_Sparse = tuple[NDArray[np.int64], NDArray[np.float64]]

_WORD = re.compile(r"[^\W_]+(?:[&'’-][^\W_]+)*")

_STOP = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "from", "had", "has", "have", "in",
     "into", "is", "it", "its", "of", "on", "or", "said", "says", "than", "that", "the", "their", "they",
     "this", "to", "was", "were", "which", "will", "with", "after", "over", "about", "amid"}
)  # fmt: skip

_WORD_WEIGHT, _STOP_WEIGHT, _GRAM_WEIGHT, _CONCEPT_WEIGHT, _PAIR_WEIGHT = 1.0, 0.15, 0.7, 1.2, 0.4

_SYNONYMS = Path(__file__).with_name("synonyms.txt")


class HashingEmbedder:
    """Words, their character 3- and 4-grams, word pairs and finance synonyms, hashed into one vector.

    Instant, deterministic and without a download, and **it has little sense of paraphrase**: two
    sentences are near when they share words, parts of words, or words that the synonym list puts
    together. What it has no word of, it does not understand.

    Args:
        dimension: length of a vector.
        cache_size: vectors kept in this process, by text hash, the least used dropped first.
    """

    name = "hashing"

    def __init__(self, dimension: int = 384, cache_size: int = 8192) -> None:
        self.dimension = dimension
        self.cache_size = cache_size
        concepts, phrases, digest = _synonyms()
        self._concepts, self._phrases = concepts, phrases
        self.fingerprint = f"hashing-1-{dimension}-{digest[:12]}"
        self._vectors: OrderedDict[bytes, Vectors] = OrderedDict()
        self._words: dict[str, _Sparse] = {}
        self._pairs: dict[tuple[str, str], _Sparse] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape (len(texts), dimension), float32, each row of length 1."""
        out = np.empty((len(texts), self.dimension), np.float32)
        missing: dict[bytes, list[int]] = {}
        for row, text in enumerate(texts):
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            known = self._vectors.get(key)
            if known is None:
                missing.setdefault(key, []).append(row)
            else:
                self._vectors.move_to_end(key)
                out[row] = known
        keys = list(missing)
        for first in range(0, len(keys), 1024):
            part = keys[first : first + 1024]
            made = self._embed_new([texts[missing[key][0]] for key in part])
            for key, vector in zip(part, made, strict=True):
                out[missing[key]] = vector
                self._vectors[key] = vector
        while len(self._vectors) > self.cache_size:
            self._vectors.popitem(last=False)
        return out

    def _embed_new(self, texts: Sequence[str]) -> Vectors:
        places: list[NDArray[np.int64]] = []
        values: list[NDArray[np.float64]] = []
        rows, sizes = [], []
        for row, text in enumerate(texts):
            for place, value in self._features(text):
                places.append(place)
                values.append(value)
                rows.append(row)
                sizes.append(len(place))
        flat = np.repeat(np.array(rows, np.int64) * self.dimension, sizes) + np.concatenate(places)
        sums = np.bincount(flat, np.concatenate(values), len(texts) * self.dimension)
        dense = sums.reshape(len(texts), self.dimension)
        norms = np.sqrt((dense * dense).sum(axis=1))
        for row in np.flatnonzero(norms < 1e-9).tolist():  # every feature met its opposite, or there was none
            dense[row, zlib.crc32(texts[row].encode("utf-8", "surrogatepass")) % self.dimension] = 1.0
            norms[row] = np.sqrt((dense[row] * dense[row]).sum())  # 1, but for what was left of the rest
        return np.asarray(dense / norms[:, None], dtype=np.float32)

    def _features(self, text: str) -> list[_Sparse]:
        words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
        if not words:
            return [self._hashed([(f"raw:{text}", 1.0)])]
        if len(self._words) > 100_000 or len(self._pairs) > 200_000:
            self._words.clear()
            self._pairs.clear()
        found = []
        for word in words:
            feature = self._words.get(word)
            if feature is None:
                feature = self._words[word] = self._word(word)
            found.append(feature)
        content = [word for word in words if word not in _STOP]
        for pair in itertools.pairwise(content):
            feature = self._pairs.get(pair)
            if feature is None:
                feature = self._pairs[pair] = self._pair(*pair)
            found.append(feature)
        return found

    def _word(self, word: str) -> _Sparse:
        if word in _STOP:
            return self._hashed([(f"w:{word}", _STOP_WEIGHT)])
        stem = _stems(word)[-1]
        features = [(f"w:{stem}", _WORD_WEIGHT)]
        padded = f"<{word}>"
        grams = [padded[i : i + n] for n in (3, 4) for i in range(len(padded) - n + 1)]
        # the grams of a word together weigh as one feature, however long the word is
        features += [(f"g:{gram}", _GRAM_WEIGHT / len(grams) ** 0.5) for gram in grams]
        concept = next((self._concepts[form] for form in _stems(word) if form in self._concepts), None)
        if concept is not None:
            features.append((f"c:{concept}", _CONCEPT_WEIGHT))
        return self._hashed(features)

    def _pair(self, first: str, second: str) -> _Sparse:
        features = [(f"p:{_stems(first)[-1]} {_stems(second)[-1]}", _PAIR_WEIGHT)]
        forms = (f"{one} {two}" for one in _stems(first) for two in _stems(second))
        concept = next((self._phrases[form] for form in forms if form in self._phrases), None)
        if concept is not None:
            features.append((f"c:{concept}", _CONCEPT_WEIGHT))
        return self._hashed(features)

    def _hashed(self, features: Sequence[tuple[str, float]]) -> _Sparse:
        places = np.empty(len(features), np.int64)
        values = np.empty(len(features), np.float64)
        for i, (feature, weight) in enumerate(features):
            code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
            places[i] = (code >> 1) % self.dimension
            values[i] = weight if code & 1 else -weight
        return places, values


def make_hashing(argument: str = "") -> Embedder:
    """Hashes words and finance synonyms: instant, little paraphrase.

    Raises:
        UsageError: if an argument is given.
    """
    if argument:
        raise UsageError(f"embedder 'hashing' takes nothing, given {argument!r}", mend="give hashing alone")
    return HashingEmbedder()


def _stems(word: str) -> tuple[str, ...]:
    """The word and shorter forms that it may be an inflection of; the last is the shortest."""
    forms = [word]
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        forms.append(word[:-1])
        if word.endswith("ies"):
            forms.append(word[:-3] + "y")
        elif word.endswith("es"):
            forms.append(word[:-2])
    for ending in ("ed", "ing"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            stem = word[: -len(ending)]
            forms.append(stem + "e")
            if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "ls":
                stem = stem[:-1]
            forms.append(stem)
    return tuple(forms)


@cache
def _synonyms() -> tuple[dict[str, str], dict[str, str], str]:
    """Words to concepts, content-word pairs to concepts, and the list's SHA-256."""
    try:
        raw = _SYNONYMS.read_text(encoding="utf-8")
    except OSError as error:
        raise BadFileError(
            f"the synonym list {_SYNONYMS.name} cannot be read: {error}", mend="install varve again"
        ) from error
    words: dict[str, str] = {}
    phrases: dict[str, str] = {}
    for line in raw.splitlines():
        concept, colon, listed = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        for entry in listed.split(","):
            parts = [part for part in entry.split() if part not in _STOP]
            if len(parts) == 1:
                words.setdefault(parts[0], concept.strip())
            elif len(parts) > 1:
                phrases.setdefault(f"{parts[0]} {parts[1]}", concept.strip())
    return words, phrases, hashlib.sha256(raw.encode()).hexdigest()
