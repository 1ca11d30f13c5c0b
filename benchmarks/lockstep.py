"""Runs in step on one local model against the same runs alone: ``python -m benchmarks.lockstep``.

Real FinMem prompts of different sample worlds (all longer than 800 tokens, fewer than 5 % equal), no reply
cache, the same threads, a fresh engine for each side, so that no side finds what the other has computed.
Replies are constrained, and have to be equal.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from varve.backtests.config import RunConfig
from varve.backtests.simulate.prepare import Prepared, prepare
from varve.backtests.simulate.steps import simulate
from varve.config import canonical_json
from varve.finllm.engine.lockstep import in_step
from varve.finllm.engine.queue import Counters

SHAPE = {"hidden_size": 640, "num_hidden_layers": 10, "num_attention_heads": 10,
         "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 1728,
         "max_position_embeddings": 8192, "scale": 0.04}  # fmt: skip
"""Of a model of random numbers: 46 million with its vocabulary."""
VOCABULARY = 4096

REPLY_TOKENS = 256
"""Most tokens of a reply. Random numbers write on until they are steered to an end, 96 tokens before: replies
of about 160 tokens, as a few sentences of reasons and the fields around them take."""


def prepared_runs(llm: str, runs: int, end: date, rounds: int = 1) -> list[Prepared]:
    """FinMem on as many sample worlds; the test begins on 1 March 2023."""
    tickers = ("TSLA", "AMZN", "NFLX", "MSFT")
    return [
        prepare(
            RunConfig.build(
                agent="finmem", ticker=tickers[i % 4], data="sample", world_seed=i // 4, llm=llm,
                start=date(2023, 3, 1), end=end, warmup_start=date(2023, 2, 27),
                settings={"max_tool_rounds": rounds},
            )
        )
        for i in range(runs)
    ]  # fmt: skip


def random_model(folder: Path) -> str:
    """A model of that shape, its tokenizer learned from FinMem's prompts, so that their length is usual."""
    from tests.support.tiny_models import write_tiny_llm

    runs = prepared_runs("scripted", 4, date(2023, 3, 10))
    calls = [call for one in runs for step in simulate(one) for call in step.model_calls]
    texts = [str(message["content"]) for call in calls for message in call.messages]
    texts += [json.dumps(tool) for tool in calls[0].tools] * 50
    return f"hf:{write_tiny_llm(folder, texts=texts, vocabulary=VOCABULARY, **SHAPE)}"


def measured(runs: list[Prepared], *, together: bool) -> tuple[list[Any], float, float, Counters]:
    """What the runs did, wall seconds, CPU seconds of this process, and what the engine did."""
    engine = runs[0].model.engine  # type: ignore[union-attr]
    wall, cpu = time.perf_counter(), time.process_time()
    if together:
        found = in_step([(one.model, partial(simulate, one)) for one in runs])
    else:
        found = [simulate(one) for one in runs]
    spent = time.perf_counter() - wall, time.process_time() - cpu
    counters = engine.counters
    engine.close()
    return found, *spent, counters


def run(
    runs: int = 32,
    end: date = date(2023, 3, 3),
    llm: str = "nano",
    reply: int = REPLY_TOKENS,
    rounds: int = 1,
) -> list[tuple[str, float, str]]:
    """Name, value and unit of each figure; ``random`` makes a model of random numbers."""
    os.environ["VARVE_MODEL_MAX_TOKENS"] = str(reply)
    with tempfile.TemporaryDirectory() as folder:
        if llm == "random":
            llm = random_model(Path(folder) / "random")
        ready = prepared_runs(llm, runs, end, rounds)
        # Imports, worlds and grammars that either side would otherwise pay for.
        measured(prepared_runs(llm, 1, end, rounds), together=True)
        alone, wall, cpu, single = measured(ready, together=False)
        # The models keep what their engine was; the closed one is replaced at the first question.
        stepped, wall_2, cpu_2, counters = measured(ready, together=True)
    calls = [call for steps in stepped for step in steps for call in step.model_calls]
    prompts = Counter(canonical_json([call.stage, list(call.messages)]) for call in calls)
    equal = 100.0 * sum(count - 1 for count in prompts.values()) / len(calls)
    tokens = [call.usage.input_tokens for call in calls]
    return [
        (f"lockstep gain, {runs} runs, wall", wall / wall_2, "×"),
        (f"lockstep gain, {runs} runs, CPU", cpu / cpu_2, "×"),
        ("one after another", wall, f"s wall ({cpu:.0f} s CPU)"),
        ("in lockstep", wall_2, f"s wall ({cpu_2:.0f} s CPU)"),
        ("requests", float(counters.requests), f"in {counters.batches} batches"),
        (
            "of the prompts not computed",
            100.0 * _reused(counters),
            f"% ({100.0 * _reused(single):.0f} % alone)",
        ),
        ("shortest prompt", float(min(tokens)), "tokens"),
        ("equal prompts", equal, "%"),
        ("runs that came out equal", float(sum(map(_same, alone, stepped))), f"of {runs}"),
    ]


def _reused(counters: Counters) -> float:
    """Share of the prompts' tokens that came from the prefix cache."""
    return counters.reused_tokens / counters.prompt_tokens


def _same(one: Any, other: Any) -> bool:
    plain = [[replace(step, model_calls=(), seconds=0.0) for step in steps] for steps in (one, other)]
    said = [[call.reply for step in steps for call in step.model_calls] for steps in (one, other)]
    return plain[0] == plain[1] and said[0] == said[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--end", type=date.fromisoformat, default=date(2023, 3, 3), help="last session")
    parser.add_argument("--llm", default="nano", help="nano, hf:FOLDER, or random")
    parser.add_argument("--reply", type=int, default=REPLY_TOKENS, help="most tokens of a reply")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of questions before a decision")
    given = parser.parse_args()
    for name, value, unit in run(given.runs, given.end, given.llm, given.reply, given.rounds):
        print(f"{name:<32} {value:>10,.2f} {unit}")
    print(describe("torch", "transformers"))


if __name__ == "__main__":
    main()
