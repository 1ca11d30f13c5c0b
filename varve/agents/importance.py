"""How important a new memory is, judged once by the language model (memory setting ``judged``)."""

from __future__ import annotations

from langchain_core.messages import SystemMessage

from varve.agents.prompting import Page, Prompts
from varve.agents.stage import Stage
from varve.finllm.chat.session import ModelSession
from varve.finllm.replies.forms import Choice, Form
from varve.finllm.replies.untrusted import section
from varve.memory.state.records import NewMemory
from varve.types import Failure

POINTS = {"trivial": 10.0, "low": 30.0, "medium": 50.0, "high": 70.0, "vital": 90.0}
"""What each answer is worth, in points of importance."""

FORM = Form(
    "rate_importance",
    "Say how much the text matters to the price.",
    {"importance": Choice("How much it matters.", tuple(POINTS))},
)


class ImportanceJudge:
    """Asks the model, one call a text with at most one re-ask, in the stage ``importance``.

    The prompt holds nothing but the text, its kind, its day and what it is about: the same text gets the
    same question in every run, so that the reply cache answers it from the second run on.

    Args:
        session: calls the model.
        max_tokens: what a text is cut to, four characters each.
    """

    def __init__(self, session: ModelSession, max_tokens: int) -> None:
        self._session, self._max_tokens = session, max_tokens
        self._stage = Stage("importance", FORM)
        self._system = SystemMessage(Prompts("varve.agents").render("importance"))

    def __call__(self, item: NewMemory) -> float | None:
        """Points from 0 to 100; None where neither reply could be used.

        Raises:
            ModelTransportError: if the model cannot be reached.
        """
        page = Page(0, memory_tokens=self._max_tokens, news_tokens=self._max_tokens)
        day = item.event_time.date().isoformat()
        line = page.line("-", day, item.kind, item.text, self._max_tokens)
        about = f"Ticker: {item.ticker or 'the whole market'}"
        talk = self._stage.ask(self._session, self._system, f"{about}\n{section('TEXT', [line])}", page)
        return None if isinstance(talk.reply, Failure) else POINTS[talk.reply["importance"]]
