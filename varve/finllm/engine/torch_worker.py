"""A decoder of torch and transformers as the engine's worker, on CPU and CUDA by the same code.

Rows of a batch lie in one buffer of keys and values, each with holes where others are longer; a mask
says which places hold tokens, and positions are given per token. So a row is computed as if alone, but
for the last bits of its sums. On CPU in float32 even those decide nothing: where the two likeliest tokens
nearly tie (``engine_rows.TIE``, a hundred times the error seen), the row is computed anew alone, and that
decides: always in the same pieces, so that what is known of a piece from before is the same to the bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from varve.errors import ModelError
from varve.finllm.engine.batch import Batch, mask, put_known, row_pairs
from varve.finllm.engine.kv_cache import Pairs, PrefixCache, Tokens, roomy_cache
from varve.finllm.engine.paged_cuda import continuous
from varve.finllm.engine.queue import Generated, GenerationRequest, Request, Scored, ScoreRequest
from varve.finllm.engine.rows import Row, choose
from varve.finllm.engine.token_mask import Constrainer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.cache_utils import Cache

PREFIX_BYTES = 512 * 2**20
PIECE = 256
"""Tokens of one pass where a row is computed alone."""
PIECES_BYTES = 128 * 2**20
MOST_PLACES = 2
"""Most places of a batch for each token of its prompts; above, long rows go in a batch of their own."""
KEEP_BELOW = 0.75
"""Ended rows are left out, which copies the buffer, when so many of the rows are left."""


class HostedModel:
    """The worker of an :class:`~varve.finllm.engine.queue.Engine`.

    Args:
        model: a transformers causal language model in evaluation mode, on its device.
        tokenizer: its fast tokenizer.
        context: most tokens of prompt and reply together; the config's where None.
        prefix_bytes: most memory of prompts kept for reuse.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        context: int | None = None,
        prefix_bytes: int = PREFIX_BYTES,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device = next(model.parameters()).device
        self.config = model.config.get_text_config()
        self.context = context or int(getattr(self.config, "max_position_embeddings", 0) or 4096)
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        self.end_ids = _end_ids(model, tokenizer)
        if self.device.type == "cpu":
            # Else transformers copies shared heads of keys and values for each query head wherever a mask is
            # given; torch's kernel for CPUs needs no copy, that for CUDA does.
            os.environ.setdefault("TRANSFORMERS_SDPA_FORCE_GQA", "1")
        self.exact = self.device.type == "cpu" and model.dtype in (torch.float32, torch.float64)
        kinds = set(getattr(self.config, "layer_types", None) or ["full_attention"])
        # Windows and recurrent states count places, holes too: such models go row by row.
        self.batchable = kinds == {"full_attention"} and not getattr(self.config, "sliding_window", None)
        self.prefixes = PrefixCache(prefix_bytes)
        self.pieces = PrefixCache(PIECES_BYTES)
        self.paged = continuous(model)
        self.constrainer = Constrainer(tokenizer, self.vocabulary, self.end_ids)

    def check(self, request: Request) -> None:
        """Refuse what does not fit the context, and grammars that cannot be compiled.

        Raises:
            ModelError: saying by how much, or why.
        """
        if isinstance(request, GenerationRequest):
            longest, more = len(request.prompt_ids), request.max_new_tokens
            if request.grammar is not None:
                self.constrainer.check(request.grammar)
            prompts: tuple[tuple[int, ...], ...] = (request.prompt_ids,)
        else:
            longest, more, prompts = max(map(len, request.prompts), default=0), 1, request.prompts
        if not all(prompts):
            raise ModelError("an empty prompt; at least one token expected")
        if longest + more > self.context:
            raise ModelError(
                f"{longest} tokens of prompt and {more} of reply do not fit the model's context of "
                f"{self.context}",
                mend="show less per day (for FinMem: --set top_k=..., max_news=...), or use another model",
            )

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[GenerationRequest], alive: Callable[[int], bool]
    ) -> list[Generated | None]:
        """One reply each, in one batch; on CUDA those that paged attention can take go that way."""
        made: list[Generated | None] = [None] * len(requests)
        paged = [place for place, one in enumerate(requests) if self.paged and self.paged.takes(one)]
        if self.paged and paged:
            asked = [requests[place] for place in paged]
            replies = self.paged.generate(asked, self.end_ids, self._text, lambda index: alive(paged[index]))
            for place, reply in zip(paged, replies, strict=True):
                made[place] = reply
        rows = [
            Row(index, one, self.constrainer, self.end_ids)
            for index, one in enumerate(requests)
            if index not in paged
        ]
        lengths = [len(row.request.prompt_ids) for row in rows]
        for group in _alike(lengths) if self.batchable else [[place] for place in range(len(rows))]:
            self._decode([rows[place] for place in group], alive)
        for row in rows:
            made[row.index] = None if row.dropped else self._generated(row)
        return made

    @torch.inference_mode()
    def score(self, requests: Sequence[ScoreRequest]) -> list[Scored]:
        """Log-probabilities of labels, in one batch."""
        prompts = [_tokens(prompt) for one in requests for prompt in one.prompts]
        logits, reused = self._first_logits(prompts)
        results, start = [], 0
        for one in requests:
            end = start + len(one.prompts)
            table = _label_table(logits[start:end], one.labels)
            if self.exact and one.doubtful is not None and one.doubtful(table):
                alone = torch.stack([self._alone(prompt) for prompt in prompts[start:end]])
                table = _label_table(alone, one.labels)
            asked = sum(len(prompt) for prompt in one.prompts)
            results.append(Scored(tuple(map(tuple, table)), asked, sum(reused[start:end])))
            start = end
        return results

    def out_of_memory(self, error: BaseException) -> bool:
        """As :class:`~varve.finllm.engine.queue.Worker` has it."""
        text = str(error)
        short = isinstance(error, MemoryError | torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and ("out of memory" in text or "not enough memory" in text)
        )
        if short:
            self.prefixes.clear()
            self.pieces.clear()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return short

    def lost(self, error: BaseException) -> bool:
        """As :class:`~varve.finllm.engine.queue.Worker` has it."""
        kind = getattr(torch, "AcceleratorError", ())
        return isinstance(error, kind) or (isinstance(error, RuntimeError) and "CUDA error" in str(error))

    def _generated(self, row: Row) -> Generated:
        text = self._text(row.written)
        return Generated(tuple(row.out), text, row.finish, len(row.request.prompt_ids), row.reused)

    def _text(self, tokens: Sequence[int]) -> str:
        """Special tokens stay: families mark their calls with them."""
        decoded = self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(decoded)

    def _decode(self, rows: list[Row], alive: Callable[[int], bool]) -> None:
        """Prompts, then token by token until every row has ended."""
        prompts = [_tokens((*row.request.prompt_ids, *row.out)) for row in rows]
        room = max(row.request.max_new_tokens for row in rows)
        batch = Batch(self, prompts, room)
        for row, reused in zip(rows, batch.reused, strict=True):
            row.reused = reused
        active, logits = rows, batch.logits
        while True:
            for row, scores in zip(active, logits, strict=True):
                if row.ended or row.pending:
                    continue
                if not alive(row.index):
                    row.dropped = row.ended = True
                else:
                    choose(row, scores, self._settle if self.exact else None)
            kept = [place for place, row in enumerate(active) if not row.ended]
            if not kept:
                return
            if len(kept) <= KEEP_BELOW * len(active):
                batch.keep(kept)
                active = [active[place] for place in kept]
            # As many tokens as every row has to read, so that none is padded; a row with more goes on reading
            # while others choose. One that has ended goes on with anything until it pays to leave it out.
            width = min(len(row.pending) for row in active if not row.ended)
            logits = batch.step([[0] * width if row.ended else row.take_pending(width) for row in active])

    def _settle(self, row: Row) -> torch.Tensor:
        """Logits of a row computed alone."""
        return self._alone(_tokens((*row.request.prompt_ids, *row.out)))

    def _alone(self, tokens: Tokens) -> torch.Tensor:
        """Logits after the last token; they depend on the tokens alone."""
        if not self.batchable:
            ids = torch.from_numpy(tokens)[None].to(self.device)
            return self.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1].float().cpu()  # type: ignore[no-any-return]
        span, pairs = self.whole_pieces(tokens)
        cache = self._begun(pairs, span, len(tokens))
        return self._append(cache, tokens, span, len(tokens))[0]

    def whole_pieces(self, tokens: Tokens) -> tuple[int, Pairs]:
        """How many tokens the whole pieces before the last token have, and their keys and values."""
        whole = (len(tokens) - 1) // PIECE * PIECE
        known, pairs = self.pieces.longest(tokens[:whole])
        span = known // PIECE * PIECE
        if span < whole:
            cache = self._begun(pairs, span, whole)
            for start in range(span, whole, PIECE):
                self._append(cache, tokens, start, start + PIECE)
            pairs = row_pairs(cache, 0, 0, 0)
            self.pieces.add(tokens[:whole], pairs)
        return whole, pairs

    def _begun(self, pairs: Pairs, span: int, room: int) -> Cache:
        """A cache of one row that holds the first ``span`` tokens."""
        cache = roomy_cache(self.config.num_hidden_layers, room)
        if span:
            put_known(cache, [pairs], [span], span)
        return cache

    def _append(self, cache: Cache, tokens: Tokens, start: int, end: int) -> torch.Tensor:
        """One pass over a part of a row that is alone in its cache."""
        ids, positions = torch.from_numpy(tokens[start:end])[None], torch.arange(start, end)[None]
        return self.forward(cache, ids, positions, torch.ones(1, end, dtype=torch.bool))

    def forward(
        self, cache: Cache, ids: torch.Tensor, positions: torch.Tensor, valid: torch.Tensor
    ) -> torch.Tensor:
        """One pass; logits of the last place of each row, float32, on the CPU."""
        seen = mask(valid.to(self.device), ids.shape[1]) if self.batchable else None
        out = self.model(
            input_ids=ids.to(self.device),
            position_ids=positions.to(self.device),
            attention_mask=seen,
            use_cache=True,
            logits_to_keep=1,
            **{_cache_name(self.model): cache},
        )
        return out.logits[:, -1].float().cpu()  # type: ignore[no-any-return]

    def _first_logits(self, prompts: list[Tokens]) -> tuple[torch.Tensor, list[int]]:
        if not self.batchable:
            return torch.stack([self._alone(one) for one in prompts]), [0] * len(prompts)
        batch = Batch(self, prompts, 0)
        return batch.logits, batch.reused


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Numbers of rows in groups, shortest first; one long row would make all slow.

    Every row of a batch has as many places as the longest has tokens: at most ``MOST_PLACES`` for each token.
    """
    left, groups = sorted(range(len(lengths)), key=lambda place: lengths[place]), []
    while left:
        group = left
        while len(group) * lengths[group[-1]] > MOST_PLACES * sum(lengths[place] for place in group):
            group = group[:-1]
        groups.append(group)
        left = left[len(group) :]
    return groups


def _label_table(logits: torch.Tensor, labels: Sequence[Sequence[int]]) -> list[list[float]]:
    logs = torch.log_softmax(logits.double(), dim=-1)
    return [[float(row[label]) for label in ids] for row, ids in zip(logs, labels, strict=True)]


def _tokens(ids: Sequence[int]) -> Tokens:
    return np.asarray(ids, dtype=np.int64)


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    given = getattr(model.generation_config, "eos_token_id", None)
    many = given if isinstance(given, list) else [given]
    return frozenset(one for one in [*many, tokenizer.eos_token_id] if one is not None)


def _cache_name(model: PreTrainedModel) -> str:
    """How the model's forward calls its cache: the name changed in transformers 5."""
    import inspect

    names = inspect.signature(type(model).forward).parameters
    return "cache" if "cache" in names else "past_key_values"
