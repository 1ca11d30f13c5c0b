"""How fast an engine answers, beside what its device could do at most."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from varve.clock import stopwatch
from varve.finllm.engine.queue import (
    Engine,
    Generated,
    GenerationRequest,
    Request,
    Result,
    ScoreRequest,
    Waiting,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from varve.finllm.engine.torch_worker import HostedModel

NEW_TOKENS = 32
_LABELS = 4


@dataclass(frozen=True)
class Limits:
    """What a device did at best just now: bytes copied per second (read and written), and floating point
    operations per second of one large matrix product, both in the model's precision."""

    bytes_per_s: float
    operations_per_s: float


@dataclass(frozen=True)
class Speed:
    """One measurement.

    ``prefill`` and ``decode`` are tokens per second; ``decode_limit`` and ``prefill_limit`` those that
    the device's limits allow: every step reads all weights and the keys and values of each row once,
    every prompt token costs two operations per parameter.
    """

    batch: int
    context: int
    shared: float
    prefill: float
    prefill_limit: float
    decode: float
    decode_limit: float


class CountGate:
    """Closes a batch when so many wait; a lockstep of that many runs."""

    def __init__(self, count: int) -> None:
        self.count = count

    def closed(self, waiting: Sequence[Waiting]) -> bool:
        """See :class:`~varve.finllm.engine.queue.Gate`."""
        return len(waiting) >= self.count


def device_limits(device: str, dtype: torch.dtype) -> Limits:
    """Measure copying and multiplying, the best of five tries each."""
    import torch

    numbers = 2**28 if device == "cuda" else 2**25
    source = torch.ones(numbers, dtype=dtype, device=device)
    target = torch.empty_like(source)
    side = 8192 if device == "cuda" else 1024
    left = torch.randn(side, side, dtype=torch.float32, device=device).to(dtype)
    copied = 2 * source.numel() * source.element_size() / _best(lambda: target.copy_(source), device)
    return Limits(copied, 2 * side**3 / _best(lambda: left @ left, device))


def _best(work: Callable[[], object], device: str) -> float:
    """Seconds of the quickest of five, after one that does not count."""
    import torch

    seconds = []
    for _ in range(6):
        started = stopwatch()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(stopwatch() - started)
    return min(seconds[1:])


def measure_speed(engine: Engine, limits: Limits, *, batch: int, context: int, shared: float) -> Speed:
    """Prefill and decode of ``batch`` random prompts of ``context`` tokens, a part of which is the same.

    The second of two equal calls counts for nothing but its decode: prompts are known by then.
    """
    prompts = _prompts(engine, batch, context, shared)
    fed = timed(engine, [GenerationRequest(one, 1) for one in prompts])
    longer = timed(engine, [GenerationRequest(one, NEW_TOKENS + 1) for one in prompts])
    known = timed(engine, [GenerationRequest(one, 1) for one in prompts])
    written = sum(len(one.token_ids) - 1 for one in longer.results if isinstance(one, Generated))
    worker = _worker(engine)
    return Speed(
        batch=batch,
        context=context,
        shared=shared,
        prefill=batch * context / fed.seconds,
        prefill_limit=limits.operations_per_s / (2 * _computed(worker.model)),
        decode=written / max(longer.seconds - known.seconds, 1e-9),
        decode_limit=batch * limits.bytes_per_s / _step_bytes(worker.model, batch, context),
    )


def decisions_per_s(engine: Engine, grammar: str, *, batch: int, context: int, score: bool) -> float:
    """Decisions per second: written under ``grammar``, or scored by single-token labels in four orders."""
    prompts = _prompts(engine, batch, context, shared=0.9)
    requests: list[Request] = []
    for prompt in prompts:
        if score:
            orders = tuple((*prompt, *_prompts(engine, 1, 16, 0.0, seed=turn)[0]) for turn in range(_LABELS))
            labels = tuple(tuple(range(100, 100 + _LABELS)) for _ in orders)
            requests.append(ScoreRequest(orders, labels))
        else:
            requests.append(GenerationRequest(prompt, 96, grammar=grammar))
    return batch / timed(engine, requests).seconds


@dataclass(frozen=True)
class Timed:
    """Results in the order of the requests, and the seconds in which the engine computed them."""

    results: list[Result]
    seconds: float


def timed(engine: Engine, requests: Sequence[Request]) -> Timed:
    """Answer ``requests`` in one batch."""
    engine.set_gate(CountGate(len(requests)))
    try:
        before = engine.counters.seconds
        futures = [engine.submit(request) for request in requests]
        results = [future.result() for future in futures]
        engine.set_gate(None)
        # The engine counts after it has answered: ask it something to know that it has.
        engine.generate(GenerationRequest((100,), 1))
        return Timed(results, engine.counters.seconds - before)
    finally:
        engine.set_gate(None)


def _prompts(engine: Engine, batch: int, context: int, shared: float, seed: int = 0) -> list[tuple[int, ...]]:
    worker = _worker(engine)
    most = min(worker.vocabulary, len(worker.tokenizer))
    draw = random.Random(f"{batch} {context} {shared} {seed}")
    common = [draw.randrange(300, most) for _ in range(int(context * shared))]
    return [
        (*common, *(draw.randrange(300, most) for _ in range(context - len(common)))) for _ in range(batch)
    ]


def _worker(engine: Engine) -> HostedModel:
    return cast("HostedModel", engine.worker)


def _computed(model: PreTrainedModel) -> int:
    """Parameters that every token passes: all but the table of embeddings, where that is one of its own."""
    table = model.get_input_embeddings().weight
    tied = table is model.get_output_embeddings().weight
    numbers: int = sum(one.numel() for one in model.parameters()) - (0 if tied else table.numel())
    return numbers


def _step_bytes(model: PreTrainedModel, batch: int, context: int) -> float:
    """What one decoding step reads."""
    config, width = model.config.get_text_config(), next(model.parameters()).element_size()
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * head
    return float(width * (_computed(model) + batch * per_token * (context + NEW_TOKENS / 2)))
