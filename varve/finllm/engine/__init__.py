"""One model, the thread that owns it, and the queue in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.finllm.engine.load import chosen_device, free_bytes, let_go, set_threads, shared_engine
    from varve.finllm.engine.lockstep import Lockstep, in_step
    from varve.finllm.engine.model_folder import Adapter, ModelFiles, find_folder, read_adapter, read_folder
    from varve.finllm.engine.queue import Engine, Generated, GenerationRequest, Scored, ScoreRequest
    from varve.finllm.engine.random_weights import make_random, parameters_of
    from varve.finllm.engine.throughput import CountGate, Speed, decisions_per_s, device_limits, measure_speed
    from varve.finllm.engine.torch_worker import HostedModel

_HOMES = {
    "Adapter": "model_folder",
    "CountGate": "throughput",
    "Engine": "queue",
    "Generated": "queue",
    "GenerationRequest": "queue",
    "HostedModel": "torch_worker",
    "Lockstep": "lockstep",
    "ModelFiles": "model_folder",
    "ScoreRequest": "queue",
    "Scored": "queue",
    "Speed": "throughput",
    "chosen_device": "load",
    "decisions_per_s": "throughput",
    "device_limits": "throughput",
    "find_folder": "model_folder",
    "free_bytes": "load",
    "in_step": "lockstep",
    "let_go": "load",
    "make_random": "random_weights",
    "measure_speed": "throughput",
    "parameters_of": "random_weights",
    "read_adapter": "model_folder",
    "read_folder": "model_folder",
    "set_threads": "load",
    "shared_engine": "load",
}

__all__ = [
    "Adapter",
    "CountGate",
    "Engine",
    "Generated",
    "GenerationRequest",
    "HostedModel",
    "Lockstep",
    "ModelFiles",
    "ScoreRequest",
    "Scored",
    "Speed",
    "chosen_device",
    "decisions_per_s",
    "device_limits",
    "find_folder",
    "free_bytes",
    "in_step",
    "let_go",
    "make_random",
    "measure_speed",
    "parameters_of",
    "read_adapter",
    "read_folder",
    "set_threads",
    "shared_engine",
]


__getattr__ = lazy(__name__, _HOMES)
