"""What ``backtest llm doctor`` and ``backtest llm bench`` find out and print."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rich.table import Table

from varve.backtests.report.metric_rows import ABSENT
from varve.cli.screen import Screen
from varve.errors import UsageError, VarveError
from varve.types import Action

if TYPE_CHECKING:
    from varve.finllm.chat.model_cards import ModelCard

if TYPE_CHECKING:
    from varve.finllm.engine.queue import Engine
    from varve.finllm.engine.throughput import Speed

_PACKAGES = ("torch", "transformers", "llguidance", "peft", "langchain-openai", "vectorbt", "chromadb")
_BATCHES = (2, 4)
"""Batch shapes of the flip test."""
_QUESTIONS = tuple(
    f"Ticker: T{number}. Closes: {100 + number}, {101 + 2 * number}, {99 + 3 * number}. Position: flat. "
    f"Line M1 | news | Shares {'rise' if number % 2 else 'fall'} after the report. Decide."
    for number in range(4)
)


def doctor(llm: str | None) -> bool:
    """Print what is installed, the device, which families' tool calls are read, and a model's round trip.

    Returns:
        Whether everything that was tried worked.
    """
    console = Screen()
    for package in _PACKAGES:
        console.print(f"{package:<18} {_version(package)}")
    console.print(f"{'device':<18} {describe_device()}", soft_wrap=True)
    fine = _families(console)
    if llm is None:
        console.print("no model tried; name one: backtest llm doctor --llm hf:FOLDER")
        return fine
    return _round_trip(console, llm) and fine


def describe_device() -> str:
    """Processor or card, memory that is free, and threads, in one line.

    Raises:
        SettingError: if ``VARVE_DEVICE`` asks for one that is not there.
    """
    import torch

    from varve.finllm.engine.load import chosen_device, free_bytes

    device = chosen_device()
    free = free_bytes(device)
    room = "" if free is None else f", {free / 2**30:.1f} GiB free"
    if device == "cuda":
        flash = "with" if find_spec("flash_attn") else "without"
        return f"cuda, {torch.cuda.get_device_name()}{room}, bfloat16, {flash} flash attention"
    return f"cpu, {os.cpu_count()} cores, {torch.get_num_threads()} threads{room}, float32"


def _families(console: Screen) -> bool:
    """Write a call as each family does and read it back."""
    from varve.finllm.local.tool_formats import FAMILIES, PLAIN, read_calls, written_call

    wanted = ("decide", {"action": "HOLD", "confidence": 50, "rationale": 'a "b" {c}', "cited_memories": []})
    fine = True
    for family in (*FAMILIES, PLAIN):
        call = written_call(family, *wanted)
        text = f"{family.before}{'[' + call + ']' if family.listed else call}{family.after}"
        read = read_calls(family, text)[1] == [wanted]
        fine &= read
        console.print(f"tool calls {family.name:<7} {'read' if read else 'NOT READ'}")
    return fine


def _round_trip(console: Screen, llm: str) -> bool:
    """One decision, and how often the same question gets another reply."""
    from varve.finllm.chat.model_cards import card_of
    from varve.finllm.chat.open_model import model_identity, open_model
    from varve.finllm.chat.session import ModelSession
    from varve.types import Failure, Trace

    model = open_model(llm)
    console.print(f"{'model':<18} {llm}, {model_identity(model)['fingerprint'][:12]}", soft_wrap=True)
    card = card_of(llm)
    console.print(f"{'knows until':<18} {'nobody says' if card is None else told_until(card)}")
    trace = Trace()
    try:
        reply = _decided(ModelSession(model, trace, tries=1))
    except VarveError as error:
        console.print(f"{'round trip':<18} FAILED: {error.message}", soft_wrap=True)
        return False
    call = trace.model_calls[0]
    if isinstance(reply, Failure):
        console.print(f"{'round trip':<18} no decision: {reply.reason}, {reply.detail}", soft_wrap=True)
    else:
        told = f"{reply.action} at {reply.confidence} %"
        console.print(
            f"{'round trip':<18} {told}; {call.usage.input_tokens} tokens in, "
            f"{call.usage.output_tokens} out, {call.seconds:.2f} s"
        )
    _print_flips(console, model)
    return not isinstance(reply, Failure)


def _decided(session: Any) -> Any:
    from langchain_core.messages import HumanMessage

    from varve.finllm.replies.decide import decide_tool_schema, parse_reply

    schema = decide_tool_schema(tuple(Action), ["M1"])
    message = session.invoke([HumanMessage(_QUESTIONS[0])], [schema], stage="doctor")
    return parse_reply(message, allowed_actions=tuple(Action), known_memory_ids=["M1"])


def _print_flips(console: Screen, model: Any) -> None:
    """The share of replies that differ from the first, over repeats and over batch shapes."""
    from langchain_core.messages import HumanMessage

    from varve.finllm.local.chat_model import LocalModel
    from varve.finllm.replies.decide import decide_tool_schema

    schema = decide_tool_schema(tuple(Action), ["M1"])
    bound = model.bind_tools([schema])

    def ask(question: str) -> str:
        reply = bound.invoke([HumanMessage(question)])
        return f"{reply.content} {[call['args'] for call in reply.tool_calls]}"

    first = [ask(question) for question in _QUESTIONS]
    again = [ask(question) for question in _QUESTIONS]
    console.print(f"{'flips, repeated':<18} {_share(first, again)}")
    if isinstance(model, LocalModel):
        for size in _BATCHES:
            found = _together(model.engine, [(ask, question) for question in _QUESTIONS], size)
            console.print(f"{f'flips, batch of {size}':<18} {_share(first, found)}")


def _share(first: Sequence[str], other: Sequence[str]) -> str:
    flips = sum(one != two for one, two in zip(first, other, strict=True))
    return f"{flips} of {len(first)}"


def _together(engine: Engine, asked: Sequence[Any], size: int) -> list[str]:
    """Ask in batches of exactly ``size``, the last one smaller."""
    from concurrent.futures import ThreadPoolExecutor

    from varve.finllm.engine.throughput import CountGate

    found: list[str] = []
    for start in range(0, len(asked), size):
        part = asked[start : start + size]
        engine.set_gate(CountGate(len(part)))
        try:
            with ThreadPoolExecutor(len(part)) as pool:
                found += pool.map(lambda one: one[0](one[1]), part)
        finally:
            engine.set_gate(None)
    return found


def bench(
    *, llm: str | None, shape: str | None, random: bool, batches: Sequence[int], contexts: Sequence[int]
) -> None:
    """Print tokens and decisions per second of a model or of a random one in a real one's shape.

    Raises:
        UsageError: unless exactly one model is named.
        VarveError: if it cannot be opened, or is too big for the device.
    """
    if (llm is None) == (shape is None) or random != (shape is not None):
        raise UsageError(
            "one model is needed: a folder's, or a random one in a shape",
            mend="backtest llm bench --llm hf:FOLDER, or: backtest llm bench --shape 3m --random",
        )
    from varve.finllm.engine.load import chosen_device
    from varve.finllm.engine.throughput import device_limits, measure_speed

    console = Screen()
    console.print(describe_device(), soft_wrap=True)
    engine = _engine_of(llm, shape)
    worker: Any = engine.worker
    parameters = sum(one.numel() for one in worker.model.parameters())
    console.print(f"{llm or f'random {shape}'}: {parameters:,} parameters, {worker.model.dtype}")
    limits = device_limits(chosen_device(), worker.model.dtype)
    console.print(
        f"the device just now: {limits.bytes_per_s / 1e9:,.1f} GB/s copied, "
        f"{limits.operations_per_s / 1e12:,.3f} Tflop/s multiplied"
    )
    table = _speed_table()
    for context in contexts:
        for shared in (0.0, 0.9):
            for batch in batches:
                one = measure_speed(engine, limits, batch=batch, context=context, shared=shared)
                table.add_row(*_speed_row(one))
    console.print(table)
    _print_decisions(console, engine, max(batches), max(contexts))
    engine.close()


def _engine_of(llm: str | None, shape: str | None) -> Engine:
    from varve.finllm.chat.open_model import open_model
    from varve.finllm.engine.load import chosen_device, set_threads
    from varve.finllm.engine.queue import Engine
    from varve.finllm.engine.random_weights import make_random, parameters_of
    from varve.finllm.engine.torch_worker import HostedModel
    from varve.finllm.local.chat_model import LocalModel

    if shape is not None:
        set_threads(parameters_of(shape))
        return Engine(HostedModel(*make_random(shape, chosen_device())), name=f"random {shape}")
    model = open_model(str(llm))
    if not isinstance(model, LocalModel):
        raise UsageError(f"{llm} does not run in this process", mend="name a folder: --llm hf:FOLDER")
    return model.engine


def _speed_table() -> Table:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name in ("batch", "context", "shared", "prefill tok/s", "of limit", "decode tok/s", "of limit"):
        table.add_column(name, justify="right")
    return table


def _speed_row(one: Speed) -> tuple[str, ...]:
    return (
        f"{one.batch}",
        f"{one.context}",
        f"{one.shared:.0%}",
        f"{one.prefill:,.0f}",
        # Tokens that are known from another row are not computed.
        ABSENT if one.shared else f"{one.prefill / one.prefill_limit:.0%}",
        f"{one.decode:,.0f}",
        f"{one.decode / one.decode_limit:.0%}",
    )


def _print_decisions(console: Screen, engine: Engine, batch: int, context: int) -> None:
    """Decisions written and scored, alone and together, and what lockstep gains."""
    from varve.finllm.engine.throughput import decisions_per_s
    from varve.finllm.local.tool_formats import PLAIN, calls_grammar
    from varve.finllm.replies.decide import decide_tool_schema

    grammar = calls_grammar(PLAIN, [decide_tool_schema(tuple(Action), ["M1", "M2"])])
    for score in (False, True):
        alone = decisions_per_s(engine, grammar, batch=1, context=context, score=score)
        together = decisions_per_s(engine, grammar, batch=batch, context=context, score=score)
        console.print(
            f"{'score' if score else 'generate'}: {alone:,.2f} decisions/s alone, {together:,.2f} in "
            f"lockstep of {batch}, gain {together / alone:.1f}×"
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def told_until(card: ModelCard) -> str:
    """Until when a model knows the world, in words."""
    from varve.backtests.report.metric_rows import ABSENT

    if not card.knows_the_world:
        return "no world"
    if card.knowledge_cutoff is not None:
        return f"{card.knowledge_cutoff}"
    return ABSENT if card.release_date is None else "unsaid; its release"
