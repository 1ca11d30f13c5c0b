"""A decoder of torch and transformers as the engine's worker, on CPU and CUDA by the same code.

Rows of a batch lie in one buffer of keys and values, each with holes where others are longer; a mask
says which places hold tokens, and positions are given per token. So a row is computed as if alone, but
for the last bits of its sums. On CPU in float32 even those decide nothing: where the two likeliest tokens
nearly tie (``engine_rows.TIE``, a hundred times the error seen), the row is computed anew alone,
without batch or cache, and that decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from varve.errors import ModelError
from varve.finllm.constrain import Constrainer
from varve.finllm.engine import Generated, GenerationRequest, Request, Scored, ScoreRequest
from varve.finllm.engine_cuda import continuous
from varve.finllm.engine_kv import (
    Pairs,
    PrefixCache,
    Tokens,
    roomy_cache,
    shared_stems,
)
from varve.finllm.engine_rows import Row, choose

PREFIX_BYTES = 512 * 2**20
LEAST_SHARED = 32
"""Shorter common beginnings are not worth a pass of their own."""
PREFILL_TOKENS = 4096
"""Most tokens, padding included, of one pass over prompts."""
KEEP_BELOW = 0.75
"""Ended rows are left out, which copies the buffer, when so many of the rows are left."""


class HostedModel:
    """The worker of an :class:`~varve.finllm.engine.Engine`.

    Args:
        model: a transformers causal language model in evaluation mode, on its device.
        tokenizer: its fast tokenizer.
        context: most tokens of prompt and reply together; the config's where None.
        prefix_bytes: most memory of prompts kept for reuse.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, context: int | None = None, prefix_bytes: int = PREFIX_BYTES
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device = next(model.parameters()).device
        self.config = model.config.get_text_config()
        self.context = context or int(getattr(self.config, "max_position_embeddings", 0) or 4096)
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        self.end_ids = _end_ids(model, tokenizer)
        self.exact = self.device.type == "cpu" and model.dtype in (torch.float32, torch.float64)
        kinds = set(getattr(self.config, "layer_types", None) or ["full_attention"])
        # Windows and recurrent states count places, holes too: such models go row by row.
        self.batchable = kinds == {"full_attention"} and not getattr(self.config, "sliding_window", None)
        self.prefixes = PrefixCache(prefix_bytes)
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
        groups = [rows] if self.batchable else [[row] for row in rows]
        for group in filter(None, groups):
            self._decode(group, alive)
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
        """As :class:`~varve.finllm.engine.Worker` has it."""
        text = str(error)
        short = isinstance(error, MemoryError | torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and ("out of memory" in text or "not enough memory" in text)
        )
        if short:
            self.prefixes.clear()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return short

    def lost(self, error: BaseException) -> bool:
        """As :class:`~varve.finllm.engine.Worker` has it."""
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
        batch = _Batch(self, prompts, room)
        for row, reused in zip(rows, batch.reused, strict=True):
            row.reused = reused
        active, logits = rows, batch.logits
        while True:
            for row, scores in zip(active, logits, strict=True):
                if row.ended:
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
            # A row that has ended goes on with anything until it pays to leave it out.
            logits = batch.step([row.take_pending() or [0] for row in active])

    def _settle(self, row: Row) -> torch.Tensor:
        """Logits of a row computed alone."""
        return self._alone(_tokens((*row.request.prompt_ids, *row.out)))

    def _alone(self, tokens: Tokens) -> torch.Tensor:
        ids = torch.from_numpy(tokens)[None].to(self.device)
        out = self.model(input_ids=ids, use_cache=False, logits_to_keep=1)
        return out.logits[0, -1].float().cpu()  # type: ignore[no-any-return]

    def _first_logits(self, prompts: list[Tokens]) -> tuple[torch.Tensor, list[int]]:
        if not self.batchable:
            return torch.stack([self._alone(one) for one in prompts]), [0] * len(prompts)
        batch = _Batch(self, prompts, 0)
        return batch.logits, batch.reused


class _Batch:
    """Rows in one buffer: prompts computed at construction, tokens appended by :meth:`step`.

    ``logits`` has shape (rows, vocabulary), float32, on the CPU; ``reused`` counts tokens of each prompt
    that were known before. What the prompts of this batch have in common is computed once beside that.
    """

    def __init__(self, host: HostedModel, prompts: list[Tokens], room: int) -> None:
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
        """Append tokens to each row (at least one each); the logits after each row's last."""
        width = max(map(len, pending))
        ids = torch.zeros(len(pending), width, dtype=torch.long)
        positions = torch.zeros(len(pending), width, dtype=torch.long)
        real = torch.zeros(len(pending), width, dtype=torch.bool)
        for row, tokens in enumerate(pending):
            ids[row, width - len(tokens) :] = torch.tensor(tokens)
            start = self.lengths[row]
            positions[row, width - len(tokens) :] = torch.arange(start, start + len(tokens))
            real[row, width - len(tokens) :] = True
            self.lengths[row] += len(tokens)
        self.valid = torch.cat([self.valid, real.to(self.device)], dim=1)
        return self._forward(self.cache, ids, positions, self.valid)

    def keep(self, rows: list[int]) -> None:
        """Only these rows from now on."""
        chosen = torch.tensor(rows, device=self.device)
        self.lengths = [self.lengths[row] for row in rows]
        self.valid = self.valid[chosen]
        if self.host.batchable:
            for layer in self.cache.layers:
                layer.keep(chosen)

    def _forward(
        self, cache: Any, ids: torch.Tensor, positions: torch.Tensor, valid: torch.Tensor
    ) -> torch.Tensor:
        """One pass of the model; logits of the last place of each row."""
        host = self.host
        mask = _mask(valid, ids.shape[1]) if host.batchable else None
        out = host.model(
            input_ids=ids.to(self.device),
            position_ids=positions.to(self.device),
            attention_mask=mask,
            use_cache=True,
            logits_to_keep=1,
            **{_cache_name(host.model): cache},
        )
        return out.logits[:, -1].float().cpu()  # type: ignore[no-any-return]

    def _fill_one(self, prompt: Tokens) -> None:
        from transformers import DynamicCache

        self.cache = DynamicCache(config=self.host.config)
        ids = torch.from_numpy(prompt)[None]
        self.logits = self._forward(self.cache, ids, torch.arange(len(prompt))[None], self.valid)

    def _fill_together(self, prompts: list[Tokens], room: int) -> None:
        layers = self.host.config.num_hidden_layers
        longest = max(self.lengths)
        self.cache = roomy_cache(layers, longest + room)
        self.reused = [min(self.host.prefixes.longest(one)[0], len(one) - 1) for one in prompts]
        for stem in shared_stems(prompts, LEAST_SHARED):
            if self.host.prefixes.longest(stem)[0] < len(stem) - LEAST_SHARED:
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
            _put_known(cache, [pairs for _, pairs in known], spans, before)
        logits = self._forward(cache, ids, positions, valid.to(self.device))
        for row, (prompt, span) in enumerate(zip(prompts, spans, strict=True)):
            pairs = _row_pairs(cache, row, span, before + width - (len(prompt) - span))
            self.host.prefixes.add(prompt, pairs)
            if rows is not None:
                _put_row(self.cache, len(self.lengths), rows[row], pairs)
        return logits


def _put_known(cache: Any, known: list[Pairs], spans: list[int], before: int) -> None:
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


def _row_pairs(cache: Any, row: int, span: int, fresh_from: int) -> Pairs:
    """A row of a cache without its holes; copies."""
    found = []
    for layer in cache.layers:
        parts = (
            torch.cat([held[row, :, :span], held[row, :, fresh_from : layer.used]], dim=1)
            for held in (layer.keys, layer.values)
        )
        found.append((next(parts), next(parts)))
    return found


def _put_row(cache: Any, rows: int, row: int, pairs: Pairs) -> None:
    for layer, (keys, values) in zip(cache.layers, pairs, strict=True):
        if not layer.is_initialized:
            layer.lazy_initialization(
                keys.new_empty(rows, keys.shape[0], 0, keys.shape[2]),
                values.new_empty(rows, values.shape[0], 0, values.shape[2]),
            )
        layer.keys[row, :, : keys.shape[1]] = keys
        layer.values[row, :, : values.shape[1]] = values


def _mask(valid: torch.Tensor, queries: int) -> torch.Tensor:
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


def _label_table(logits: torch.Tensor, labels: Sequence[Sequence[int]]) -> list[list[float]]:
    logs = torch.log_softmax(logits.double(), dim=-1)
    return [[float(row[label]) for label in ids] for row, ids in zip(logs, labels, strict=True)]


def _tokens(ids: Sequence[int]) -> Tokens:
    return np.asarray(ids, dtype=np.int64)


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    given = getattr(model.generation_config, "eos_token_id", None)
    many = given if isinstance(given, list) else [given]
    return frozenset(one for one in [*many, tokenizer.eos_token_id] if one is not None)


def _cache_name(model: Any) -> str:
    """How the model's forward calls its cache: the name changed in transformers 5."""
    import inspect

    names = inspect.signature(type(model).forward).parameters
    return "cache" if "cache" in names else "past_key_values"
