"""The shim over continuous batching: when it is chosen, and what it asks of a manager."""

from types import SimpleNamespace

import pytest

from varve.errors import ModelError
from varve.finllm.engine.paged_cuda import Continuous, continuous
from varve.finllm.engine.queue import GenerationRequest


class Manager:
    """Answers with the prompt reversed, the last asked first."""

    def __init__(self, error=None):
        self.asked, self.cancelled, self.error, self.running = [], [], error, True

    def add_request(self, input_ids, max_new_tokens, eos_token_id):
        self.asked.append((f"r{len(self.asked)}", input_ids[::-1][:max_new_tokens]))
        return self.asked[-1][0]

    def get_result(self, timeout):
        if not self.asked:
            return None
        name, tokens = self.asked.pop()
        return SimpleNamespace(request_id=name, generated_tokens=tokens, error=self.error)

    def cancel_request(self, name):
        self.cancelled.append(name)

    def is_running(self):
        return self.running

    def start(self):
        self.running = True

    def stop(self):
        self.running = False


def model(device, manager):
    return SimpleNamespace(device=SimpleNamespace(type=device), init_continuous_batching=lambda: manager)


def ask(manager, *prompts, alive=lambda index: True):
    requests = [GenerationRequest(prompt, 4) for prompt in prompts]
    return Continuous(manager).generate(requests, frozenset([0]), str, alive)


def test_it_is_chosen_on_cuda_alone_and_where_transformers_has_it():
    assert continuous(model("cpu", Manager())) is None
    assert continuous(SimpleNamespace(device=SimpleNamespace(type="cuda"))) is None
    assert continuous(model("cuda", object())) is None
    assert continuous(model("cuda", Manager())) is not None


def test_it_takes_greedy_requests_without_a_grammar():
    assert Continuous.takes(GenerationRequest((1,)))
    assert not Continuous.takes(GenerationRequest((1,), temperature=0.5))
    assert not Continuous.takes(GenerationRequest((1,), grammar='start: "a"'))


def test_replies_come_back_in_the_order_asked():
    made = ask(Manager(), (0, 1, 2), (3, 4, 5, 6, 7))
    assert [(one.token_ids, one.text, one.finish) for one in made] == [
        ((2, 1, 0), "(2, 1)", "stop"),
        ((7, 6, 5, 4), "(7, 6, 5, 4)", "length"),
    ]


def test_those_no_longer_wanted_are_cancelled_and_failures_are_told():
    manager = Manager()
    assert ask(manager, (1,), (2,), alive=lambda index: index == 0)[1] is None
    assert manager.cancelled == ["r1"]
    with pytest.raises(ModelError, match="failed: no room"):
        ask(Manager(error="no room"), (1,))
    stopped = Manager()
    stopped.get_result, stopped.running = lambda timeout: None, False
    with pytest.raises(ModelError, match="stopped in mid-run"):
        ask(stopped, (1,))
