"""One day of a FinAgent: what its stages hand on to one another, and how each asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Generic, NamedTuple, TypeVar

from varve.agents.finagent.config import Part
from varve.agents.finagent.kit import Kit, Reflection
from varve.agents.prompting import Page
from varve.agents.stage import NO_QUESTIONS, Budget, Stage
from varve.agents.tools import DayTools
from varve.finllm.chat.images import Block, ImageRefusedError, image_block, text_block
from varve.finllm.replies.forms import Filled, ReplyForm
from varve.finllm.replies.untrusted import section
from varve.market.observation import Observation
from varve.types import Document, Failure, StageNote, ToolCall, ToolSchema

R = TypeVar("R")


class Chart(NamedTuple):
    """A picture for models that see, and the same content as lines for those that do not."""

    image: Callable[[], bytes]
    table: Callable[[], list[str]]


@dataclass
class Day:
    """A day as far as it has come.

    ``items`` are the documents that were summarised, each with what was made of it; ``today`` are the
    lines of that, ``summary`` and ``past`` what is made of them and of earlier ones; ``queries`` by
    horizon are what past intelligence is recalled by.
    """

    observation: Observation
    page: Page
    market: dict[str, object]
    now_reflecting: bool
    items: list[tuple[Document, Filled]] = field(default_factory=list)
    today: list[str] = field(default_factory=list)
    summary: str = ""
    past: str = ""
    queries: dict[str, str] = field(default_factory=dict)
    low: Reflection | None = None
    high: Reflection | None = None
    notes: list[StageNote] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    tool_calls: tuple[ToolCall, ...] = ()

    def intelligence(self) -> str:
        """Today's and past intelligence as a section, as every later stage is shown it."""
        lines = [*self.today]
        if self.summary:
            lines.append(f"today: {self.summary}")
        if self.past:
            lines.append(f"before: {self.past}")
        return section("INTELLIGENCE", lines or ["none"])

    def skip(self, stage: str, why: str) -> None:
        """Note that a stage had nothing to ask."""
        self.notes.append(StageNote(stage, "skipped", why))


class DayStage(Generic[R]):
    """Base of a FinAgent's stages: one prompt file of the stage's name, one form."""

    name: ClassVar[str]

    def __init__(
        self,
        kit: Kit,
        form: ReplyForm[R],
        labels: Sequence[str] = (),
        questions: Sequence[ToolSchema] = (),
        budget: Budget = NO_QUESTIONS,
    ) -> None:
        self.kit, self.config = kit, kit.config
        self._stage = Stage(self.name, form, labels, questions, budget)

    def ask(
        self,
        day: Day,
        *,
        chart: Chart | None = None,
        known: Sequence[str] | None = None,
        tools: DayTools | None = None,
        **values: object,
    ) -> R | Failure:
        """The stage's question about a day, noted with what became of it.

        Raises:
            ModelTransportError: if the model cannot be reached.
        """
        note = StageNote(self.name, "done")
        content: str | list[str | Block]
        if chart is None:
            content = self._text(day, **values)
        elif self.kit.sees:
            note = replace(note, shown="image")
            text = self._text(day, chart="The chart stands below as an image.", **values)
            content = [text_block(text), image_block(chart.image())]
        else:
            note = replace(note, shown="table", detail=self.kit.blind_because)
            content = self._text(day, chart=section("CHART", chart.table()), **values)
        try:
            talk = self._stage.ask(
                self.kit.session, self.kit.system, content, day.page, known=known, tools=tools
            )
        except ImageRefusedError as error:
            self.kit.go_blind(error.message)
            return self.ask(day, chart=chart, known=known, tools=tools, **values)
        day.tool_calls += talk.tool_calls
        if isinstance(talk.reply, Failure):
            day.failures.append(talk.reply)
            failed = f"{talk.reply.reason.value}: {talk.reply.detail}"
            note = replace(note, state="failed", detail="; ".join(filter(None, [failed, note.detail])))
        day.notes.append(note)
        return talk.reply

    def _text(self, day: Day, **values: object) -> str:
        return self.kit.prompts.render(self.name, **day.market, **values)


class DayPart(DayStage[R], ABC):
    """A stage that the switch ``part`` turns off."""

    part: ClassVar[Part]

    def run(self, day: Day) -> None:
        """Do the stage's work where it is switched on."""
        if self.config.has(self.part):
            self.work(day)

    @abstractmethod
    def work(self, day: Day) -> None:
        """Ask and keep what is answered."""
