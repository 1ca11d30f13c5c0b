"""What nano reads: the day of a prompt in few words, beside each number the word for it.

The same messages that any model gets are read here and written shorter; nothing is added that does not
stand in them. Left out: the fixed rules, amounts of cash, the closes one by one (their changes stay), what
an earlier rationale said in its own words, lines without a label, and the oldest lines above a bound.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from varve.finllm.scripted.prompt_reader import MOVED, REWARD, SECTION, SESSION, TICKER

MAX_LINES = {"news": 6, "memory": 8, "own": 3, "answer": 10}
MAX_LINE_CHARACTERS, MAX_FILING_CHARACTERS = 150, 110
FRESH_DAYS = {"news": 11, "10-Q": 45, "10-K": 45}
"""Calendar days up to which a line is not called old."""

FLAT_PERCENT = {1: 1.0, 3: 1.5, 10: 2.0, 20: 3.0}
STEEP_PERCENT = 6.0
HIGH_VOLATILITY = 0.03
"""Standard deviation of daily returns from which volatility is called high."""

_ITEM = re.compile(r"^(M\d+) \| (\d{4}-\d\d-\d\d) \| (\S+) \| (.+)$", re.MULTILINE)
_ANY_ITEM = re.compile(r"^(?:M\d+|-) \| \d{4}-\d\d-\d\d \| ", re.MULTILINE)
_POSITION = re.compile(r"^Position: (flat|long|short)", re.MULTILINE)
_CHANGE = re.compile(r"(\d+) sessions ([+-]\d+\.\d+) %")
_CHANGES = re.compile(r"^Changes: (.+)$", re.MULTILINE)
_DECIDED = re.compile(r"decided (BUY|SELL|HOLD|FLAT) at")
_LESSON = re.compile(r"the price moved ([+-]\d+\.\d+) %")
_INDICATOR = re.compile(r"^(\w+)\((\d+)\) = ([-+.\de]+)")
_FILING_HEAD = re.compile(r"^.{0,60}? report \(10-[QK]\): ")
_CLOSE_ROW = re.compile(r"^\d{4}-\d\d-\d\d \| [^|]+ \| [^|]+ \| [^|]+ \| ([\d.e+]+) \|", re.MULTILINE)

_JUDGED = re.compile(r" \((short|medium|long)-term, (positive|neutral|negative)\)$")
_BEFORE = re.compile(r"^before: .*?(for|against|neither)$", re.MULTILINE)

REFLECTION = "reflection"
OWN_KINDS = ("rationale", "outcome", "lesson", REFLECTION)
SENTIMENTS = ("positive", "negative", "neutral")
NEWS_SECTIONS = ("NEWS", "INTELLIGENCE")


@dataclass(frozen=True)
class Line:
    """One line that can be cited."""

    label: str
    kind: str
    text: str
    old: bool = False

    def __str__(self) -> str:
        kind = {"news": "", "10-Q": "report ", "10-K": "report "}.get(self.kind, f"{self.kind} ")
        # The label once more: there the line has been read, and a reply looks for its label.
        return f"{self.label} {'old ' if self.old else ''}{kind}{self.text} {self.label}"


@dataclass(frozen=True)
class View:
    """A day as nano reads it.

    ``changes`` are percent by sessions; ``note`` is an answer that is no line; ``past`` is which way
    FinAgent's earlier intelligence was said to lean. ``options`` are letters and actions, and a view without
    a ticker has nothing but these: of training alone, see ``docs/decisions.md``.
    """

    ticker: str
    averse: bool
    shorting: bool
    position: str
    changes: tuple[tuple[int, float], ...]
    news: tuple[Line, ...]
    memory: tuple[Line, ...]
    own: tuple[Line, ...]
    asked: bool = False
    answer: tuple[Line, ...] = ()
    note: str = ""
    moved: float | None = None
    past: str = ""
    options: tuple[tuple[str, str], ...] = ()
    left_out: int = 0
    """Lines of the prompt that are not shown, for their number or their want of a label."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """Everything that can be cited, in the order of the page."""
        return (*self.news, *self.memory, *self.own, *self.answer)


def movement(percent: float, sessions: int) -> str:
    """``flat``, ``rise``, ``fall``, or ``leap`` and ``plunge`` for a single session of 6 % or more."""
    if abs(percent) < FLAT_PERCENT.get(sessions, 2.0):
        return "flat"
    if sessions == 1 and abs(percent) >= STEEP_PERCENT:
        return "leap" if percent > 0 else "plunge"
    return "rise" if percent > 0 else "fall"


def system_text(view: View) -> str:
    """Profile and rule of shorting."""
    return f"{'averse' if view.averse else 'seeking'}, {'shorts' if view.shorting else 'no shorts'}"


def day_text(view: View) -> str:
    """The day, without what tools answered."""
    chosen = [f"actions {' '.join(f'{letter} {action}' for letter, action in view.options)}"]
    if not view.ticker:
        return "\n".join(["nothing", *chosen])
    changes = "; ".join(f"{n}d {c:+.1f} {movement(c, n)}" for n, c in view.changes) or "unknown"
    count = {0: "none", 1: "one"}.get(len(view.news), "several")
    parts = [f"{view.ticker} {view.position}", f"changes {changes}", f"news {count}"]
    parts += map(str, view.news)
    parts += [f"memory {'several' if view.memory else 'none'}", *map(str, view.memory)]
    parts += [f"own {'several' if view.own else 'none'}", *map(str, view.own)]
    if view.past:
        parts.append(f"past {view.past}")
    if view.moved is not None:
        parts.append(f"moved {view.moved:+.1f} {'rise' if view.moved > 0 else 'fall'}")
    return "\n".join([*parts, *(chosen if view.options else [])])


def answer_text(view: View) -> str:
    """What the tools answered."""
    return "\n".join(["answer", *([view.note] if view.note else []), *map(str, view.answer)])


def read_view(texts: Sequence[tuple[str, str]]) -> View | None:
    """The view of a conversation of ``(role, text)``; None where it holds no day that can be read."""
    days = [text for role, text in texts if role == "user" and TICKER.search(text)]
    if not days:
        return None
    day = days[-1]
    ticker, position = TICKER.search(day), _POSITION.search(day)
    changes, moved, before = _CHANGES.search(day), MOVED.search(day), _BEFORE.search(day)
    view = replace(
        read_rules(texts),
        ticker=ticker.group(1) if ticker else "",
        position=position.group(1) if position else "flat",
        changes=tuple((int(n), float(c)) for n, c in _CHANGE.findall(changes.group(1) if changes else "")),
        moved=float(moved.group(1)) if moved else None,
        past=before.group(1) if before else "",
    )
    seen: set[str] = set()
    session = _session(day)
    view = _with_day_lines(view, day, session, seen)
    for role, text in texts:
        if role == "tool":
            view = _answered(view, text, session, seen)
    return view


def read_rules(texts: Sequence[tuple[str, str]]) -> View:
    """Profile and rule of shorting of a conversation, and nothing of a day."""
    rules = "\n".join(text for role, text in texts if role == "system")
    averse = any(f"Profile: {name}" in rules for name in ("risk_averse", "conservative"))
    return View("", averse, "SELL when flat opens a short position" in rules, "flat", (), (), (), ())


def without_last(view: View) -> View | None:
    """The view with one line less, for a prompt that is too long; None where none is left."""
    for part in ("answer", "memory", "own", "news"):
        lines = getattr(view, part)
        if lines:
            kept = lines[1:] if part in ("answer", "news") else lines[:-1]
            return replace(view, left_out=view.left_out + 1, **{part: kept})
    return None


def _with_day_lines(view: View, day: str, session: date | None, seen: set[str]) -> View:
    found: dict[str, list[Line]] = {"news": [], "memory": [], "own": []}
    lines = 0
    for name, body in sorted(SECTION.findall(day), key=lambda one: one[0] not in NEWS_SECTIONS):
        lines += len(_ANY_ITEM.findall(body))
        for line in _lines(body, session, seen):
            part = "news" if name in NEWS_SECTIONS else "own" if line.kind in OWN_KINDS else "memory"
            found[part].append(line)
    # Best matches stand first in a layer of memory, news stand in the order of time.
    view = replace(
        view,
        news=tuple(found["news"][-MAX_LINES["news"] :]),
        memory=tuple(found["memory"][: MAX_LINES["memory"]]),
        own=tuple(found["own"][: MAX_LINES["own"]]),
    )
    return replace(view, left_out=lines - len(view.lines))


def _answered(view: View, text: str, session: date | None, seen: set[str]) -> View:
    bodies = [body for _, body in SECTION.findall(text)]
    found = tuple(line for body in bodies for line in _lines(body, session, seen))
    kept = (*view.answer, *found)[-MAX_LINES["answer"] :]
    note = view.note
    closes = [float(close) for close in _CLOSE_ROW.findall(text)]
    value = _INDICATOR.match(text)
    if len(closes) > 1:
        note = prices_note(100 * (closes[-1] / closes[0] - 1))
    elif value:
        note = indicator_note(value.group(1), float(value.group(3)))
    elif not kept and not note:
        note = "nothing"
    left_out = view.left_out + len(view.answer) + len(found) - len(kept)
    return replace(view, asked=True, answer=kept, note=note, left_out=left_out)


def prices_note(percent: float) -> str:
    """What an answer of ``price_history`` says."""
    return f"prices {percent:+.1f} {movement(percent, 20)}"


def indicator_note(name: str, value: float) -> str:
    """What an answer of ``indicator`` says."""
    level = ("high" if value >= HIGH_VOLATILITY else "low") if name == "volatility" else "known"
    return f"{name} {value:.3f} {level}"


def _lines(body: str, session: date | None, seen: set[str]) -> list[Line]:
    found = []
    for label, day, kind, text in _ITEM.findall(body):
        if label in seen:
            continue
        seen.add(label)
        age = (session - date.fromisoformat(day)).days if session else 0
        old = kind in FRESH_DAYS and age > FRESH_DAYS[kind]
        kind = REFLECTION if kind.endswith("_reflection") else kind
        told = judged(text)
        if told:
            found.append(Line(label, "news", f"judged {told[1]}", old))
        else:
            found.append(Line(label, kind, _shown(kind, text), old))
    return found


def judged(text: str) -> tuple[str, str] | None:
    """Horizon and sentiment at the end of a line that FinAgent has judged before."""
    match = _JUDGED.search(text)
    return (match.group(1), match.group(2)) if match else None


def _shown(kind: str, text: str) -> str:
    if kind == REFLECTION:
        return "made"
    reward, decided, lesson = REWARD.search(text), _DECIDED.search(text), _LESSON.search(text)
    if kind == "outcome" and reward:
        return outcome_text(reward.group(1), float(reward.group(2)))
    if kind == "rationale" and decided:
        return f"decided {decided.group(1)}"
    if kind == "lesson" and lesson:
        return lesson_text(float(lesson.group(1)))
    return filing_text(text) if kind != "news" else text[:MAX_LINE_CHARACTERS]


def outcome_text(action: str, reward: float) -> str:
    """What came of a decision."""
    word = "gained" if reward > 0 else "lost" if reward < 0 else "level"
    return f"{action} {word} {reward:+.1f}"


def filing_text(text: str) -> str:
    """A filing without the words that its kind says already, cut."""
    return _FILING_HEAD.sub("", text)[:MAX_FILING_CHARACTERS]


def lesson_text(percent: float) -> str:
    """What a warm-up lesson says of the price."""
    return f"moved {percent:+.1f} {'rise' if percent > 0 else 'fall'}"


def _session(day: str) -> date | None:
    match = SESSION.search(day)
    try:
        return date.fromisoformat(match.group(1)) if match else None
    except ValueError:
        return None
