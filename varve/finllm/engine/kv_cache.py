"""Keys and values of attention: a growing buffer for one batch, and those of prompts seen before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import Cache, CacheLayerMixin

Tokens = NDArray[np.int64]
Pairs = list[tuple[torch.Tensor, torch.Tensor]]
"""Per layer keys and values of one row, each of shape (heads, length, width)."""


class RoomyLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of a layer in a buffer of room for ``capacity`` tokens.

    transformers' own layer copies everything at every token; this one writes in place.
    """

    is_sliding = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.used = capacity, 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make the buffers; shape (rows, heads, capacity, width)."""
        rows, heads, _, width = key_states.shape
        self.keys = key_states.new_zeros(rows, heads, self.capacity, width)
        self.values = value_states.new_zeros(rows, heads, self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write behind what is there; all that is there now."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.used + key_states.shape[2]
        if end > self.capacity:
            self._grow(end)
        self.keys[:, :, self.used : end] = key_states
        self.values[:, :, self.used : end] = value_states
        self.used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def _grow(self, needed: int) -> None:
        self.capacity = needed + needed // 2
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros(*old.shape[:2], self.capacity, old.shape[3])
            new[:, :, : self.used] = old[:, :, : self.used]
            setattr(self, name, new)

    def keep(self, rows: torch.Tensor) -> None:
        """Only these rows from now on."""
        self.keys, self.values = self.keys[rows], self.values[rows]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys, for masks."""
        return self.used + query_length, 0

    def get_seq_length(self) -> int:
        """Tokens held."""
        return self.used

    def get_max_length(self) -> int:
        """No limit: the buffer grows."""
        return -1


def roomy_cache(layers: int, capacity: int) -> Cache:
    """An empty cache of that many layers."""
    return Cache(layers=[RoomyLayer(capacity) for _ in range(layers)])


class PrefixCache:
    """Keys and values of prompts, least recently used first out; any beginning of an entry can be reused.

    Args:
        max_bytes: of all entries together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._entries: OrderedDict[bytes, tuple[Tokens, Pairs, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def longest(self, tokens: Tokens) -> tuple[int, Pairs]:
        """How many tokens at the beginning are known, and an entry that has them (it may be longer)."""
        best, found = 0, None
        for key, (known, _, _) in self._entries.items():
            if best >= min(len(known), len(tokens)) or known[best] != tokens[best]:
                continue  # no longer than the best so far
            length = common_prefix(known, tokens)
            if length > best:
                best, found = length, key
        if found is None:
            return 0, []
        self._entries.move_to_end(found)
        return best, self._entries[found][1]

    def add(self, tokens: Tokens, pairs: Pairs) -> None:
        """Keep an entry, its tensors as they are; one too big for the cache is not kept."""
        size = sum(part.numel() * part.element_size() for pair in pairs for part in pair)
        key = tokens.tobytes()
        if size > self.max_bytes or key in self._entries:
            return
        self._entries[key] = (tokens, pairs, size)
        self.bytes += size
        while self.bytes > self.max_bytes:
            _, (_, _, gone) = self._entries.popitem(last=False)
            self.bytes -= gone

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.bytes = 0


def common_prefix(one: Tokens, other: Tokens) -> int:
    """Length of what both begin with."""
    shorter = min(len(one), len(other))
    differing = np.flatnonzero(one[:shorter] != other[:shorter])
    return int(differing[0]) if len(differing) else shorter


def shared_stems(prompts: Sequence[Tokens], least: int) -> list[Tokens]:
    """Beginnings that two or more prompts share and that are ``least`` tokens longer than their parent's.

    Parents stand before their children. Every stem is shorter than each of its prompts.
    """
    stems: list[Tokens] = []
    todo = [(list(prompts), 0)]
    while todo:
        group, known = todo.pop()
        if len(group) < 2:
            continue
        length = min(common_prefix(group[0], other) for other in group[1:])
        length = min(length, *(len(one) - 1 for one in group))
        if length >= known + least:
            stems.append(group[0][:length])
            known = length
        children: dict[int, list[Tokens]] = {}
        for one in group:
            children.setdefault(int(one[length]), []).append(one)
        if len(children) > 1:
            todo += [(child, known) for child in children.values()]
    return stems
