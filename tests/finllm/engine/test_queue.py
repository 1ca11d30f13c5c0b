"""The engine: its queue, its gate and its ends, with a worker that computes little."""

import threading
from concurrent.futures import CancelledError

import pytest

from varve.errors import ModelError, ModelTransportError
from varve.finllm.engine.queue import Engine, Generated, GenerationRequest, Scored, ScoreRequest


class Lengths:
    """A worker that answers with the length of the prompt; breaks as told."""

    def __init__(self, *, most=None, breaks=None, lost=False):
        self.most, self.breaks, self.is_lost = most, breaks, lost
        self.batches = []

    def check(self, request):
        if isinstance(request, GenerationRequest) and not request.prompt_ids:
            raise ModelError("an empty prompt")

    def generate(self, requests, alive):
        self.batches.append(len(requests))
        if self.most is not None and len(requests) > self.most:
            raise MemoryError("too many rows")
        if self.breaks is not None:
            raise self.breaks
        return [
            Generated((len(one.prompt_ids),), str(len(one.prompt_ids)), "stop", len(one.prompt_ids))
            if alive(place)
            else None
            for place, one in enumerate(requests)
        ]

    def score(self, requests):
        return [Scored(((0.0,),), 1) for _ in requests]

    def out_of_memory(self, error):
        return isinstance(error, MemoryError)

    def lost(self, error):
        return self.is_lost


class Count:
    """A gate that closes a batch of so many."""

    def __init__(self, count):
        self.count = count

    def closed(self, waiting):
        return len(waiting) >= self.count


def request(length, **more):
    return GenerationRequest(tuple(range(length)), **more)


def test_those_that_wait_are_answered_in_one_batch_each_with_its_own_reply():
    worker = Lengths()
    engine = Engine(worker, gate=Count(3))
    futures = [engine.submit(request(length)) for length in (3, 1, 2)]
    assert [future.result(10).text for future in futures] == ["3", "1", "2"]
    assert worker.batches == [3]
    counted = engine.counters
    assert (counted.requests, counted.batches, counted.largest_batch) == (3, 1, 3)
    assert (counted.prompt_tokens, counted.output_tokens) == (6, 3)
    engine.close()


def test_the_gate_decides_and_is_told_who_waits():
    seen = []

    class Owners:
        def closed(self, waiting):
            seen.append({one.owner for one in waiting})
            return len(waiting) == 2

    engine = Engine(Lengths(), gate=Owners())
    first = engine.submit(request(1))
    with pytest.raises(TimeoutError):
        first.result(0.05)
    thread = threading.Thread(target=lambda: engine.generate(request(2)))
    thread.start()
    assert first.result(10).text == "1"
    thread.join(10)
    assert seen[-1] == {threading.get_ident(), thread.ident}
    engine.set_gate(None)
    assert engine.generate(request(4)).text == "4"
    engine.close()


def test_a_cancelled_request_is_left_out():
    worker = Lengths()
    engine = Engine(worker, gate=Count(2))
    gone = engine.submit(request(1))
    assert gone.cancel()
    kept = [engine.submit(request(2)), engine.submit(request(3))]
    assert [future.result(10).text for future in kept] == ["2", "3"]
    assert worker.batches == [2]
    with pytest.raises(CancelledError):
        gone.result(0)
    engine.close()


def test_a_request_times_out_while_it_waits():
    engine = Engine(Lengths(), gate=Count(9))
    with pytest.raises(ModelTransportError, match=r"no reply within 0\.05 s"):
        engine.generate(request(1, timeout_s=0.05))
    engine.set_gate(None)
    assert engine.generate(request(1)).text == "1"
    engine.close()


def test_where_memory_is_short_the_batch_is_halved_and_all_are_answered():
    worker = Lengths(most=2)
    engine = Engine(worker, gate=Count(8))
    futures = [engine.submit(request(length)) for length in range(1, 9)]
    assert [future.result(10).text for future in futures] == [str(length) for length in range(1, 9)]
    assert worker.batches == [8, 4, 2, 2, 2, 2]
    assert engine.counters.halved == 2
    assert engine.max_batch == 2
    engine.close()


def test_one_request_that_does_not_fit_fails_alone():
    worker = Lengths(most=0)
    engine = Engine(worker)
    with pytest.raises(ModelError, match="memory does not suffice for one request alone"):
        engine.generate(request(1))
    worker.most = None
    assert engine.generate(request(1)).text == "1"
    engine.close()


def test_an_engine_that_breaks_tells_everybody_and_answers_no_more():
    engine = Engine(Lengths(breaks=ValueError("odd shape")), gate=Count(2))
    futures = [engine.submit(request(1)), engine.submit(request(2))]
    for future in futures:
        with pytest.raises(ModelError, match="died and answers no more: ValueError: odd shape"):
            future.result(10)
    with pytest.raises(ModelError, match="odd shape"):
        engine.submit(request(1))
    assert engine.dead is not None


def test_a_lost_device_is_a_transport_fault_so_the_run_stops_resumable():
    engine = Engine(Lengths(breaks=RuntimeError("CUDA error: gone"), lost=True))
    with pytest.raises(ModelTransportError, match="the device was lost: CUDA error: gone"):
        engine.generate(request(1))
    with pytest.raises(ModelTransportError, match="device was lost"):
        engine.generate(request(1))


def test_a_bad_request_is_refused_and_harms_nobody():
    engine = Engine(Lengths())
    with pytest.raises(ModelError, match="empty"):
        engine.generate(request(0))
    assert engine.generate(request(2)).text == "2"
    engine.close()


def test_a_closed_engine_fails_those_that_wait_and_those_that_come():
    engine = Engine(Lengths(), gate=Count(9))
    future = engine.submit(request(1))
    engine.close()
    for ask in (lambda: future.result(10), lambda: engine.submit(request(1))):
        with pytest.raises(ModelError, match="was closed"):
            ask()


def test_questions_of_both_kinds_share_a_queue():
    engine = Engine(Lengths(), gate=Count(2))
    text = engine.submit(request(3))
    table = engine.submit(ScoreRequest(((1,),), ((1,),)))
    assert text.result(10).text == "3"
    assert table.result(10).log_probs == ((0.0,),)
    engine.close()
