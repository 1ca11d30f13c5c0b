"""transformers' continuous batching with paged attention, where there is a CUDA device and it has it.

One small shim, since its names have moved between versions. It takes greedy requests without a grammar;
it knows no masks of a request's own, so constrained and drawn replies go in padded batches on CUDA too.
No such device was at hand when this was written: what runs on the CPU is tested, the rest is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from varve.errors import ModelError
from varve.finllm.engine.queue import Generated, GenerationRequest

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.generation.continuous_batching import ContinuousBatchingManager

POLL_S = 1.0
_MANAGER = ("add_request", "cancel_request", "get_result", "is_running", "start", "stop")


def continuous(model: PreTrainedModel) -> Continuous | None:
    """The manager of a model on CUDA; None on the CPU or where the installed transformers has none."""
    if model.device.type != "cuda" or not hasattr(model, "init_continuous_batching"):
        return None
    manager = model.init_continuous_batching()
    if not all(hasattr(manager, name) for name in _MANAGER):
        return None
    manager.start()
    return Continuous(manager)


class Continuous:
    """Greedy replies of a started manager."""

    def __init__(self, manager: ContinuousBatchingManager) -> None:
        self._manager = manager

    @staticmethod
    def takes(request: GenerationRequest) -> bool:
        """Whether a request can go this way."""
        return request.grammar is None and request.temperature == 0

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        end_ids: frozenset[int],
        decode: Callable[[Sequence[int]], str],
        alive: Callable[[int], bool],
    ) -> list[Generated | None]:
        """One reply each, None for those no longer wanted.

        Raises:
            ModelError: if the manager stopped or refused a request.
        """
        waiting = {}
        for place, one in enumerate(requests):
            name = self._manager.add_request(
                list(one.prompt_ids), max_new_tokens=one.max_new_tokens, eos_token_id=sorted(end_ids)
            )
            waiting[name] = place
        made: list[Generated | None] = [None] * len(requests)
        while waiting:
            for name in [name for name, place in waiting.items() if not alive(place)]:
                self._manager.cancel_request(name)
                del waiting[name]
            result = self._manager.get_result(timeout=POLL_S)
            if result is None:
                if not self._manager.is_running():
                    raise ModelError("transformers' continuous batching stopped in mid-run")
                continue
            place_of = waiting.pop(result.request_id, None)
            if place_of is None:
                continue  # cancelled
            if result.error:
                raise ModelError(f"transformers' continuous batching failed: {result.error}")
            tokens = tuple(result.generated_tokens)
            ended = bool(tokens) and tokens[-1] in end_ids
            made[place_of] = Generated(
                tokens,
                decode(tokens[:-1] if ended else tokens),
                "stop" if ended else "length",
                len(requests[place_of].prompt_ids),
            )
        return made
