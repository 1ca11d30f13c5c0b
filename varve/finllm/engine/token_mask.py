"""Replies that cannot but fit: token masks of llguidance, and the grammars of tool calls.

A grammar is a text; it is compiled once per model and copied for each reply. Near the token limit a reply
is steered to its end: free texts get their closing quote, lists and objects their bracket.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from varve.errors import ModelError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from transformers import PreTrainedTokenizerBase

_KEPT = 64


class Constrainer:
    """Grammars over one tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers.
        vocabulary: width of the model's logits, at least the tokenizer's size.
        end_ids: tokens that end a reply.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary: int, end_ids: frozenset[int]) -> None:
        self._tokenizer, self.vocabulary, self._end_ids = tokenizer, vocabulary, end_ids
        self._lock = threading.RLock()
        self._wrapped: LLTokenizer | None = None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._split: dict[bytes, list[int]] = {}

    def check(self, grammar: str) -> None:
        """Compile a grammar ahead.

        Raises:
            ModelError: if it cannot be.
        """
        self.matcher(grammar)

    def matcher(self, grammar: str) -> LLMatcher:
        """A matcher at the beginning of the grammar."""
        from llguidance import LLMatcher

        with self._lock:
            made = self._compiled.get(grammar)
            if made is None:
                made = LLMatcher(self.wrapped, grammar, log_level=0)
                if made.is_error():
                    raise ModelError(f"the reply's grammar cannot be compiled: {made.get_error()[:300]}")
                self._compiled[grammar] = made
                while len(self._compiled) > _KEPT:
                    self._compiled.popitem(last=False)
            return made.deep_copy()

    def mask(self, matcher: LLMatcher, *, closing: bool) -> torch.Tensor:
        """Which tokens may come next, bool, shape (vocabulary,)."""
        bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: self.vocabulary].astype(bool)
        if closing:
            allowed = self._closing(allowed)
        return torch.from_numpy(allowed)

    def forced(self, matcher: LLMatcher) -> list[int]:
        """Tokens that must come next, split as the tokenizer splits them.

        Where a token of the vocabulary reaches beyond the text that is certain, the model chooses: it may
        have learned to write that longer token.
        """
        certain = bytes(matcher.compute_ff_bytes())
        if not certain:
            return []
        if b"\xff" in certain:  # llguidance's sign of a special token
            tokens = list(matcher.compute_ff_tokens())
            return list(takewhile(self.wrapped.is_special_token, tokens))
        if certain not in self._split:
            self._split[certain] = self._certain_tokens(certain)
        return self._split[certain]

    def _certain_tokens(self, certain: bytes) -> list[int]:
        try:
            text = certain.decode()
        except UnicodeDecodeError:
            return []
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        place = 0
        for index, token in enumerate(tokens):
            # llguidance takes added tokens like <tool_call> for no text, so none is written unasked.
            if self._reaches_beyond(certain[place:]) or self.wrapped.is_special_token(token):
                return tokens[:index]
            place += len(self._texts[token])
        return tokens if place == len(certain) else []

    def _reaches_beyond(self, rest: bytes) -> bool:
        """Whether some token begins with all of ``rest`` and goes on."""
        after = bisect_right(self._sorted, rest)
        return after < len(self._sorted) and self._sorted[after].startswith(rest)

    def consume(self, matcher: LLMatcher, tokens: Sequence[int]) -> None:
        """Go on behind tokens.

        Raises:
            ModelError: if the grammar does not allow them, which is an error of this program.
        """
        if not matcher.consume_tokens(list(tokens)):
            raise ModelError(f"the grammar refused a token that it had allowed: {matcher.get_error()[:300]}")

    def over(self, matcher: LLMatcher) -> bool:
        """Whether nothing may follow."""
        return bool(matcher.is_stopped())

    @property
    def wrapped(self) -> LLTokenizer:
        """The tokenizer as llguidance takes it; made once, which costs about a second for large ones."""
        if self._wrapped is None:
            from llguidance.hf import from_tokenizer

            wrapped = from_tokenizer(self._tokenizer, self.vocabulary, sorted(self._end_ids))
            texts = [bytes(wrapped.decode_bytes([token])) for token in range(self.vocabulary)]
            self._texts, self._sorted = texts, sorted(texts)
            self._ends = np.isin(np.arange(self.vocabulary), sorted(self._end_ids))
            self._quotes = np.array([text[:1] == b'"' for text in texts])
            self._brackets = np.array([text[:1] in (b"]", b"}") for text in texts])
            self._letters = np.array([text == b"e" for text in texts])
            self._wrapped = wrapped
        return self._wrapped

    def special(self, token: int) -> bool:
        """Whether a grammar has to name the token by its number instead of its text."""
        with self._lock:
            return bool(self.wrapped.is_special_token(token))

    def _closing(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of what is allowed, what ends the text or the list that is open; all where nothing does."""
        in_text = bool((allowed & self._letters).any())
        for enders in (self._quotes,) if in_text else (self._ends, self._brackets, self._quotes):
            if (ending := allowed & enders).any():
                return ending
        return allowed
