"""A run with several memories, from the agent to the commands that look at them."""

from datetime import date

import pytest
from pydantic import Field

from varve.backtests.config import RunConfig
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.memories import remembered, told_of_run
from varve.backtests.runner import run_backtest
from varve.backtests.simulate.prepare import find_trader
from varve.backtests.simulate.starting_memory import import_snapshot
from varve.config import FrozenConfig
from varve.memory import (
    LabelledQuery,
    LayeredMemory,
    MemoryConfig,
    NewMemory,
    citation,
    get_embedder,
    of_citation,
)
from varve.memory.history import lives, names, timeline
from varve.strategies.base import Trader
from varve.types import Action, Decision, Intent

NAMES = ("market_intelligence", "low_level")


class TwoMemoriesConfig(FrozenConfig):
    memory: MemoryConfig = Field(default_factory=lambda: MemoryConfig.build(flush_every_sessions=5))


class TwoMemories(Trader):
    """Buys and sells in turns and cites what it read, and what it thought, by horizon."""

    name = "two-memories"
    Config = TwoMemoriesConfig
    takes_memory = True

    def begin(self, context):
        super().begin(context)
        self.memories = {
            name: LayeredMemory(
                self.config.memory,
                get_embedder(context.embedder),
                seed=context.seed,
                trace=context.trace,
                folder=context.memory_folder,
                run_id=context.run_id,
                name=name,
                snapshot=context.snapshot,
            )
            for name in NAMES
        }

    def learn(self, outcome):
        for cited in outcome.cited_memories:
            name, memory_id = of_citation(cited)
            self.memories[name].credit([memory_id], outcome.reward, outcome.available_at)

    def decide(self, observation):
        now, ticker = observation.decision_at, observation.instrument.symbol
        texts = [(document.text, document.available_at) for document in observation.new_documents()]
        thought = (f"step {observation.step} looked up", now)
        for name, read in (("market_intelligence", texts), ("low_level", [thought])):
            items = [
                NewMemory(text, "short", ticker, at, at, "note", {"horizon": ("short", "long")[n % 2]})
                for n, (text, at) in enumerate(read)
            ]
            self.memories[name].add_many(items, now=now)
        queries = [LabelledQuery(h, f"{h} news of {ticker}", {"horizon": h}) for h in ("short", "long")]
        cited = []
        for name, memory in self.memories.items():
            hits = memory.recall_labelled(queries, now, 2, "short", ticker)["short"]
            cited += [citation(name, hit.id) for hit in hits[:1]]
            memory.close_session(now)
        action = Action.BUY if observation.step % 4 < 2 else Action.SELL
        return Decision(orders=(Intent(observation.instrument, action),), cited_memories=tuple(cited))

    def finish(self):
        for memory in self.memories.values():
            memory.close()


def register(patch):
    patch.setattr(
        "varve.backtests.simulate.prepare.find_trader",
        lambda name: TwoMemories if name == TwoMemories.name else find_trader(name),
    )


def run_two(start, end, **more):
    dates = {"start": date.fromisoformat(start), "end": date.fromisoformat(end)}
    return run_backtest(RunConfig.build(agent=TwoMemories.name, ticker="TSLA", **dates, **more))


@pytest.fixture
def run(varve_home, monkeypatch):
    register(monkeypatch)
    return RunFolder(run_two("2023-03-01", "2023-04-14").path)


def test_every_command_and_the_report_keep_the_memories_apart(backtest, run, tmp_path):
    told = told_of_run(run)
    assert names(told) == list(NAMES)
    memories = {name: remembered(run, told, name) for name in NAMES}
    found = lives(told)
    for name, memory in memories.items():
        assert timeline(told, name)[-1].sizes == memory.sizes()
        assert sum(life.cited for life in found.values() if life.memory == name) == len(told)
        assert any(sum(life.credits) for life in found.values() if life.memory == name)
    code, out, err = backtest("memory", "show", "latest", "--query", "step 3", "--top", "3")
    assert (code, err) == (0, "")
    for name, memory in memories.items():
        assert f"memory {name} of run {run.run_id} after session" in " ".join(out.split())
        assert f"{len(memory):,} memories" in " ".join(out.split())
    code, out, err = backtest("memory", "timeline", "latest")
    assert (code, err) == (0, "")
    page = run.report.read_text()
    for name in NAMES:
        assert f"memory {name} of run" in out
        assert (run.path / f"memory-{name}.png").exists()
        assert f'alt="memory-{name} chart"' in page
    assert "not in the journal" not in page
    code, out, err = backtest("memory", "rebuild", "latest")
    assert (code, err) == (0, "")
    assert out.count("rebuilt memory") == 2
    for name, memory in memories.items():
        rest = {"folder": run.memory, "run_id": run.run_id, "name": name}
        stored = LayeredMemory.load(memory.config, get_embedder("hashing"), **rest)
        stored.abandon()
        assert stored.digest() == memory.digest()
    file = tmp_path / "two.parquet"
    assert backtest("memory", "export", "latest", file)[0] == 0
    later = RunFolder(run_two("2023-05-01", "2023-05-12", memory=import_snapshot(file).id).path)
    begun = told_of_run(later)
    for name, memory in memories.items():
        brought = [e for e in begun[0].events if e.kind == "imported" and e.data["memory"] == name]
        assert [event.memory_id for event in brought] == memory.ids()
        assert len(timeline(begun, name)) == len(begun)


def test_a_run_with_two_memories_replays(backtest, run):
    code, out, err = backtest("replay", "latest")
    assert code == 0, out + err
