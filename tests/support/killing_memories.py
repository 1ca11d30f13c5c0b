"""Lives of a memory that end by SIGKILL: run in a process of its own, which imports once and forks per trial.

``python killing.py FOLDER TRIALS`` prints one JSON line per trial. A child lives some days with a journal
and a store, and tells which act begins; the parent kills it a moment after a chosen act, often within
a flush. Each fourth trial goes on from there in another child, which is killed too. The last child
opens what is left, checks it and lives on to the end.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import chromadb  # noqa: F401 (imported before the forks, once for all of them)

from tests.support.memory_helpers import TableEmbedder, day, put
from varve.clock import iso, parse_iso
from varve.memory import LayeredMemory, MemoryConfig
from varve.memory.disk.chroma import ChromaStore
from varve.memory.state.config import TIERS
from varve.types import MemoryEvent, Trace

DAYS, FLUSH_EVERY = 12, 3
FLUSHES = DAYS // FLUSH_EVERY + DAYS // 2
CONFIG = MemoryConfig.build(
    flush_every_sessions=FLUSH_EVERY, purge_after_taus=1.0, credits_to_promote=1.0,
    short={"tau_days": 2.0, "promote_at": 40.0}, reflection={"tau_days": 4.0},
)  # fmt: skip
"""Memories rise and are purged within days, so that a flush holds additions, changes and deletions."""


def live(memory: LayeredMemory, n: int) -> None:
    """One day: news, a copy, a report, a thought, recall, credit, the close."""
    ids = [put(memory, f"news {n} {i}", at=n) for i in range(6)]
    put(memory, f"news {n - 1} 2", at=n)
    put(memory, f"report {n}", at=n, tier="mid")
    put(memory, f"thought {n}", at=n, tier="reflection", links=(ids[0],))
    found = memory.recall(f"news {n}", day(n), 4)
    memory.credit([hit.id for hit in found["short"]], 1 if n % 3 else -1, day(n))
    memory.credit([hit.id for tier in ("mid", "reflection") for hit in found[tier][:2]], -1, day(n))
    memory.close_session(day(n))


class EventFile:
    """A journal: one line per day, whole or not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, events: list[MemoryEvent]) -> None:
        line = json.dumps([[e.kind, e.memory_id, iso(e.at), dict(e.data)] for e in events]) + "\n"
        with self.path.open("a") as file:
            file.write(line)

    def days(self) -> list[list[MemoryEvent]]:
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        return [
            [MemoryEvent(kind, memory_id, parse_iso(at), data) for kind, memory_id, at, data in json.loads(x)]
            for x in lines
            if x.endswith("\n")
        ]


def flat(days: list[list[MemoryEvent]]) -> list[MemoryEvent]:
    return [event for of_day in days for event in of_day]


def life(folder: Path, told: int) -> None:
    """Live the days that the journal does not hold; the byte that goes out names the act that begins."""
    trace, journal = Trace(), EventFile(folder / "journal.jsonl")
    past = journal.days()
    rest = {"trace": trace, "folder": folder / "memory"}
    if past:
        memory = LayeredMemory.resume(flat(past), CONFIG, TableEmbedder(), **rest)
    else:
        memory = LayeredMemory.replay([], CONFIG, TableEmbedder(), **rest)
    write = ChromaStore.write

    def flush(self: ChromaStore, *args: object, **options: object) -> None:
        os.write(told, b"f")
        write(self, *args, **options)
        os.write(told, b"w")
        time.sleep(0.004)  # long enough to be killed before the journal's line

    ChromaStore.write = flush
    for n in range(len(past), DAYS):
        os.write(told, b"d")
        live(memory, n)
        journal.append(trace.memory_events)  # the step's transaction comes after what the step did
        trace.memory_events.clear()
        if n % 2:
            memory.flush()  # nothing in it that the journal does not hold
    memory.close()
    os.write(told, b"e")
    time.sleep(60)


def check(folder: Path) -> str:
    """Open what is left; recall is what the journal says, and so is the store after the last day."""
    days = EventFile(folder / "journal.jsonl").days()
    events = flat(days)
    expected = LayeredMemory.replay(events, CONFIG, TableEmbedder())
    embedder = TableEmbedder()
    memory = LayeredMemory.resume(events, CONFIG, embedder, folder=folder / "memory")
    stored = sum(event.kind == "added" for event in events)
    rebuilt = sum(map(len, embedder.calls)) == stored > 0
    compare(memory, expected, len(days))
    for n in range(len(days), DAYS):
        live(memory, n)
        live(expected, n)
    memory.close()
    check_store(folder, expected)
    loaded = LayeredMemory.load(CONFIG, TableEmbedder(), folder=folder / "memory")
    compare(loaded, expected, DAYS)
    loaded.close()
    return "rebuilt" if rebuilt else "read"


def compare(memory: LayeredMemory, expected: LayeredMemory, days: int) -> None:
    assert memory.digest() == expected.digest(), "another state"
    for n in range(days + 1):
        found = memory.recall(f"news {n}", day(days), 500)
        assert found == expected.recall(f"news {n}", day(days), 500), f"another recall of day {n}"
        texts = [hit.text for hits in found.values() for hit in hits]
        assert len(texts) == len(set(texts)), "a memory twice"
        assert len(texts) == len(expected), "a memory lost"


def check_store(folder: Path, expected: LayeredMemory) -> None:
    """Each live memory is stored once, in its tier, and nothing else is."""
    store = ChromaStore(folder / "memory", "run", "finmem")
    stored = store.read()
    store.close()
    assert stored is not None, "nothing is stored"
    found = {tier: sorted(row.id for row in rows) for tier, rows in stored.rows.items()}
    assert found == {tier: expected.ids(tier) for tier in TIERS}, "the store holds something else"


def forked(act: object, *args: object) -> tuple[int, int]:
    """A child that runs ``act``; its process id, and the end of the pipe that it tells its acts to."""
    listen, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        return child, listen
    code = 1
    try:
        os.close(listen)
        act(*args, told)
        code = 0
    except BaseException as error:  # noqa: BLE001 (the parent is told)
        os.write(told, f"{error!r}\n{traceback.format_exc()}".encode())
    finally:
        os._exit(code)


def acts(listen: int) -> Iterator[str]:
    while got := os.read(listen, 1):
        yield got.decode()


MOMENTS = (
    ("d", DAYS, 0.008),
    ("f", FLUSHES, 0.1),
    ("d", DAYS, 0.008),
    ("f", FLUSHES, 0.1),
    ("w", FLUSHES, 0.0),
)
"""Acts after whose beginning it is killed, how many there are in a life, and the longest wait (seconds):
in a day, in a flush, and between a flush and the journal's line of that day."""


def kill(folder: Path, draw: random.Random, moment: int, *, again: bool = False) -> list[str]:
    """One life and its end; the acts that it told of, the last one unfinished."""
    wanted, acts_of_life, longest = MOMENTS[moment % len(MOMENTS)]
    nth = draw.randrange(1, 1 + acts_of_life // (2 if again else 1))
    wait = longest * draw.random()
    child, listen = forked(life, folder)
    seen = []
    for act in acts(listen):
        seen.append(act)
        if seen.count(wanted) == nth or act == "e":
            break
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seen.extend(acts(listen))
    os.close(listen)
    assert os.WIFSIGNALED(status), f"the life ended by itself: {''.join(seen)}"
    return seen


def trial(folder: Path, number: int, draw: random.Random) -> dict[str, object]:
    """Kill a life and check what is left."""
    seen = kill(folder, draw, number)
    if number % 4 == 0:
        seen = kill(folder, draw, number // 4, again=True)
    child, listen = forked(lambda told: os.write(told, check(folder).encode()))
    said = b""
    while part := os.read(listen, 65536):
        said += part
    os.close(listen)
    _, status = os.waitpid(child, 0)
    where = {"f": "in a flush", "w": "after a flush", "d": "between flushes", "e": "at the end"}
    return {
        "trial": number,
        "killed": where[seen[-1]],
        "right": status == 0,
        "said": said.decode(),
    }


def main() -> None:
    folder, trials = Path(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(20260101)
    for number in range(trials):
        place = folder / str(number)
        place.mkdir()
        print(json.dumps(trial(place, number, draw)), flush=True)
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
