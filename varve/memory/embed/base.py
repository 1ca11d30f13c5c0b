"""Text to vectors. :class:`Embedder` is the seam; :class:`HashingEmbedder` needs no model and no download."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from varve import registry
from varve.errors import DataError

Vectors = NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors; equal text gives equal vectors, whatever else is in the batch.

    ``fingerprint`` changes whenever vectors would; ``dimension`` is their length.
    """

    @property
    def name(self) -> str:
        """The registered name."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identity of everything that a vector depends on, beside the text."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape (len(texts), dimension), float32, each row of length 1."""
        ...


@cache
def get_embedder(spec: str) -> Embedder:
    """The embedder that ``spec`` names, ``name`` or ``name:argument``; one per process, to share its cache.

    ``name`` is looked up in the registry group ``embedders``; what is registered there is a factory
    ``make(argument)``, and ``argument`` is empty where the spec has none.

    Raises:
        UnknownNameError: if there is none; near names are suggested.
        VarveError: if it cannot be had: an extra is missing, a folder is not there.
    """
    name, _, argument = spec.partition(":")
    made: Embedder = registry.load("embedders", name)(argument)
    return made


def checked_vectors(vectors: object, count: int, dimension: int, source: str) -> Vectors:
    """``vectors`` as float32 of shape (count, dimension).

    Raises:
        DataError: for another shape, for NaN or infinite parts, or rows not of length 1.
    """
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.shape != (count, dimension):
        raise DataError(
            f"{source} gave vectors of shape {array.shape}, expected {(count, dimension)}",
            mend="use the embedder that this memory was made with",
        )
    # a NaN anywhere makes its row's length NaN, which is not within bounds either
    within = np.abs(np.einsum("ij,ij->i", array, array) - 1.0) <= 1e-3
    if within.all():
        return array
    if not np.isfinite(array).all():
        raise DataError(
            f"{source} gave a vector with NaN or infinite parts",
            mend="look at the text or the model behind it",
        )
    raise DataError(
        f"{source} gave a vector that is not of length 1", mend="divide each vector by its Euclidean norm"
    )
