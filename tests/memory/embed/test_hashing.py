"""The hashing embedder: unit vectors, the same everywhere, near for shared words and listed synonyms."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varve.errors import UnknownNameError
from varve.memory import Embedder, HashingEmbedder, get_embedder

PINNED = "Tesla's Q3 deliveries beat estimates; shares jump 5%"


def cosine(embedder, one, other):
    first, second = embedder.embed([one, other])
    return float(first @ second)


def test_it_is_an_embedder_and_is_found_by_name():
    embedder = get_embedder("hashing")
    assert isinstance(embedder, Embedder)
    assert isinstance(embedder, HashingEmbedder)
    assert (embedder.name, embedder.dimension) == ("hashing", 384)
    with pytest.raises(UnknownNameError, match="did you mean 'hashing'"):
        get_embedder("hashng")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=20))
def test_vectors_are_unit_and_do_not_hang_on_the_batch(texts):
    batch = HashingEmbedder().embed(texts)
    assert batch.shape == (len(texts), 384)
    assert batch.dtype == np.float32
    assert np.abs(np.linalg.norm(batch, axis=1) - 1).max() < 1e-5
    single = HashingEmbedder()
    for text, vector in zip(texts, batch, strict=True):
        assert (single.embed([text])[0] == vector).all()


def test_vectors_do_not_hang_on_the_hash_seed():
    code = (
        "import hashlib; from varve.memory import HashingEmbedder as H; e = H();"
        f"print(hashlib.sha256(e.embed([{PINNED!r}]).tobytes()).hexdigest(), e.fingerprint)"
    )
    out = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    embedder = HashingEmbedder()
    mine = hashlib.sha256(embedder.embed([PINNED]).tobytes()).hexdigest()
    assert out == {f"{mine} {embedder.fingerprint}\n"}


def test_shared_words_and_synonyms_are_near_and_other_subjects_are_not():
    embedder = HashingEmbedder()
    headline = "Tesla shares surge after earnings beat"
    assert cosine(embedder, headline, "Tesla stock jumps as profit tops estimates") > 0.3
    assert cosine(embedder, headline, "Tesla share surges after an earnings beat") > 0.8
    assert abs(cosine(embedder, headline, "Apple unveils a new phone in Cupertino")) < 0.2


def test_opposite_words_are_not_synonyms():
    embedder = HashingEmbedder()
    rises = cosine(embedder, "Netflix stock climbs", "Netflix stock jumps")
    falls = cosine(embedder, "Netflix stock climbs", "Netflix stock plunges")
    assert rises > falls + 0.15


def test_the_cache_gives_the_same_vectors_and_stays_small():
    embedder = HashingEmbedder(cache_size=10)
    texts = [f"headline {i}" for i in range(50)]
    first = embedder.embed(texts)
    assert len(embedder._vectors) == 10
    assert (embedder.embed(texts) == first).all()
    first[:] = 0  # what was handed out is not the cache
    assert (embedder.embed(texts) == HashingEmbedder().embed(texts)).all()


def test_an_empty_batch_has_no_rows():
    assert HashingEmbedder().embed([]).shape == (0, 384)


def test_features_that_cancel_still_give_a_unit_vector(monkeypatch):
    embedder = HashingEmbedder()
    places, values = np.array([3, 3]), np.array([1.0, -1.0])
    monkeypatch.setattr(embedder, "_features", lambda text: [(places, values)])
    assert np.linalg.norm(embedder.embed(["a", "b"]), axis=1).tolist() == [1.0, 1.0]
