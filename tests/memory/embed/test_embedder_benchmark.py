"""The benchmark of embedders: whole pairs, and figures that an embedder can be wrong in."""

import numpy as np

from benchmarks.embedders import evaluate, pairs, run, without_names
from varve.memory import HashingEmbedder


class Rows:
    """Gives the i-th of n texts the i-th unit vector, moved on by ``shift``."""

    dimension, name, fingerprint = 8, "rows", "rows-1"

    def __init__(self, shift):
        self.shift, self.calls = shift, 0

    def embed(self, texts):
        self.calls += 1
        return np.roll(np.eye(8, dtype=np.float32)[: len(texts)], self.shift * (self.calls % 2), axis=1)


def test_there_are_more_than_a_hundred_pairs_and_no_text_stands_twice():
    found = pairs()
    texts = [text for pair in found for text in pair]
    assert len(found) >= 100
    assert all(text == text.strip() and len(text.split()) > 3 for text in texts)
    assert len({text.casefold() for text in texts}) == 2 * len(found)


def test_figures_are_those_of_the_ranks():
    queries, headlines = ([f"{side}{n}" for n in range(8)] for side in "qh")
    assert evaluate(Rows(0), queries, headlines) == (1.0, 1.0, 1.0)
    # every right headline ties with six wrong ones at 0, and one is nearer
    assert evaluate(Rows(1), queries, headlines) == (0.0, 0.0, 1 / 8)


def test_names_go_from_both_sides():
    headlines = ["Abel Motors's plant burns", "Home sales sink"]
    assert without_names(["A fire at Abel Motors", "Abel Motors' luck"], headlines) == [
        "A fire at the firm",
        "the firm' luck",
    ]


def test_names_alone_do_not_find_the_headline():
    headlines, paraphrases = (list(side) for side in zip(*pairs(), strict=True))
    named = evaluate(HashingEmbedder(), paraphrases, headlines)
    bare = evaluate(
        HashingEmbedder(), without_names(paraphrases, headlines), without_names(headlines, headlines)
    )
    assert 0.01 < bare.recall_1 < named.recall_1 < 0.5
    assert len(run(("hashing",))) == 7


def test_an_embedder_that_cannot_be_had_is_left_out_and_said_to_be(capsys):
    assert run(("hf:/no/such/folder",)) == []
    assert "there is no folder" in capsys.readouterr().err
