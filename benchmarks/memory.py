"""Layered memory beside a model of FinMem's, and by size: 384-d vectors given, no model, one thread.

W1: 250 sessions; in each 12 news in one batch, a 10-Q every 63rd and a 10-K every 252nd, a recall of 5
from each of four tiers, a reflection, from the seventh on a credit (+1 even, −1 odd) to all that was
recalled six sessions before, and the close of the session.
"""

from __future__ import annotations

import gc
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.finmem_layer import FinMemLayer, Vectors
from varve.memory import LayeredMemory, MemoryConfig, NewMemory

DIMENSION, SESSIONS, NEWS, K, REPEATS = 384, 250, 12, 5, 5
SIZES = (1_000, 10_000, 50_000, 100_000)
SHARES = {"short": 0.75, "mid": 0.1, "long": 0.05, "reflection": 0.1}
QUERIES, CLOSES = 100, 11
START = datetime(2021, 1, 4, 14, tzinfo=UTC)


class NoEmbedder:
    """Every vector is given; a text that has to be embedded is an error."""

    name, fingerprint, dimension = "given", "given", DIMENSION

    def embed(self, texts: object) -> Vectors:
        """Never."""
        raise AssertionError("the benchmark gives every vector")


class Session(NamedTuple):
    """What one session of W1 brings: its place, batches by tier, the query and the thought's vector."""

    number: int
    now: datetime
    batches: tuple[tuple[str, str, list[str], Vectors], ...]
    query: Vectors


def _vectors(draw: np.random.Generator, n: int) -> Vectors:
    made = draw.normal(size=(n, DIMENSION)).astype(np.float32)
    unit: Vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def _texts(what: str, number: int, n: int) -> list[str]:
    rest = "the firm tells of orders, margins and its outlook for the year, and what analysts made of it"
    return [f"{what} {number}.{i}: {rest}" for i in range(n)]


def workload() -> list[Session]:
    """W1, the same for both sides."""
    draw, sessions = np.random.default_rng(0), []
    for n in range(SESSIONS):
        batches = [("short", "news", _texts("News", n, NEWS), _vectors(draw, NEWS))]
        if n % 63 == 0:
            batches.append(("mid", "10-Q", _texts("Quarter", n, 1), _vectors(draw, 1)))
        if n % 252 == 0:
            batches.append(("long", "10-K", _texts("Year", n, 1), _vectors(draw, 1)))
        batches.append(("reflection", "rationale", _texts("Thought", n, 1), _vectors(draw, 1)))
        now = START + timedelta(days=n * 365 / 252)
        sessions.append(Session(n, now, tuple(batches), _vectors(draw, 1)[0]))
    return sessions


def _items(tier: str, kind: str, texts: list[str], now: datetime) -> list[NewMemory]:
    return [NewMemory(text, tier, "TSLA", now, now, kind) for text in texts]


def live(memory: LayeredMemory, sessions: list[Session]) -> None:
    """W1 in Varve."""
    shown: list[list[str]] = []
    for n, now, batches, query in sessions:
        *facts, thought = batches
        for tier, kind, texts, vectors in facts:
            memory.add_many(_items(tier, kind, texts, now), now=now, vectors=vectors)
        found = memory.recall(query, now, K, ticker="TSLA")
        shown.append([hit.id for hits in found.values() for hit in hits])
        tier, kind, texts, vectors = thought
        memory.add_many(_items(tier, kind, texts, now), now=now, vectors=vectors)
        if n >= 6:
            memory.credit(shown[n - 6], -1 if n % 2 else 1, now)
        memory.close_session(now)
        memory.trace.memory_events.clear()  # a step's events go into its journal


def live_finmem(layer: FinMemLayer, sessions: list[Session]) -> None:
    """W1 in the model of FinMem's layer."""
    shown: list[list[int]] = []
    for n, _, batches, query in sessions:
        *facts, thought = batches
        for tier, _, texts, vectors in facts:
            layer.add(tier, texts, vectors)
        shown.append(layer.recall(query, K))
        tier, _, texts, vectors = thought
        layer.add(tier, texts, vectors)
        if n >= 6:
            layer.credit(shown[n - 6], -1 if n % 2 else 1)
        layer.close_session()


def cpu_seconds(act: Callable[[], object]) -> float:
    """Of one call."""
    started = time.process_time()
    act()
    return time.process_time() - started


def _memory(folder: Path | None = None) -> LayeredMemory:
    return LayeredMemory(MemoryConfig.build(), NoEmbedder(), folder=folder)


class FlushShare:
    """CPU seconds that a memory's flushes take, the rest of its work left out."""

    def __init__(self, memory: LayeredMemory) -> None:
        self.seconds, self._flush = 0.0, memory.flush
        memory.flush = self._timed  # type: ignore[method-assign]

    def _timed(self) -> None:
        self.seconds += cpu_seconds(self._flush)


def _flushed(sessions: list[Session], folder: Path) -> tuple[float, float]:
    """CPU seconds of W1 on disk to the last write, and of them those of the flushes."""
    memory = _memory(folder)
    share = FlushShare(memory)

    def whole() -> None:
        live(memory, sessions)
        memory.close()

    return cpu_seconds(whole), share.seconds


def _finmem(sessions: list[Session], folder: Path) -> float:
    """CPU seconds of the model with the log that FinMem writes."""
    log, handler = logging.Logger("finmem"), logging.FileHandler(folder / "finmem.log", mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))
    log.addHandler(handler)
    spent = cpu_seconds(lambda: live_finmem(FinMemLayer(DIMENSION, log), sessions))
    handler.close()
    return spent


def _w1(folder: Path) -> list[tuple[str, float, str]]:
    sessions = workload()
    warm = _memory(folder / "warm")  # chromadb's import is no part of a session
    live(warm, sessions[:2])
    warm.close()
    gc.collect()
    gc.freeze()  # neither side pays for looking through what the process has imported
    finmem, silent, loop, flushed = [], [], [], []
    for n in range(REPEATS):  # by turns: what else the machine does hits all alike
        finmem.append(_finmem(sessions, folder))
        silent.append(cpu_seconds(lambda: live_finmem(FinMemLayer(DIMENSION), sessions)))
        loop.append(cpu_seconds(lambda: live(_memory(), sessions)))
        flushed.append(_flushed(sessions, folder / str(n)))
    reference, without, ours = median(finmem), median(silent), median(loop)
    disk, flush = (median(column) for column in zip(*flushed, strict=True))
    rate = "sessions per CPU-second"
    return [
        ("W1, model of FinMem's layer", SESSIONS / reference, rate),
        ("W1, the same without its log lines", SESSIONS / without, rate),
        ("W1, Varve, session loop", SESSIONS / ours, rate),
        ("W1, loop ÷ model (bar 5, aim 10)", reference / ours, "×"),
        ("W1, loop ÷ model without log lines", without / ours, "×"),
        ("W1, Varve, flushed to chromadb on disk", SESSIONS / disk, rate),
        ("W1, flushed ÷ model (bar 0.5, aim 1)", reference / disk, "×"),
        ("W1, flushed ÷ model without log lines", without / disk, "×"),
        ("W1, share of the flushes in that", 100 * flush / disk, "%"),
    ]


def _fill(memory: LayeredMemory, n: int, draw: np.random.Generator) -> datetime:
    """Store ``n`` memories that were readable over the last 30 days; the present instant."""
    now = START + timedelta(days=31)
    for tier, share in SHARES.items():
        count = round(n * share)
        for first in range(0, count, 5_000):
            part = range(first, min(first + 5_000, count))
            items = [
                NewMemory(text, tier, "TSLA", at, at, "news")
                for i, text in zip(part, _texts(tier, first, len(part)), strict=True)
                for at in [START + timedelta(days=30 * i / count)]
            ]
            memory.add_many(items, now=now, vectors=_vectors(draw, len(part)))
    memory.trace.memory_events.clear()
    return now


def _of_size(n: int, folder: Path) -> list[tuple[str, float, str]]:
    draw = np.random.default_rng(n)
    before = _resident_mib()
    memory = _memory(folder)
    now = _fill(memory, n, draw)
    held = _resident_mib() - before
    recalls, closes, ids = [], [], memory.ids()
    for query in _vectors(draw, QUERIES):
        recalls.append(1e3 * cpu_seconds(partial(memory.recall, query, now, K, ticker="TSLA")))
    for i in range(CLOSES):
        now += timedelta(hours=1)
        memory.credit(ids[i :: len(ids) // 20][:20], 1, now)
        closes.append(1e3 * cpu_seconds(partial(memory.close_session, now)))
    memory.flush()
    memory.close()
    disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    load = cpu_seconds(lambda: LayeredMemory.load(MemoryConfig.build(), NoEmbedder(), folder=folder).close())
    told = f"{n:,} stored"
    return [
        (f"{told}, recall of {K} from four tiers, p50", float(np.percentile(recalls, 50)), "CPU-ms"),
        (f"{told}, the same, p95", float(np.percentile(recalls, 95)), "CPU-ms"),
        (f"{told}, session close after 20 credits{_BAR.get(n, '')}", median(closes), "CPU-ms"),
        (f"{told}, in this process", held, "MiB"),
        (f"{told}, on disk", disk, "MiB"),
        (f"{told}, loading", load, "CPU-seconds"),
    ]


_BAR = {50_000: " (bar 5, aim 1)"}


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def run(sizes: tuple[int, ...] = SIZES) -> list[tuple[str, float, str]]:
    """Name, value and unit of each figure."""
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        figures = _w1(Path(folder))
        for n in sizes:
            figures += _of_size(n, Path(folder) / f"size-{n}")
            shutil.rmtree(Path(folder) / f"size-{n}")
    return figures
