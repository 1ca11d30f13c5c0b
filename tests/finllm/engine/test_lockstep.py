"""Runs in step: batches hang on what runs ask and not on when, and change no reply."""

import random
import threading
import time
from dataclasses import replace
from datetime import date
from functools import partial

import pytest

from tests.support.tiny_models import write_tiny_llm
from varve.backtests.config import RunConfig
from varve.backtests.simulate.prepare import prepare
from varve.backtests.simulate.steps import simulate
from varve.errors import ModelError
from varve.finllm.engine.lockstep import Lockstep, in_step
from varve.finllm.engine.queue import Engine, Generated, GenerationRequest


class Counting:
    """A worker that notes its batches and answers each prompt with itself."""

    def __init__(self):
        self.batches = []

    def check(self, request):
        pass

    def generate(self, requests, alive):
        self.batches.append(sorted(request.prompt_ids for request in requests))
        return [Generated((1,), str(request.prompt_ids), "stop", 1) for request in requests]

    def out_of_memory(self, error):
        return False

    def lost(self, error):
        return False


class Hosted:
    """What a run knows of its model."""

    def __init__(self, engine):
        self.engine = engine


def together(lengths, *, jitter=0, dying=(), without_model=0):
    """Batches of runs that ask so many questions each, started in some order with some delays."""
    worker = Counting()
    engine = Engine(worker)
    steps = Lockstep(len(lengths) + without_model)
    drawn = random.Random(jitter)
    naps = [[drawn.random() / 100 for _ in range(count + 1)] for count in lengths]

    def run(number):
        time.sleep(naps[number][-1])
        steps.enter(Hosted(engine))
        try:
            for turn in range(lengths[number]):
                time.sleep(naps[number][turn])
                asked = GenerationRequest((number, turn))
                assert engine.generate(asked).text == str((number, turn))
                if number in dying:
                    raise ModelError("told to fail")
        except ModelError:
            pass
        finally:
            steps.forget()

    def other():
        steps.enter(None)
        steps.forget()

    order = [threading.Thread(target=run, args=(number,)) for number in range(len(lengths))]
    order += [threading.Thread(target=other) for _ in range(without_model)]
    drawn.shuffle(order)
    for thread in order:
        thread.start()
    for thread in order:
        thread.join(20)
        assert not thread.is_alive()
    steps.close()
    # Nobody is waited for any more.
    assert engine.generate(GenerationRequest((99, 0))).text == "(99, 0)"
    engine.close()
    return worker.batches[:-1]


def test_a_batch_holds_a_question_of_every_run_that_has_one_left():
    assert [len(batch) for batch in together([5, 3, 1])] == [3, 2, 2, 1, 1]


@pytest.mark.parametrize("jitter", range(1, 6))
def test_batches_do_not_hang_on_times(jitter):
    lengths = [4, 7, 1, 4, 2]
    assert together(lengths, jitter=jitter) == together(lengths)


def test_a_run_that_ends_early_or_asks_nothing_holds_nobody_up():
    assert [len(batch) for batch in together([4, 4, 4], dying=(1,), without_model=2)] == [3, 2, 2, 2]


def test_a_run_that_never_began_is_not_waited_for():
    worker = Counting()
    engine = Engine(worker)
    steps = Lockstep(2)
    steps.enter(Hosted(engine))
    waiting = engine.submit(GenerationRequest((0, 0)))
    time.sleep(0.05)
    assert not waiting.done()
    failed = threading.Thread(target=steps.forget)
    failed.start()
    failed.join()
    assert waiting.result(timeout=10).text == "(0, 0)"
    steps.close()
    engine.close()


def test_opened_it_waits_for_nobody():
    engine = Engine(Counting())
    steps = Lockstep(2)
    steps.enter(Hosted(engine))
    waiting = engine.submit(GenerationRequest((0, 0)))
    steps.open()
    assert waiting.result(timeout=10).text == "(0, 0)"
    steps.close()
    engine.close()


RUNS = (
    {"agent": "finmem", "ticker": "TSLA", "seed": 0},
    {"agent": "finmem", "ticker": "AMZN", "seed": 1, "settings": {"profile": "risk_averse", "top_k": 2}},
    {"agent": "finmem", "ticker": "ETH-USD", "settings": {"max_tool_rounds": 0}},
    {"agent": "sma-cross", "ticker": "TSLA"},
)


def told(steps):
    """Everything that a run did, without timings."""
    return [
        (step.decision, step.orders, step.portfolio, [replace(c, seconds=0.0) for c in step.model_calls])
        for step in steps
    ]


@pytest.mark.timeout(600)
def test_texts_and_decisions_are_those_of_runs_done_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("VARVE_MODEL_MAX_TOKENS", "150")
    folder = write_tiny_llm(tmp_path / "tiny", max_position_embeddings=8192)
    prepared = [
        prepare(
            RunConfig.build(
                llm=f"hf:{folder}", data="sample", start=date(2023, 3, 1), end=date(2023, 3, 6), **run,
                **({"warmup_start": date(2023, 2, 21)} if run["agent"] == "finmem" else {}),
            )
        )
        for run in RUNS
    ]  # fmt: skip
    alone = [told(simulate(run)) for run in prepared]
    engine = prepared[0].model.engine
    before = engine.counters
    steps, found = Lockstep(len(prepared)), [None] * len(prepared)

    def run(number):
        steps.enter(prepared[number].model)
        try:
            found[number] = told(simulate(prepared[number]))
        finally:
            steps.forget()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(prepared))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    steps.close()
    assert found == alone
    counted = engine.counters
    requests, batches = counted.requests - before.requests, counted.batches - before.batches
    assert counted.largest_batch == 3
    assert requests / batches >= 2
    # Nothing that every run does alike: texts differ between the runs.
    texts = [[call.reply for *_, calls in run for call in calls] for run in found[:3]]
    assert all(texts)
    assert texts[0] != texts[1] != texts[2]


def test_runs_in_step_give_what_each_gives_in_order():
    worker = Counting()
    engine = Engine(worker)

    def work(number, turns):
        return [engine.generate(GenerationRequest((number, turn))).text for turn in range(turns)]

    given = [(Hosted(engine), partial(work, number, 1 + number % 3)) for number in range(5)]
    found = in_step([*given, (None, lambda: "no model")])
    assert found == [*([f"({n}, {t})" for t in range(1 + n % 3)] for n in range(5)), "no model"]
    assert worker.batches == [[(n, t) for n in range(5) if t < 1 + n % 3] for t in range(3)]
    assert engine.generate(GenerationRequest((9, 9))).text == "(9, 9)"  # nobody is waited for any more


def test_a_run_in_step_that_fails_lets_the_others_end():
    engine, ended = Engine(Counting()), []

    def fails(number):
        engine.generate(GenerationRequest((number, 0)))
        raise ModelError(f"run {number}")

    def ends():
        for turn in range(3):
            engine.generate(GenerationRequest((7, turn)))
        ended.append(True)

    with pytest.raises(ModelError, match="run 1"):
        in_step([(Hosted(engine), ends), *((Hosted(engine), partial(fails, n)) for n in (1, 2))])
    assert ended == [True]
