"""Whatever breaks on an engine's thread, everybody who waits hears of it and nobody waits for ever."""

import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from tests.finllm.engine.test_queue import Count, Lengths, request
from varve.backtests.integrity.foresight import WAYS, ForesightError
from varve.backtests.record.differences import CallDifferenceError
from varve.errors import ModelError, ModelTransportError, UnknownNameError, VarveError
from varve.finllm.engine.queue import Engine
from varve.finllm.replies.decide import UnfitError
from varve.types import FailureReason


class KeywordOnlyError(VarveError):
    def __init__(self, *, detail):
        self.detail = detail
        super().__init__(f"it was {detail}", mend="change it")


class MadeOnceError(ModelError):
    """Cannot be made a second time."""

    def __new__(cls, *, token):
        return super().__new__(cls)

    def __init__(self, *, token):
        super().__init__(f"made with {token}")


class HoldsALockError(ModelError):
    def __init__(self, lock):
        self.lock = lock
        super().__init__("holds a lock")

    def __reduce__(self):
        raise TypeError("cannot be pickled")

    def __copy__(self):
        raise TypeError("cannot be copied")


class ForgotTheBaseError(VarveError):
    def __init__(self, detail):
        self.detail = detail


class NoTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text either")


class LostJudge(Lengths):
    """Cannot say whether its device is gone."""

    def lost(self, error):
        raise OSError("the driver does not answer")


def every_kind(base=VarveError):
    """Classes of the package below ``base``."""
    for kind in base.__subclasses__():
        if kind.__module__.startswith("varve."):
            yield kind
        yield from every_kind(kind)


def plain(kind):
    """An error of any class, whatever its constructor asks for."""
    error = kind.__new__(kind)
    VarveError.__init__(error, f"a {kind.__name__}", mend="mend it")
    return error


def heard(engine, callers=3):
    """What each of several callers, and one who comes later, is told."""
    futures = [engine.submit(request(n + 1)) for n in range(callers)]
    told = [future.exception(10) for future in futures]
    engine._thread.join(10)
    assert not engine._thread.is_alive()
    with pytest.raises(VarveError) as late:
        engine.submit(request(1))
    return [*told, late.value]


ROW = SimpleNamespace(session="2023-01-03", decision_at="2023-01-03T21:00:00Z")
OWN_SIGNATURES = [
    UnknownNameError("tool", "recal", ["recall", "look_up"]),
    UnfitError(FailureReason.EMPTY_REPLY, "nothing came"),
    ForesightError(next(iter(WAYS)), ROW, datetime(2023, 1, 3, 21, tzinfo=UTC), "it bought"),
    KeywordOnlyError(detail="odd"),
    HoldsALockError(threading.Lock()),
    ForgotTheBaseError("x"),
]


@pytest.mark.parametrize("error", OWN_SIGNATURES, ids=lambda error: type(error).__name__)
def test_an_error_of_another_signature_reaches_every_caller_with_all_that_it_holds(error):
    engine = Engine(Lengths(breaks=error), gate=Count(3))
    told = heard(engine)
    assert [type(one) for one in told] == [type(error)] * 4
    assert all(vars(one) == vars(error) and one.args == error.args for one in told)
    assert len({id(one) for one in [*told, error]}) == 5, "shared, they would gather each other's traces"
    assert engine.dead is error


def test_every_error_of_the_package_reaches_every_caller():
    kinds = sorted(set(every_kind()), key=lambda kind: kind.__qualname__)
    assert {CallDifferenceError, ForesightError, UnfitError, UnknownNameError} <= set(kinds)
    for kind in kinds:
        told = heard(Engine(Lengths(breaks=plain(kind)), gate=Count(3)))
        expected = (kind, f"a {kind.__name__}", "mend it")
        assert [(type(one), one.message, one.mend) for one in told] == [expected] * 4


def test_an_error_that_cannot_be_made_anew_reaches_every_caller_as_it_is():
    error = MadeOnceError(token="x")
    assert heard(Engine(Lengths(breaks=error), gate=Count(3))) == [error] * 4


@pytest.mark.parametrize(
    "error",
    [
        ValueError("odd shape"), KeyError("gone"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"),
        StopIteration("over"), ExceptionGroup("both", [ValueError("a"), TypeError("b")]),
        KeyboardInterrupt(), SystemExit(3), GeneratorExit(), BaseException("bare"), NoTextError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_any_other_error_is_told_by_name_and_the_engine_says_that_it_is_dead(error):
    engine = Engine(Lengths(breaks=error), gate=Count(3))
    told = heard(engine)
    said = f"the model died and answers no more: {type(error).__name__}"
    assert all(type(one) is ModelError and one.message.startswith(said) for one in told)
    assert engine.dead is not None
    assert engine.dead.mend == "start it again"


def test_a_worker_that_cannot_judge_its_own_error_leaves_nobody_waiting():
    told = heard(Engine(LostJudge(breaks=ValueError("odd shape")), gate=Count(3)))
    assert {one.message for one in told} == {"the model died and answers no more: ValueError"}


def test_a_worker_that_cannot_judge_its_memory_leaves_nobody_waiting():
    class Worker(Lengths):
        def out_of_memory(self, error):
            raise SystemExit(1)

    told = heard(Engine(Worker(breaks=ValueError("odd shape")), gate=Count(3)))
    assert {one.message for one in told} == {"the model died and answers no more: SystemExit: 1"}


def test_a_gate_that_breaks_leaves_nobody_waiting():
    class Gate:
        def closed(self, waiting):
            if len(waiting) == 3:
                raise UnknownNameError("run", "b", ["a"])
            return False

    told = heard(Engine(Lengths(), gate=Gate()))
    assert [type(one) for one in told] == [UnknownNameError] * 4


def test_those_answered_keep_their_reply_when_a_later_part_breaks():
    class Worker(Lengths):
        def generate(self, requests, alive):
            if self.batches:
                self.breaks = UnknownNameError("tool", "a", ["b"])
            return super().generate(requests, alive)

    engine = Engine(Worker(), max_batch=2, gate=Count(4))
    futures = [engine.submit(request(n)) for n in range(1, 5)]
    assert [future.result(10).text for future in futures[:2]] == ["1", "2"]
    assert [type(future.exception(10)) for future in futures[2:]] == [UnknownNameError] * 2


def test_a_request_that_the_worker_passes_over_fails_and_the_engine_serves_on():
    class Worker(Lengths):
        def generate(self, requests, alive):
            replies = super().generate(requests, alive)
            return [None if reply.text == "2" else reply for reply in replies]

    engine = Engine(Worker(), gate=Count(2))
    kept, passed_over = engine.submit(request(1)), engine.submit(request(2))
    assert kept.result(10).text == "1"
    with pytest.raises(ModelError, match="no reply to a request that still waits"):
        passed_over.result(10)
    engine.set_gate(None)
    assert engine.generate(request(3)).text == "3"
    engine.close()


def test_a_transport_fault_of_the_worker_stays_one():
    told = heard(Engine(Lengths(breaks=ModelTransportError("away", mend="wait")), gate=Count(3)))
    assert [(type(one), one.mend) for one in told] == [(ModelTransportError, "wait")] * 4
