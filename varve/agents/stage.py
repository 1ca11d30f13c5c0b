"""A stage of an agent's day: one question to the model with one prompt and one form for the reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from langchain_core.messages import HumanMessage, SystemMessage

from varve.agents.dialogue import Dialogue, Talk
from varve.agents.prompting import Page
from varve.agents.tools import DayTools, tool_name
from varve.finllm.chat.images import Block
from varve.finllm.chat.session import ModelSession
from varve.finllm.replies.forms import ReplyForm
from varve.types import ToolSchema

R = TypeVar("R")


@dataclass(frozen=True)
class Budget:
    """What a stage may ask before it replies: rounds, questions in each, and tokens of all answers."""

    rounds: int
    calls: int
    tokens: int | None = None


NO_QUESTIONS = Budget(0, 0)


@dataclass(frozen=True)
class Stage(Generic[R]):
    """One question, the same every day but for the day's text.

    Args:
        name: in the journal; its calls are counted under it.
        form: what the model fills in.
        labels: of lines that a reply can name, all that there can ever be.
        questions: schemas of tools that may be asked before; bound in every call.
        budget: of these questions.
    """

    name: str
    form: ReplyForm[R]
    labels: Sequence[str] = ()
    questions: Sequence[ToolSchema] = ()
    budget: Budget = NO_QUESTIONS
    _schemas: list[ToolSchema] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Made once: a session knows the tools of its last call by being the same objects.
        object.__setattr__(self, "_schemas", [*self._questions, self.form.schema(self.labels)])

    @property
    def _questions(self) -> Sequence[ToolSchema]:
        return self.questions if self.budget.rounds else ()

    def ask(
        self,
        session: ModelSession,
        system: SystemMessage,
        content: str | list[str | Block],
        page: Page,
        *,
        known: Sequence[str] | None = None,
        tools: DayTools | None = None,
    ) -> Talk[R]:
        """Ask, with at most one re-ask.

        Args:
            content: the day's text, or its content blocks.
            known: the labels that were shown; those of ``page`` when None.
            tools: answer the questions.

        Raises:
            ModelTransportError: if the model cannot be reached.
        """
        names = [tool_name(schema) for schema in self._questions]
        return Dialogue[R](
            session,
            self._schemas,
            self.name,
            lambda message: self.form.parse(message, page.ids if known is None else known, names),
            lambda: page.cut_items,
            tools,
            self.budget.rounds,
            self.budget.calls,
            self.budget.tokens,
        ).run([system, HumanMessage(content)])
