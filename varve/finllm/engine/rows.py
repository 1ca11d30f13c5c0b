"""One row of a batch: what it has written, and how its next token is chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from varve.finllm.engine.queue import GenerationRequest
from varve.finllm.engine.token_mask import Constrainer

TIE = 1e-4
"""Two logits nearer than this, relative to the greater, are told apart by computing the row alone."""
CLOSING_TOKENS = 96
"""So many tokens before its limit a constrained reply is steered to its end."""


class Row:
    """State of one request while it is answered."""

    def __init__(
        self, index: int, request: GenerationRequest, constrainer: Constrainer, end_ids: frozenset[int]
    ) -> None:
        self.index, self.request, self.end_ids = index, request, end_ids
        self.out: list[int] = []
        self.pending: list[int] = []
        self.ended = self.dropped = False
        self.finish: Literal["stop", "length"] = "stop"
        self.reused = 0
        self._constrainer = constrainer
        self._matcher = None if request.grammar is None else constrainer.matcher(request.grammar)
        self._noise = None
        if request.temperature > 0:
            self._noise = torch.Generator().manual_seed(request.seed)
        self._forced()
        self.pending.clear()  # what a reply has to begin with is read with the prompt

    @property
    def written(self) -> list[int]:
        """The reply's tokens without the one that ended it."""
        return self.out[:-1] if self.out and self.out[-1] in self.end_ids else self.out

    def take_pending(self, count: int) -> list[int]:
        """The first so many of the tokens written that the model has not read yet."""
        taken, self.pending = self.pending[:count], self.pending[count:]
        return taken

    def allowed(self) -> torch.Tensor | None:
        """Which tokens may come, None for all."""
        if self._matcher is None:
            return None
        left = self.request.max_new_tokens - len(self.out)
        closing = left <= min(CLOSING_TOKENS, self.request.max_new_tokens // 2)
        return self._constrainer.mask(self._matcher, closing=closing)

    def noise(self, size: int) -> torch.Tensor | None:
        """Gumbel noise for the next token: the likeliest of logits ÷ temperature + noise is a fair draw."""
        if self._noise is None:
            return None
        uniform = torch.rand(size, generator=self._noise, dtype=torch.float64).clamp_min(1e-300)
        return -torch.log((-torch.log(uniform)).clamp_min(1e-300))

    def append(self, token: int) -> None:
        """Take the chosen token, and those that must follow it."""
        self.out.append(token)
        self.pending.append(token)
        if self._matcher is not None:
            self._constrainer.consume(self._matcher, [token])
            self.ended = self._constrainer.over(self._matcher)
            if not self.ended:
                self._forced()
        elif token in self.end_ids:
            self.ended = True
        if not self.ended and len(self.out) >= self.request.max_new_tokens:
            self.ended, self.finish = True, "length"

    def _forced(self) -> None:
        if self._matcher is None:
            return
        forced = self._constrainer.forced(self._matcher)[: self.request.max_new_tokens - len(self.out)]
        if forced:
            self._constrainer.consume(self._matcher, forced)
            self.out += forced
            self.pending += forced
            self.ended = self._constrainer.over(self._matcher)


def choose(row: Row, logits: torch.Tensor, alone: Callable[[Row], torch.Tensor] | None) -> None:
    """Append the next token by the logits (shape (vocabulary,), float32).

    Args:
        alone: logits of the row computed alone; asked where two tokens nearly tie. None takes the logits
            as they are.
    """
    if row.ended:
        return
    allowed, noise = row.allowed(), row.noise(len(logits))
    scores = _scores(logits, row.request.temperature, noise, allowed)
    if alone is not None and len(scores) > 1:
        first, second = torch.topk(scores, 2).values.tolist()
        if first - second < TIE * max(1.0, abs(first)):
            scores = _scores(alone(row), row.request.temperature, noise, allowed)
    row.append(int(np.argmax(scores.numpy())))


def _scores(
    logits: torch.Tensor, temperature: float, noise: torch.Tensor | None, allowed: torch.Tensor | None
) -> torch.Tensor:
    scores = logits.double()
    if noise is not None:
        scores = scores / temperature + noise
    if allowed is not None:
        scores = scores.masked_fill(~allowed, float("-inf"))
    return scores
