"""Weighing the actions instead of writing one: probabilities of letters after one pass over the prompt.

The candidate actions stand behind letters at the end of the prompt, once in every rotation of their order,
so that no letter and no place favours one. From each letter's log-probability that of the same prompt
without content is taken (contextual calibration, Zhao et al. 2021, arXiv 2102.09690, section 4). The mean
over the rotations, normalised, gives each action's probability; the greatest is the decision and its
confidence. Nothing is written, so no reply can be invalid.

Light on import.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from varve.finllm.replies.decide import CONFIDENCE_STEP
from varve.types import JsonObject

ABSTAIN = "ABSTAIN"
CONTENT_FREE = "N/A"
NEAR = 1e-3
"""Results nearer than this to where a decision turns are computed anew alone; rounding errs by 1e-5."""

Table = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Weighed:
    """Probabilities by action, in the order given; ``confidence`` in percent, in steps of 5.

    ``choice`` is the likeliest action, or :data:`ABSTAIN` where it is less likely than asked for.
    """

    probabilities: Mapping[str, float]
    choice: str
    confidence: int

    @property
    def words(self) -> str:
        """One sentence for the record."""
        told = ", ".join(f"{name} {100 * value:.0f} %" for name, value in self.probabilities.items())
        return f"{'Abstained' if self.choice == ABSTAIN else 'Scored'}: {told}."


def rotations(actions: Sequence[str]) -> list[list[str]]:
    """The actions in each order that begins one further."""
    return [[*actions[first:], *actions[:first]] for first in range(len(actions))]


def letters(actions: Sequence[str]) -> list[str]:
    """A letter for each: A, B, C ..."""
    return [chr(ord("A") + place) for place in range(len(actions))]


def question(actions: Sequence[str]) -> str:
    """The end of the prompt, in one order."""
    options = "\n".join(
        f"{letter}: {action}" for letter, action in zip(letters(actions), actions, strict=True)
    )
    return f"Actions:\n{options}\nAnswer with the letter of one action and nothing else."


def asking(messages: Sequence[BaseMessage], actions: Sequence[str]) -> list[BaseMessage]:
    """The conversation with the question behind it."""
    said = list(messages)
    if said and isinstance(said[-1], HumanMessage):
        return [*said[:-1], HumanMessage(f"{said[-1].text}\n\n{question(actions)}")]
    return [*said, HumanMessage(question(actions))]


def without_content(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The conversation with nothing of the day: rules, profile and contract alone."""
    kept: list[BaseMessage] = [one for one in messages if isinstance(one, SystemMessage)]
    return [*kept, HumanMessage(CONTENT_FREE)]


def weigh(actions: Sequence[str], found: Table, prior: Table, *, abstain_below: int) -> Weighed:
    """From log-probabilities (rotations × letters) to a decision.

    Args:
        prior: the same without content.
        abstain_below: percent that the likeliest action needs.
    """
    mean = dict.fromkeys(actions, 0.0)
    for order, row, base in zip(rotations(actions), found, prior, strict=True):
        for action, value, expected in zip(order, row, base, strict=True):
            mean[action] += (value - expected) / len(found)
    top = max(mean.values())
    raised = {action: math.exp(value - top) for action, value in mean.items()}
    total = sum(raised.values())
    shares = {action: value / total for action, value in raised.items()}
    best = max(actions, key=lambda action: shares[action])
    confidence = int(100 * shares[best] / CONFIDENCE_STEP + 0.5) * CONFIDENCE_STEP
    return Weighed(shares, ABSTAIN if 100 * shares[best] < abstain_below else best, confidence)


def doubtful(actions: Sequence[str], found: Table, prior: Table, *, abstain_below: int) -> bool:
    """Whether rounding errors could turn the decision, its confidence, or a percentage in its words."""
    weighed = weigh(actions, found, prior, abstain_below=abstain_below)
    shares = sorted((100 * share for share in weighed.probabilities.values()), reverse=True)
    borders = [shares[0] / CONFIDENCE_STEP, *shares]
    return (
        (len(shares) > 1 and shares[0] - shares[1] < NEAR)
        or abs(shares[0] - abstain_below) < NEAR
        or any(abs(value % 1.0 - 0.5) < NEAR for value in borders)
    )


def arguments(weighed: Weighed, labels: Sequence[str], *, abstain_as: str) -> JsonObject:
    """The decision as arguments of ``decide``; ``abstained`` keeps it apart from an action chosen."""
    abstained = weighed.choice == ABSTAIN
    return {
        "rationale": weighed.words,
        "action": abstain_as if abstained else weighed.choice,
        "confidence": weighed.confidence,
        "cited_memories": list(labels),
        "scored": True,
        "abstained": abstained,
    }
