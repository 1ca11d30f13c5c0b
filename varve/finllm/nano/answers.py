"""The teacher: from a page whose lines' tones are known to the reply that nano learns to write.

It looks at nothing but what stands on the page; the tone of a line is known because the line was drawn
with it.

1. Questions, where tools are bound and nothing was asked yet, the first that fits: changes unknown →
   ``price_history``; a risk-averse profile after a leap or plunge → ``indicator`` volatility; a position
   but nothing of one's own → ``recall_memory``; none or one news line → ``news``.
2. Else a running count over the lines of news, memory and outcomes: +1 good, −1 bad, 0 plain, mixed or
   old. A buy that gained or a sell that lost is good, a buy that lost or a sell that gained bad.
   Then +1 or −1 for the trend over 10 sessions (or what ``price_history`` says), and −1 for a
   risk-averse profile where volatility is high. Lines that FinAgent has judged before count by that, and
   what it said of earlier intelligence counts +1 or −1.
3. The total speaks for from +2 (averse: +3), against from −3 (averse: −2), else neither.
4. For: BUY, but FLAT from a short position with a risk-averse profile. Against: SELL where short
   positions are allowed; else SELL from a long one, FLAT with a risk-averse profile, and HOLD where
   there is nothing to sell. Neither: HOLD.
5. Confidence 50 + 5 × |total|, at most 95. Cited are the first four lines that lean as the total does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from varve.finllm.nano.prompt_view import View, movement
from varve.finllm.nano.wording import Tone
from varve.types import Arguments

MAX_CITED = 4
MOST = 20
"""The running count stays within ±20."""

LETTER = "letter"
RATED_KINDS = ("news", "10-Q", "10-K", "outcome")
_STEP = {"good": 1, "bad": -1}
_JUDGED = {"positive": "good", "negative": "bad", "neutral": "plain"}


@dataclass(frozen=True)
class Target:
    """What the teacher answers: one call, or under the name ``letter`` a letter alone."""

    name: str
    arguments: Arguments

    @property
    def text(self) -> str:
        """As nano writes it."""
        if self.name == LETTER:
            return str(self.arguments["letter"])
        return call_text(self.name, self.arguments)


def call_text(name: str, arguments: Arguments) -> str:
    """A tool call in the form of nano's template."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


def question(view: View) -> Target | None:
    """What the teacher asks first, if anything."""
    if view.asked:
        return None
    changes = dict(view.changes)
    if 10 not in changes:
        return Target("price_history", {"days": 20})
    if view.averse and movement(changes.get(1, 0.0), 1) in ("leap", "plunge"):
        return Target("indicator", {"name": "volatility", "window": 20})
    if view.position != "flat" and not view.own:
        return Target("recall_memory", {"query": f"{view.ticker} {view.position}", "tier": "reflection"})
    if len(view.news) < 2:
        return Target("news", {"days": 10})
    return None


def decision(view: View, tones: Mapping[str, Tone]) -> Target:
    """Points 2 to 5 above."""
    total = 0
    words = []
    verdicts = {}
    for line in view.lines:
        if line.kind not in RATED_KINDS:
            continue
        verdict = verdicts[line.label] = verdict_of(line.kind, line.text, line.old, tones.get(line.label))
        total = _within(total + _STEP.get(verdict, 0))
        words.append(f"{line.label} {verdict} {total:+d}")
    trend = trend_of(view)
    total = _within(total + {"rise": 1, "leap": 1, "fall": -1, "plunge": -1}.get(trend, 0))
    words.append(f"trend {trend} {total:+d}")
    if view.past:
        total = _within(total + {"for": 1, "against": -1}.get(view.past, 0))
        words.append(f"past {view.past} {total:+d}")
    if view.averse and view.note.endswith("high"):
        total = _within(total - 1)
        words.append(f"volatility high {total:+d}")
    lean = lean_of(total, view.averse)
    words.append(lean)
    side = {"for": "good", "against": "bad"}.get(lean)
    return Target(
        "decide",
        {
            "rationale": ", ".join(words),
            "action": action_of(lean, view),
            "confidence": min(95, 50 + 5 * abs(total)),
            "cited_memories": [label for label, verdict in verdicts.items() if verdict == side][:MAX_CITED],
        },
    )


def letter(view: View, tones: Mapping[str, Tone]) -> Target:
    """The letter of the action that :func:`decision` takes."""
    action = decision(view, tones).arguments["action"]
    return Target(LETTER, {"letter": next(letter for letter, name in view.options if name == action)})


def explanation(view: View, tones: Mapping[str, Tone]) -> Target:
    """A warm-up lesson: the lines that lean as the price went."""
    side = "good" if (view.moved or 0.0) > 0 else "bad"
    verdicts = {
        line.label: verdict_of(line.kind, line.text, line.old, tones.get(line.label))
        for line in view.lines
        if line.kind in RATED_KINDS
    }
    fitting = [label for label, verdict in verdicts.items() if verdict == side][:MAX_CITED]
    words = [f"{label} {verdict}" for label, verdict in verdicts.items()]
    words.append(f"moved {'rise' if side == 'good' else 'fall'}")
    words.append("as told" if fitting else "nothing told")
    return Target("explain", {"rationale": ", ".join(words), "cited_memories": fitting})


def verdict_of(kind: str, text: str, old: bool, tone: Tone | None) -> str:
    """``good``, ``bad``, ``plain``, ``mixed`` or ``old``."""
    if old:
        return "old"
    if text.startswith("judged "):
        return _JUDGED[text.split()[1]]
    if kind != "outcome":
        return tone or "plain"
    action, result, *_ = [*text.split(), "", ""]
    if action not in ("BUY", "SELL") or result not in ("gained", "lost"):
        return "plain"
    return "good" if (action == "BUY") is (result == "gained") else "bad"


def trend_of(view: View) -> str:
    """The word for the change over ten sessions, or for that which a tool told."""
    changes = dict(view.changes)
    if 10 in changes:
        return movement(changes[10], 10)
    if view.note.startswith("prices"):
        return view.note.split()[-1]
    return "flat"


def lean_of(total: int, averse: bool) -> str:
    """Which way a total speaks."""
    if total >= (3 if averse else 2):
        return "for"
    return "against" if total <= (-2 if averse else -3) else "neither"


def lean_of_past(total: int) -> str:
    """Which way earlier intelligence speaks."""
    return "for" if total >= 2 else "against" if total <= -2 else "neither"


def action_of(lean: str, view: View) -> str:
    """The action by lean, position, profile and the rule of shorting."""
    if lean == "neither":
        return "HOLD"
    if lean == "for":
        return "FLAT" if view.position == "short" and view.averse else "BUY"
    if view.shorting:
        return "SELL"
    if view.position != "long":
        return "HOLD"
    return "FLAT" if view.averse else "SELL"


def _within(total: int) -> int:
    return max(-MOST, min(MOST, total))
