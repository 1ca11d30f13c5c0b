"""Rows of a batch in one buffer of keys and values: prompts first, then token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from varve.finllm.engine.kv_cache import Pairs, PrefixCache, Tokens, roomy_cache, shared_stems

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from transformers.cache_utils import Cache

LEAST_SHARED = 32
"""Shorter common beginnings are not worth a pass of their own."""
PREFILL_TOKENS = 4096
"""Most tokens, padding included, of one pass over prompts."""


class Forward(Protocol):
    """What a batch needs of the model: one forward pass, and what is known of prompts before it.

    ``batchable``: rows can share a buffer. ``exact``: a row must come out as if it were computed alone.
    ``config``: the transformers configuration. ``prefixes``: keys and values of prompts seen before.
    """

    device: torch.device
    batchable: bool
    exact: bool
    config: PretrainedConfig
    prefixes: PrefixCache

    def forward(
        self, cache: Cache, ids: torch.Tensor, positions: torch.Tensor, valid: torch.Tensor
    ) -> torch.Tensor:
        """Return logits after each row's last token, shape (rows, vocabulary), float32, on the CPU."""
        ...

    def whole_pieces(self, tokens: Tokens) -> tuple[int, Pairs]:
        """Return how many leading tokens are known in whole pieces, with their keys and values."""
        ...


class Batch:
    """Rows in one buffer: prompts computed at construction, tokens appended by :meth:`step`.

    ``logits`` has shape (rows, vocabulary), float32, on the CPU; ``reused`` counts tokens of each prompt
    that were known before. What the prompts of this batch have in common is computed once beside that.
    """

    def __init__(self, host: Forward, prompts: list[Tokens], room: int) -> None:
        self.host, self.device = host, host.device
        self.lengths = [len(one) for one in prompts]
        self.valid = torch.zeros(len(prompts), max(self.lengths), dtype=torch.bool, device=self.device)
        for row, length in enumerate(self.lengths):
            self.valid[row, :length] = True
        self.reused = [0] * len(prompts)
        if host.batchable:
            self._fill_together(prompts, room)
        else:
            self._fill_one(prompts[0])

    def step(self, pending: list[list[int]]) -> torch.Tensor:
        """Append tokens to each row, as many to each; the logits after each row's last."""
        ids = torch.tensor(pending)
        width = ids.shape[1]
        positions = torch.tensor(self.lengths)[:, None] + torch.arange(width)
        self.lengths = [length + width for length in self.lengths]
        self.valid = torch.cat([self.valid, self.valid.new_ones(ids.shape)], dim=1)
        return self.host.forward(self.cache, ids, positions, self.valid)

    def keep(self, rows: list[int]) -> None:
        """Only these rows from now on."""
        chosen = torch.tensor(rows, device=self.device)
        self.lengths = [self.lengths[row] for row in rows]
        self.valid = self.valid[chosen]
        if self.host.batchable:
            for layer in self.cache.layers:
                layer.keep(chosen)

    def _fill_one(self, prompt: Tokens) -> None:
        from transformers import DynamicCache

        self.cache = DynamicCache(config=self.host.config)
        ids = torch.from_numpy(prompt)[None]
        self.logits = self.host.forward(self.cache, ids, torch.arange(len(prompt))[None], self.valid)

    def _fill_together(self, prompts: list[Tokens], room: int) -> None:
        layers = self.host.config.num_hidden_layers
        longest = max(self.lengths)
        self.cache = roomy_cache(layers, longest + room)
        self.reused = [min(self.host.prefixes.longest(one)[0], len(one) - 1) for one in prompts]
        for stem in shared_stems(prompts, LEAST_SHARED):
            if self.host.prefixes.longest(stem)[0] < len(stem) - LEAST_SHARED:
                if self.host.exact:  # so that a row computed alone finds it there
                    length, pairs = self.host.whole_pieces(stem)
                    if length:
                        self.host.prefixes.add(stem[:length], pairs)
                self._fill([stem], None)
        logits: list[torch.Tensor | None] = [None] * len(prompts)
        for part in _parts([len(one) - self.host.prefixes.longest(one)[0] for one in prompts]):
            for row, scores in zip(part, self._fill([prompts[row] for row in part], part), strict=True):
                logits[row] = scores
        for layer in self.cache.layers:
            layer.used = longest
        self.logits = torch.stack([one for one in logits if one is not None])

    def _fill(self, prompts: list[Tokens], rows: list[int] | None) -> torch.Tensor:
        """Compute prompts behind what is known of each, into the buffer's rows and the prefix cache."""
        known = [self.host.prefixes.longest(one) for one in prompts]
        # At least the last token is computed: its logits are wanted.
        spans = [min(length, len(one) - 1) for (length, _), one in zip(known, prompts, strict=True)]
        before, width = max(spans), max(len(one) - span for one, span in zip(prompts, spans, strict=True))
        cache = roomy_cache(self.host.config.num_hidden_layers, before + width)
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        positions = torch.zeros(len(prompts), width, dtype=torch.long)
        valid = torch.zeros(len(prompts), before + width, dtype=torch.bool)
        for row, (prompt, span) in enumerate(zip(prompts, spans, strict=True)):
            fresh = len(prompt) - span
            ids[row, width - fresh :] = torch.from_numpy(prompt[span:])
            positions[row, width - fresh :] = torch.arange(span, len(prompt))
            valid[row, :span] = True
            valid[row, before + width - fresh :] = True
        if before:
            put_known(cache, [pairs for _, pairs in known], spans, before)
        logits = self.host.forward(cache, ids, positions, valid)
        for row, (prompt, span) in enumerate(zip(prompts, spans, strict=True)):
            pairs = row_pairs(cache, row, span, before + width - (len(prompt) - span))
            self.host.prefixes.add(prompt, pairs)
            if rows is not None:
                _put_row(self.cache, len(self.lengths), rows[row], pairs)
        return logits


def put_known(cache: Cache, known: list[Pairs], spans: list[int], before: int) -> None:
    """Write known beginnings, rows × before, holes where a row knows less."""
    shape = next(pairs for pairs, span in zip(known, spans, strict=True) if span)
    for index, layer in enumerate(cache.layers):
        keys, values = shape[index]
        layer.lazy_initialization(
            keys.new_empty(len(known), keys.shape[0], 0, keys.shape[2]),
            values.new_empty(len(known), values.shape[0], 0, values.shape[2]),
        )
        for row, (pairs, span) in enumerate(zip(known, spans, strict=True)):
            if span:
                layer.keys[row, :, :span] = pairs[index][0][:, :span]
                layer.values[row, :, :span] = pairs[index][1][:, :span]
        layer.used = before


def row_pairs(cache: Cache, row: int, span: int, fresh_from: int) -> Pairs:
    """A row of a cache without its holes; copies."""
    found = []
    for layer in cache.layers:
        parts = (
            torch.cat([held[row, :, :span], held[row, :, fresh_from : layer.used]], dim=1)
            for held in (layer.keys, layer.values)
        )
        found.append((next(parts), next(parts)))
    return found


def _put_row(cache: Cache, rows: int, row: int, pairs: Pairs) -> None:
    for layer, (keys, values) in zip(cache.layers, pairs, strict=True):
        if not layer.is_initialized:
            layer.lazy_initialization(
                keys.new_empty(rows, keys.shape[0], 0, keys.shape[2]),
                values.new_empty(rows, values.shape[0], 0, values.shape[2]),
            )
        layer.keys[row, :, : keys.shape[1]] = keys
        layer.values[row, :, : values.shape[1]] = values


def mask(valid: torch.Tensor, queries: int) -> torch.Tensor:
    """Which places each query sees, shape (rows, 1, queries, places): tokens up to itself, and itself.

    Queries that are holes see themselves, since a softmax over nothing is not a number.
    """
    places = valid.shape[1]
    if queries == 1:
        return valid[:, None, None, :]
    order = torch.arange(places, device=valid.device)
    at = order[places - queries :, None]
    return ((valid[:, None, :] & (order <= at)) | (order == at))[:, None]


def _parts(widths: list[int]) -> list[list[int]]:
    """Rows in parts of like width, each at most ``PREFILL_TOKENS`` with padding."""
    parts: list[list[int]] = []
    for row in sorted(range(len(widths)), key=lambda row: widths[row]):
        if parts and widths[row] * (len(parts[-1]) + 1) <= PREFILL_TOKENS:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts
