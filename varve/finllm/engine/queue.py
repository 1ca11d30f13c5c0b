"""One model, one thread that owns it, and a queue of requests from any number of runs.

Requests that wait are answered in one batch. What decides when a batch is closed is the *gate*: by
default whatever waits goes; a lockstep coordinator brings its own, so that batches close at a
(day, stage) barrier and never by time of arrival.

Light on import: torch lives behind :class:`Worker`, see :mod:`varve.finllm.engine.torch_worker`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

from varve.clock import stopwatch
from varve.errors import ModelError, ModelTransportError, VarveError

DEFAULT_MAX_BATCH = 64
Answer = TypeVar("Answer", covariant=True)


@dataclass(frozen=True)
class GenerationRequest:
    """Text wanted after a prompt.

    Args:
        prompt_ids: token ids, template and special tokens included.
        max_new_tokens: most tokens of the reply.
        grammar: an llguidance grammar that the reply must follow to its end; None leaves it free,
            until an end token.
        temperature: 0 takes the likeliest token; above, tokens are drawn with ``seed`` alone, so a
            request gets the same reply in whatever batch.
        timeout_s: seconds from submission after which the request fails; None waits.
    """

    prompt_ids: tuple[int, ...]
    max_new_tokens: int = 512
    grammar: str | None = None
    temperature: float = 0.0
    seed: int = 0
    timeout_s: float | None = None


@dataclass(frozen=True)
class ScoreRequest:
    """Probabilities of labels wanted as the next token of each of several prompts.

    Args:
        prompts: token ids each; what they begin with in common is computed once.
        labels: per prompt, the token ids of its labels.
        doubtful: whether a result (shape prompts × labels, natural logarithms over all tokens) is so
            near a border of what will be made of it that rounding could turn it; it is then computed
            anew for this request alone.
    """

    prompts: tuple[tuple[int, ...], ...]
    labels: tuple[tuple[int, ...], ...]
    doubtful: Callable[[list[list[float]]], bool] | None = None
    timeout_s: float | None = None


@dataclass(frozen=True)
class Generated:
    """A reply. ``finish`` is ``stop`` at its own end and ``length`` at the token limit.

    ``reused_tokens`` of the ``prompt_tokens`` came from the prefix cache.
    """

    token_ids: tuple[int, ...]
    text: str
    finish: Literal["stop", "length"]
    prompt_tokens: int
    reused_tokens: int = 0


@dataclass(frozen=True)
class Scored:
    """Log-probabilities, prompts × labels, each over all tokens (they do not sum to one)."""

    log_probs: tuple[tuple[float, ...], ...]
    prompt_tokens: int
    reused_tokens: int = 0


Request = GenerationRequest | ScoreRequest
Result = Generated | Scored
Pending = Future[Any]
"""A reply to come: :class:`Generated` or :class:`Scored`, as its request asks."""
R = TypeVar("R")


@dataclass(frozen=True)
class Counters:
    """What an engine has done; ``seconds`` are those in which it computed."""

    requests: int = 0
    batches: int = 0
    largest_batch: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    halved: int = 0


@dataclass(eq=False)
class Waiting:
    """A request in the queue. ``owner`` is the thread that submitted it: one run is one thread."""

    request: Request
    owner: int
    future: Pending = field(default_factory=Future)
    deadline: float | None = None

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more: answered, cancelled, or out of time."""
        return self.future.done()

    def check_time(self) -> bool:
        """Fail it where its time is over; whether it still waits."""
        if self.deadline is not None and not self.future.done() and stopwatch() >= self.deadline:
            _fail(self.future, ModelTransportError(f"no reply within {self.request.timeout_s:g} s"))
        return not self.future.done()


class Gate(Protocol):
    """Says when a batch is closed; call :meth:`Engine.wake` when the answer may have changed."""

    def closed(self, waiting: Sequence[Waiting]) -> bool:
        """Whether those waiting are answered now; asked on the engine's thread, never while it computes."""
        ...


class Worker(Protocol):
    """What computes; used from the engine's thread alone, but for :meth:`check`.

    Where several rows are computed together, ``alive(i)`` tells whether the i-th is still wanted.
    """

    def check(self, request: Request) -> None:
        """Refuse a request that cannot be answered, before it waits.

        Raises:
            VarveError: saying why.
        """
        ...

    def generate(
        self, requests: Sequence[GenerationRequest], alive: Callable[[int], bool]
    ) -> list[Generated | None]:
        """One reply each; None for those no longer wanted."""
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[Scored]:
        """One table each."""
        ...

    def out_of_memory(self, error: BaseException) -> bool:
        """Whether a smaller batch may do what failed with ``error``; frees what can be freed."""
        ...

    def lost(self, error: BaseException) -> bool:
        """Whether the device is gone."""
        ...


class _Open:
    """The default gate."""

    def closed(self, waiting: Sequence[Waiting]) -> bool:
        return bool(waiting)


class Engine:
    """Answers requests from any thread.

    Args:
        worker: the model; the engine's thread owns it from now on.
        max_batch: most requests answered together; halved whenever memory does not suffice.
        gate: when a batch is closed; None answers whatever waits.
        name: for messages.
    """

    def __init__(
        self, worker: Worker, *, max_batch: int = DEFAULT_MAX_BATCH, gate: Gate | None = None, name: str = ""
    ) -> None:
        self.worker, self.name, self.max_batch = worker, name or "the model", max_batch
        self._gate: Gate = gate or _Open()
        self._waiting: list[Waiting] = []
        self._current: list[Waiting] = []
        self._changed = threading.Condition()
        self._closing = False
        self._dead: VarveError | None = None
        self._counters = Counters()
        self._thread = threading.Thread(target=self._run, name=f"engine {self.name}", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Pending:
        """Queue a request; cancel its future to abandon it.

        Raises:
            ModelError: if the engine is dead or closed, or the request cannot be answered.
        """
        self.worker.check(request)
        waiting = Waiting(request, threading.get_ident())
        if request.timeout_s is not None:
            waiting.deadline = stopwatch() + request.timeout_s
        with self._changed:
            if self._dead is not None:
                raise _again(self._dead)
            if self._closing:
                raise ModelError(f"{self.name} was closed", mend="open it again")
            self._waiting.append(waiting)
            self._changed.notify_all()
        return waiting.future

    def generate(self, request: GenerationRequest) -> Generated:
        """The reply, waited for.

        Raises:
            ModelTransportError: if it took too long or the device is gone.
            ModelError: if the engine cannot answer.
        """
        found: Generated = self._wait(self.submit(request))
        return found

    def score(self, request: ScoreRequest) -> Scored:
        """The log-probabilities, waited for; raises as :meth:`generate`."""
        found: Scored = self._wait(self.submit(request))
        return found

    @property
    def counters(self) -> Counters:
        """What was done so far."""
        with self._changed:
            return self._counters

    @property
    def dead(self) -> VarveError | None:
        """Why the engine answers no more; None while it does."""
        return self._dead

    def set_gate(self, gate: Gate | None) -> None:
        """Another gate from the next batch on; None answers whatever waits."""
        with self._changed:
            self._gate = gate or _Open()
            self._changed.notify_all()

    def wake(self) -> None:
        """Ask the gate anew."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Answer nothing more; requests that wait fail. The thread ends after its current batch."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _wait(self, future: Future[R]) -> R:
        try:
            return future.result()
        except BaseException:
            future.cancel()  # an interrupted run leaves no request behind
            raise

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                self._current = batch
                self._answer(batch)
            self._end(ModelError(f"{self.name} was closed", mend="open it again"))
        except BaseException as error:  # noqa: BLE001 (whatever it is, those who wait must hear of it)
            self._end(self._cause_of_death(error))

    def _next_batch(self) -> list[Waiting]:
        """Waits for a closed batch; empty where the engine is to end."""
        with self._changed:
            while not self._closing:
                self._waiting = [one for one in self._waiting if one.check_time()]
                if self._waiting and self._gate.closed(tuple(self._waiting)):
                    batch, self._waiting = self._waiting, []
                    return batch
                self._changed.wait(self._patience())
        return []

    def _patience(self) -> float | None:
        """Seconds until the first deadline of those waiting."""
        ends = [one.deadline for one in self._waiting if one.deadline is not None]
        return max(0.0, min(ends) - stopwatch()) if ends else None

    def _answer(self, batch: list[Waiting]) -> None:
        started = stopwatch()
        for kind in (GenerationRequest, ScoreRequest):
            parts = [[one for one in batch if isinstance(one.request, kind)]]
            while parts:
                part = [one for one in parts.pop(0) if one.check_time()]
                if len(part) > self.max_batch:
                    parts[:0] = [part[: self.max_batch], part[self.max_batch :]]
                elif part:
                    parts[:0] = self._try(part)
        self._count(seconds=stopwatch() - started)

    def _try(self, part: list[Waiting]) -> list[list[Waiting]]:
        """Answer a part of a batch; what is left to do where memory did not suffice."""
        try:
            results = self._compute(part)
        except Exception as error:
            if not self.worker.out_of_memory(error):
                raise
            return self._halve(part, error)
        for one, result in zip(part, results, strict=True):
            if result is not None:
                _settle(one.future, result)
            elif not one.abandoned:
                _fail(one.future, ModelError(f"{self.name} gave no reply to a request that still waits"))
        done = [result for result in results if result is not None]
        self._count(
            requests=len(part),
            batches=1,
            largest_batch=len(part),
            prompt_tokens=sum(result.prompt_tokens for result in done),
            reused_tokens=sum(result.reused_tokens for result in done),
            output_tokens=sum(len(one.token_ids) for one in done if isinstance(one, Generated)),
        )
        return []

    def _compute(self, part: list[Waiting]) -> Sequence[Result | None]:
        if isinstance(part[0].request, GenerationRequest):
            requests = [one.request for one in part if isinstance(one.request, GenerationRequest)]
            return self.worker.generate(requests, lambda index: part[index].check_time())
        return self.worker.score([one.request for one in part if isinstance(one.request, ScoreRequest)])

    def _halve(self, part: list[Waiting], error: Exception) -> list[list[Waiting]]:
        self._count(halved=1)
        if len(part) == 1:
            failure = ModelError(
                f"{self.name}: memory does not suffice for one request alone: {_first_line(error)}",
                mend="use a smaller model, a shorter prompt, or a device with more memory",
            )
            _fail(part[0].future, failure)
            return []
        self.max_batch = half = len(part) // 2
        return [part[:half], part[half:]]

    def _cause_of_death(self, error: BaseException) -> VarveError:
        if isinstance(error, VarveError):
            return error
        told = type(error).__name__
        with suppress(BaseException):  # an error without a text: to fail here would leave all waiting
            if self.worker.lost(error):
                return ModelTransportError(
                    f"{self.name}: the device was lost: {_first_line(error)}",
                    mend="go on in a new process with: backtest run --resume RUN",
                )
            told += f": {_first_line(error)}"
        return ModelError(f"{self.name} died and answers no more: {told}", mend="start it again")

    def _end(self, reason: VarveError) -> None:
        """Fail everything that waits with the reason, and everything that comes."""
        with self._changed:
            self._dead = reason
            left, self._waiting, self._current = [*self._current, *self._waiting], [], []
        for one in left:
            _fail(one.future, _again(reason))

    def _count(self, **more: float) -> None:
        with self._changed:
            now = self._counters
            largest = max(now.largest_batch, int(more.pop("largest_batch", 0)))
            added: dict[str, Any] = {name: getattr(now, name) + value for name, value in more.items()}
            self._counters = replace(now, largest_batch=largest, **added)


def _again(error: VarveError) -> VarveError:
    """The same failure as a new object: one exception raised in many threads would gather their traces."""
    try:  # not by a call: its class may ask for other arguments
        again: VarveError = type(error).__new__(type(error), *error.args)
        vars(again).update(vars(error))
    except Exception:  # noqa: BLE001 (it is then shared: those who wait must hear of it)
        return error
    return again


def _fail(future: Pending, error: BaseException) -> None:
    with suppress(InvalidStateError):  # cancelled or answered meanwhile
        future.set_exception(error)


def _settle(future: Pending, result: Result) -> None:
    with suppress(InvalidStateError):  # cancelled meanwhile
        future.set_result(result)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
