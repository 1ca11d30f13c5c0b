"""Many runs on one model, in step: a batch is closed when every run waits for a reply or is finished.

What is in a batch then follows from what the runs do and never from when they come. Runs that ask no
model of this process are not waited for. Light on import.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from varve.finllm.engine.queue import Engine, Waiting

R = TypeVar("R")


def in_step(runs: Sequence[tuple[object, Callable[[], R]]]) -> list[R]:
    """Runs in step, each in a thread of its own; what each gives, in order.

    Runs without a model of this process go one after another: they gain nothing by a thread, and a server
    is not asked by all at once.

    Args:
        runs: the model of each (None for one without) and what it does.

    Raises:
        BaseException: the first failure in order, once those in step have ended.
    """
    stepping = [n for n, (model, _) in enumerate(runs) if isinstance(getattr(model, "engine", None), Engine)]
    steps = Lockstep(len(stepping))
    found: dict[int, R] = {}
    failed: dict[int, BaseException] = {}

    def one(number: int) -> None:
        model, work = runs[number]
        try:
            steps.enter(model)
            found[number] = work()
        except BaseException as error:  # noqa: BLE001 (raised by the thread that waits)
            failed[number] = error
        finally:
            steps.forget()

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in stepping]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        steps.open()  # where this thread was interrupted, nobody waits for the others for ever
        steps.close()
    if failed:
        raise failed[min(failed)]
    return [found[n] if n in found else work() for n, (_, work) in enumerate(runs)]


class Lockstep:
    """Keeps runs in step, each in a thread of its own.

    Args:
        runs: how many will come; no batch is closed before all of them have entered or left.
    """

    def __init__(self, runs: int) -> None:
        self._lock = threading.Lock()
        self._coming = runs
        self._entered: set[int] = set()
        self._live: dict[Engine, set[int]] = {}
        self._open = False

    def enter(self, model: object) -> None:
        """This thread's run begins, with that model (None for a run without one)."""
        engine = getattr(model, "engine", None)
        if isinstance(engine, Engine):
            # Before this lock is taken: the engine asks its gate with its own lock held.
            engine.set_gate(_Gate(self, engine))
        with self._lock:
            self._coming -= 1
            self._entered.add(threading.get_ident())
            if isinstance(engine, Engine):
                self._live.setdefault(engine, set()).add(threading.get_ident())
        self._wake()

    def leave(self) -> None:
        """This thread's run asks nothing more; also where it never began. A second call does nothing."""
        mine = threading.get_ident()
        with self._lock:
            if mine not in self._entered:
                self._coming -= 1
            self._entered.add(mine)
            for live in self._live.values():
                live.discard(mine)
        self._wake()

    def forget(self) -> None:
        """This thread ends; another one may come to have its number."""
        self.leave()
        with self._lock:
            self._entered.discard(threading.get_ident())

    def open(self) -> None:
        """Wait for nobody any more: the runs are being stopped."""
        with self._lock:
            self._open = True
        self._wake()

    def close(self) -> None:
        """Leave every engine as it was."""
        for engine in self._live:
            engine.set_gate(None)

    def all_wait(self, engine: Engine, waiting: Sequence[Waiting]) -> bool:
        """Whether a batch of those waiting is whole."""
        owners = {one.owner for one in waiting}
        with self._lock:
            return self._open or (self._coming == 0 and self._live.get(engine, set()) <= owners)

    def _wake(self) -> None:
        for engine in tuple(self._live):
            engine.wake()


class _Gate:
    """A :class:`~varve.finllm.engine.queue.Gate` for one engine of those in step."""

    def __init__(self, steps: Lockstep, engine: Engine) -> None:
        self._steps, self._engine = steps, engine

    def closed(self, waiting: Sequence[Waiting]) -> bool:
        """Whether every run that asks this engine waits."""
        return self._steps.all_wait(self._engine, waiting)
