"""Whole FinMem decisions with the model stubbed: recall, prompt, parse, journal; store flush beside.

The bar is four times what FinMem's released code was measured at, 35 to 38 sessions per CPU-second.
"""

import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from varve.backtests.config import RunConfig
from varve.backtests.record.journal import Journal
from varve.backtests.simulate.prepare import Prepared, prepare
from varve.backtests.simulate.steps import steps_of
from varve.types import Trace


class Stub(BaseChatModel):
    """Answers every prompt with the same decision, at once."""

    tool: str = "decide"

    @property
    def _llm_type(self) -> str:
        return "stub"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        """A stub that calls the first of decide and explain that is offered."""
        names = [tool["function"]["name"] for tool in tools]
        return Stub(tool="decide" if "decide" in names else "explain")

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        arguments: dict[str, Any] = {"rationale": "Stubbed.", "cited_memories": ["M1", "M2"]}
        if self.tool == "decide":
            arguments |= {"action": "BUY", "confidence": 60}
        call = {"name": self.tool, "args": arguments, "id": "1", "type": "tool_call"}
        return ChatResult(generations=[ChatGeneration(message=AIMessage("", tool_calls=[call]))])


def _prepared() -> Prepared:
    config = RunConfig.build(
        agent="finmem", ticker="TSLA", data="sample", llm="scripted",
        start=date(2023, 1, 3), end=date(2023, 12, 29),
        warmup_start=date(2022, 7, 1),
    )  # fmt: skip
    prepared = prepare(config)
    return Prepared(**{**vars(prepared), "model": Stub()})


def _decide(folder: Path) -> tuple[int, float, float]:
    """Steps, CPU seconds without and of the last flush."""
    prepared = _prepared()
    journal = Journal(folder / "journal.db", run_id="benchmark")
    started, steps = time.process_time(), 0
    for record in steps_of(prepared, memory_folder=None, run_id="benchmark", trace=Trace()):
        journal.append(record)
        steps += 1
    spent = time.process_time() - started
    journal.close()
    return steps, spent, _flush_seconds(prepared, folder)


def _flush_seconds(prepared: Prepared, folder: Path) -> float:
    """CPU seconds that keeping the memories in chromadb adds, its import included."""
    started = time.process_time()
    for _ in steps_of(prepared, memory_folder=folder / "memory", run_id="flushed", trace=Trace()):
        pass
    with_store = time.process_time() - started
    started = time.process_time()
    for _ in steps_of(prepared, memory_folder=None, run_id="plain", trace=Trace()):
        pass
    return with_store - (time.process_time() - started)


def run() -> list[tuple[str, float, str]]:
    """Name, value and unit of each figure."""
    with tempfile.TemporaryDirectory() as folder:
        steps, spent, flush = _decide(Path(folder))
    return [
        (
            "FinMem decisions and lessons, model stubbed, journal on disk (bar 152)",
            steps / spent,
            "per CPU-second",
        ),
        ("store flush beside it, chromadb's import included", flush, "CPU-seconds for the run"),
        ("steps of that run", steps, "steps"),
    ]
