"""The two reflections: why prices moved, and what of one's own decisions was right.

FinAgent (arXiv 2402.18485), section 4.4. Both speak of what had happened by the decision instant alone:
moves up to the last close, and outcomes that are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Final

import numpy as np

from varve.agents.finagent.charts import kline_chart, kline_table, trading_chart, trading_table
from varve.agents.finagent.config import MOVES_SESSIONS, Part
from varve.agents.finagent.day import Chart, Day, DayPart
from varve.agents.finagent.kit import Kit, Made, Reflection
from varve.agents.prompting import cleaned, percent, position_text
from varve.clock import iso
from varve.finllm.replies.forms import Filled, Form, Text
from varve.finllm.replies.untrusted import section
from varve.memory.protocol import Memory
from varve.memory.state.records import Recalled, citation
from varve.strategies.indicators import momentum
from varve.types import Failure

LOW: Final = "low_reflection"
HIGH: Final = "high_reflection"
"""Names of the stages, and kinds of what they leave in memory."""

MAX_TOKENS, MAX_QUERY_TOKENS, REASON_TOKENS = 120, 60, 40


class LowReflection(DayPart[Filled]):
    """Why the price moved over the last sessions, from the K-line chart and the intelligence."""

    name: ClassVar[str] = LOW
    part: ClassVar[Part] = LOW

    def __init__(self, kit: Kit) -> None:
        short, medium, long = MOVES_SESSIONS
        form = Form(
            "explain_moves",
            "Explain the latest moves of the price.",
            {
                "short": Text(f"Why it moved as it did over {short} session.", MAX_TOKENS),
                "medium": Text(f"Why it moved as it did over {medium} sessions.", MAX_TOKENS),
                "long": Text(f"Why it moved as it did over {long} sessions.", MAX_TOKENS),
                "query": Text("What to look up in earlier reflections like this one.", MAX_QUERY_TOKENS),
            },
        )
        super().__init__(kit, form)

    def work(self, day: Day) -> None:
        """Reflect, recall what is like it, and remember."""
        if not day.now_reflecting:
            day.low = self.kit.last_low
            day.skip(self.name, f"every {self.config.reflect_every_sessions} sessions")
            return
        observation, symbol = day.observation, day.observation.instrument.symbol
        closes = observation.view.closes(symbol, MOVES_SESSIONS[-1] + 1)
        moves = {sessions: momentum(closes, sessions) for sessions in MOVES_SESSIONS}
        if all(move is None for move in moves.values()):
            day.skip(self.name, "too few sessions")
            return
        told = [_told(sessions, move) for sessions, move in moves.items()]
        sessions = self.config.chart_sessions
        reply = self.ask(
            day,
            moves=told,
            intelligence=day.intelligence(),
            chart=Chart(
                lambda: kline_chart(observation.view, symbol, sessions=sessions),
                lambda: kline_table(observation.view, symbol, sessions=sessions),
            ),
        )
        if isinstance(reply, Failure):
            return
        reasons = [reply[term] for term in ("short", "medium", "long")]
        parts = [f"{move}: {reason}" for move, reason in zip(told, reasons, strict=True)]
        text = f"{iso(observation.session)}, {symbol}: {' '.join(parts)}"
        like = recalled_like(day, self.kit.low, reply["query"], self.config.top_k)
        # Its last move ends with the last close, which is behind this decision.
        memory_id = self.kit.reflect(self.kit.low, text, LOW, at=observation.decision_at)
        day.low = self.kit.last_low = Reflection(memory_id, text, like)


class HighReflection(DayPart[Filled]):
    """What of the last decisions was right, what was missed, what to correct, from the trading chart."""

    name: ClassVar[str] = HIGH
    part: ClassVar[Part] = HIGH

    def __init__(self, kit: Kit) -> None:
        form = Form(
            "review_decisions",
            "Review your own last decisions.",
            {
                "right": Text("Which decisions were right, and why.", MAX_TOKENS),
                "missed": Text("Which were wrong, what was missed.", MAX_TOKENS),
                "correct": Text("What to do otherwise from now on.", MAX_TOKENS),
                "query": Text("What to look up in earlier reviews like this one.", MAX_QUERY_TOKENS),
            },
        )
        super().__init__(kit, form)

    def work(self, day: Day) -> None:
        """Review, recall what is like it, and remember."""
        made = list(self.kit.made.values())[-self.config.decisions_reviewed :]
        if not made:
            day.skip(self.name, "no decision yet")
            return
        if not day.now_reflecting:
            day.high = self.kit.last_high
            day.skip(self.name, f"every {self.config.reflect_every_sessions} sessions")
            return
        observation, symbol = day.observation, day.observation.instrument.symbol
        held, sessions = self.kit.held, self.config.chart_sessions
        reply = self.ask(
            day,
            decisions=section("DECISIONS", decision_lines(day, made)),
            intelligence=day.intelligence(),
            low=section("REFLECTION", [day.low.text if day.low else "none"]),
            chart=Chart(
                lambda: trading_chart(observation.view, symbol, held, sessions=sessions),
                lambda: trading_table(observation.view, symbol, held, sessions=sessions),
            ),
        )
        if isinstance(reply, Failure):
            return
        text = (
            f"{iso(observation.session)}, {symbol}, {len(made)} decisions. Right: {reply['right']} "
            f"Missed: {reply['missed']} Correct: {reply['correct']}"
        )
        like = recalled_like(day, self.kit.high, reply["query"], self.config.top_k)
        at = readable_from(observation.decision_at, made)
        memory_id = self.kit.reflect(self.kit.high, text, HIGH, at=at)
        day.high = self.kit.last_high = Reflection(memory_id, text, like)


def _told(sessions: int, move: float | None) -> str:
    moved = "unknown" if move is None else percent(move)
    return f"{sessions} session{'s' if sessions > 1 else ''}: {moved}"


def decision_lines(day: Day, made: Sequence[Made]) -> list[str]:
    """One line per decision: what was decided, what the price has done since, and what came of it.

    Prices are of the day's view, so on one split basis.
    """
    view, symbol = day.observation.view, day.observation.instrument.symbol
    bars = view.bars(symbol)
    lines = []
    for one in made:
        place = int(np.searchsorted(bars.sessions, np.datetime64(one.session)))
        since = percent(float(bars.close[-1] / bars.close[place]) - 1.0)
        if one.outcome is None:
            came = "outcome not known yet"
        else:
            horizon = one.outcome.horizon_sessions
            came = f"reward {percent(one.outcome.reward)} after {horizon} sessions"
        lines.append(
            f"{iso(one.session)} | {one.action.value} | {one.confidence} % | {position_text(one.position)} | "
            f"price since {since} | {came} | {cleaned(one.rationale, REASON_TOKENS)[0]}"
        )
    return lines


def readable_from(decision_at: datetime, made: Sequence[Made]) -> datetime:
    """When a review of decisions can be read: not before the last outcome that it speaks of."""
    return max([decision_at, *(one.outcome.available_at for one in made if one.outcome)])


def recalled_like(day: Day, memory: Memory, query: str, k: int) -> tuple[Recalled, ...]:
    """Earlier reflections like this one, best first."""
    if not len(memory):
        return ()
    symbol, now = day.observation.instrument.symbol, day.observation.decision_at
    return tuple(memory.recall(query, now, k, ("reflection",), ticker=symbol)["reflection"])


def reflection_lines(day: Day, memory: Memory, reflection: Reflection) -> list[str]:
    """A reflection whole, and what is like it, each a line that can be cited."""
    own = memory.get(reflection.memory_id)
    lines = [day.page.memory_line(own, citation(memory.name, own.id), max_tokens=4 * MAX_TOKENS)]
    lines += [day.page.memory_line(hit.record, citation(memory.name, hit.id)) for hit in reflection.like]
    return [line for line in lines if line is not None]
