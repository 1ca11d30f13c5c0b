"""FinAgent's stages before the decision as nano reads and answers them; short, like its view of a day.

What each is taught to answer, all of it from what its prompt shows:

* ``summarise_news``: each line's sentiment by its tone; annual reports are long-term, quarterly reports and
  lines without a clear tone medium-term, the others short-term; the summary is the line's first words. Then
  how many lean which way, and per horizon the ticker with the first such line's words as what to look up.
* ``summarise_past``: a running count over the sentiments of earlier intelligence.
* ``explain_moves``: which way each move went, and whether a line shown leans that way.
* ``review_decisions``: a BUY was right where the price has risen since, a SELL or FLAT where it has fallen;
  where more were wrong than right it waits for more evidence.
* ``rate_importance``: annual report vital, quarterly one high, news of a clear tone high, of a mixed one
  medium, else low.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from varve.finllm.nano.answers import Target, lean_of_past
from varve.finllm.nano.prompt_view import MAX_LINE_CHARACTERS, SENTIMENTS, Line, filing_text, judged
from varve.finllm.nano.wording import Tone
from varve.finllm.scripted.prompt_reader import DECISION, ITEM, MOVE, TICKER
from varve.types import JsonObject

STAGES = ("summarise_news", "summarise_past", "explain_moves", "review_decisions", "rate_importance")
IMPORTANCES = ("trivial", "low", "medium", "high", "vital")
MAX_LINES, MAX_NEWS = 8, 6
"""Most lines, and most news summed up one by one: with more, pages are longer than any trained on."""
SUMMARY_WORDS = 6
GO_ON, WAIT = "Go on.", "Wait for more evidence."

_SENTIMENT = {"good": "positive", "bad": "negative"}
_STEP = {"positive": 1, "negative": -1}
_REPORTS = ("10-Q", "10-K")


@dataclass(frozen=True)
class StageView:
    """A stage's prompt: its name, lines that stand in it, moves by sessions, and own decisions.

    ``moves`` and ``decisions`` carry percent, None where unknown. ``left_out`` counts lines not shown.
    """

    name: str
    ticker: str
    lines: tuple[Line, ...] = ()
    moves: tuple[tuple[int, float | None], ...] = ()
    decisions: tuple[tuple[str, float | None], ...] = ()
    left_out: int = 0

    @property
    def text(self) -> str:
        """What nano reads."""
        parts = [f"{self.ticker} {self.name}"]
        parts += [f"{n}d {_signed(move)}" for n, move in self.moves]
        parts += [f"{place} {action} {_signed(since)}" for place, (action, since) in _numbered(self)]
        return "\n".join([*parts, *map(_shown, self.lines)])


def read_stage(name: str, text: str) -> StageView | None:
    """The view of a stage's question; None where it does not say what it is about."""
    ticker = TICKER.search(text)
    if ticker is None:
        return None
    found = _judged_lines(text) if name in ("summarise_past", "explain_moves") else _told_lines(text)
    if name == "review_decisions":
        found = []
    most = MAX_NEWS if name == "summarise_news" else MAX_LINES
    moves = MOVE.findall(text) if name == "explain_moves" else []
    made = DECISION.findall(text) if name == "review_decisions" else []
    return StageView(
        name,
        ticker.group(1),
        tuple(found[-most:]),
        tuple((int(n), _number(move)) for n, move in moves),
        tuple((action, _number(since)) for _, action, since in made[-MAX_LINES:]),
        max(0, len(found) - most) + max(0, len(made) - MAX_LINES),
    )


def _told_lines(text: str) -> list[Line]:
    """News and filings in their words, the newest last."""
    return [
        Line(label, kind, filing_text(words) if kind in _REPORTS else words[:MAX_LINE_CHARACTERS])
        for label, _, kind, words in ITEM.findall(text)
    ]


def _judged_lines(text: str) -> list[Line]:
    """Sentiments of intelligence, the best match of each horizon last, for where not all can be shown."""
    by_horizon: dict[str, list[Line]] = {"long": [], "medium": [], "short": []}
    for label, _, _, words in ITEM.findall(text):
        told = judged(words)
        if told is not None:
            horizon, sentiment = told
            by_horizon[horizon].append(Line(label, "news", sentiment))
    ranks = zip_longest(*by_horizon.values())
    return [line for rank in reversed(list(ranks)) for line in rank if line is not None]


def answer(view: StageView, tones: Mapping[str, Tone]) -> Target:
    """The teacher's answer to a stage; ``tones`` by label are those of lines that are not yet judged."""
    return Target(view.name, _ANSWERS[view.name](view, tones))


def _news(view: StageView, tones: Mapping[str, Tone]) -> JsonObject:
    items = [
        {
            "item": line.label,
            "horizon": _horizon(line, tones[line.label]),
            "sentiment": _SENTIMENT.get(tones[line.label], "neutral"),
            "summary": _first_words(line.text),
        }
        for line in view.lines
    ]
    signs = [item["sentiment"] for item in items]
    queries = {}
    for horizon in ("short", "medium", "long"):
        fitting = [item["summary"] for item in items if item["horizon"] == horizon]
        queries[f"{horizon}_query"] = f"{view.ticker} {fitting[0] if fitting else horizon}"
    counted = ", ".join(f"{signs.count(sign)} {sign}" for sign in SENTIMENTS)
    return {"items": items, "summary": counted, **queries}


def _past(view: StageView, tones: Mapping[str, Tone]) -> JsonObject:
    total, words = 0, []
    for line in view.lines:
        total += _STEP.get(line.text, 0)
        words.append(f"{line.text} {total:+d}")
    return {"summary": ", ".join([*words, lean_of_past(total)])}


def _moves(view: StageView, tones: Mapping[str, Tone]) -> JsonObject:
    signs = {line.text for line in view.lines}
    ways = [_way(move) for _, move in view.moves]
    fields = {}
    for span, way in zip(("short", "medium", "long"), [*ways, "unknown", "unknown", "unknown"], strict=False):
        told = {"rise": "positive", "fall": "negative"}.get(way) in signs
        fields[span] = f"{way}, {'as told' if told else 'nothing told'}"
    return {**fields, "query": f"{view.ticker} {fields['medium']}"}


def _review(view: StageView, tones: Mapping[str, Tone]) -> JsonObject:
    right: list[str] = []
    missed: list[str] = []
    for place, (action, since) in _numbered(view):
        way = _way(since)
        if action == "HOLD" or way not in ("rise", "fall"):
            continue
        side = right if (action == "BUY") is (way == "rise") else missed
        side.append(f"{place} {action} {len(side) + 1:+d}")
    correct = WAIT if len(missed) > len(right) else GO_ON
    return {
        "right": ", ".join([*right, "in all"]) if right else "none",
        "missed": ", ".join([*missed, "in all"]) if missed else "none",
        "correct": correct,
        "query": f"{view.ticker} review: {correct}",
    }


def _importance(view: StageView, tones: Mapping[str, Tone]) -> JsonObject:
    if not view.lines:
        return {"importance": "low"}
    line = view.lines[0]
    reports = {"10-K": "vital", "10-Q": "high"}
    by_tone = {"good": "high", "bad": "high", "mixed": "medium"}
    return {"importance": reports.get(line.kind) or by_tone.get(tones[line.label], "low")}


_ANSWERS = {
    "summarise_news": _news,
    "summarise_past": _past,
    "explain_moves": _moves,
    "review_decisions": _review,
    "rate_importance": _importance,
}


def _horizon(line: Line, tone: Tone) -> str:
    reports = {"10-K": "long", "10-Q": "medium"}
    return reports.get(line.kind) or ("short" if tone in _SENTIMENT else "medium")


def _first_words(text: str) -> str:
    return " ".join(text.split()[:SUMMARY_WORDS])


def _numbered(view: StageView) -> Sequence[tuple[int, tuple[str, float | None]]]:
    return list(enumerate(view.decisions, 1))


def _shown(line: Line) -> str:
    kind = f"{line.kind} " if line.kind in _REPORTS else ""
    if line.label == "-":
        return f"- {kind}{line.text}"
    return f"{line.label} {kind}{line.text} {line.label}"


def _signed(percent: float | None) -> str:
    return "unknown" if percent is None else f"{percent:+.1f} {_way(percent)}"


def _way(percent: float | None) -> str:
    if percent is None:
        return "unknown"
    return "rise" if percent > 0 else "fall" if percent < 0 else "level"


def _number(text: str) -> float | None:
    return float(text) if text else None
