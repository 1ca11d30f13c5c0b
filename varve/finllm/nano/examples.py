"""Random days for nano: pages with known tones, and the conversation with the teacher's reply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from varve.finllm.nano import answers as teacher
from varve.finllm.nano import stage_view as stages
from varve.finllm.nano.prompt_view import (
    MAX_LINE_CHARACTERS,
    REFLECTION,
    SENTIMENTS,
    Line,
    View,
    answer_text,
    day_text,
    filing_text,
    indicator_note,
    lesson_text,
    outcome_text,
    prices_note,
    system_text,
)
from varve.finllm.nano.stage_view import STAGES, StageView
from varve.finllm.nano.wording import Split, Tone, draw_subject, filing, headline

MAX_LABEL, MAX_NEWS_LABEL = 60, 20
STAGE_SHARE, JUDGED_SHARE, LETTER_SHARE = 0.22, 0.12, 0.1
"""Of training's examples: FinAgent's stages, days that FinAgent has judged, actions chosen by letter."""
QUESTIONS = ("recall_memory", "price_history", "news", "indicator")


@dataclass(frozen=True)
class Example:
    """One conversation: ``(role, text)`` without the last reply, the tools bound, and the reply."""

    messages: tuple[tuple[str, str], ...]
    tools: tuple[str, ...]
    target: teacher.Target
    lines: tuple[str, ...]


def draw_example(
    rng: Random, split: Split, *, ease: float = 1.0, more: float = 1.0, wide: float = 1.0
) -> Example:
    """One example.

    Args:
        rng: the only source of chance.
        split: what of the wording may be drawn; see :mod:`varve.finllm.nano.wording`.
        ease: up to 1; below it pages have fewer lines (the start of training).
        more: above 1 pages have more lines than training has.
        wide: up to 1; below it training's wording is narrower, and there is less beside FinMem's days.
    """
    if split == "train" and rng.random() < STAGE_SHARE * wide:
        return draw_stage(rng, split, ease=ease, wide=wide)
    scene = _Scene(rng, split, ease, more, wide)
    view = scene.draw()
    if split == "train" and view.moved is None:
        if rng.random() < JUDGED_SHARE * wide:
            view = scene.judged(view)
        if rng.random() < LETTER_SHARE * wide:
            return _lettered(scene, view)
    tools = (*QUESTIONS, "decide") if rng.random() < 0.9 else ("decide",)
    target: teacher.Target | None
    if view.moved is not None:
        target, tools = teacher.explanation(view, scene.tones), ("explain",)
    else:
        target = teacher.question(view) if len(tools) > 1 else None
        copied = scene.widely and target is not None and target.name == "recall_memory"
        if target and rng.random() < (0.3 if copied else 0.7):
            view, target = scene.answered(view, target), None
        target = target or teacher.decision(view, scene.tones)
    return Example(messages_of(view), tools, target, tuple(line.text for line in view.lines))


def draw_letter(rng: Random, split: Split) -> Example:
    """One example of an action chosen by its letter."""
    scene = _Scene(rng, split)
    return _lettered(scene, replace(scene.draw(), moved=None))


def _lettered(scene: _Scene, view: View) -> Example:
    """A day with its actions behind letters; now and then nothing but these, where any letter is as good."""
    rng = scene.rng
    order = ["BUY", "HOLD", "SELL", "FLAT"]
    first = rng.randrange(4)
    order = [*order[first:], *order[:first]]
    options = tuple(zip("ABCD", order, strict=True))
    if scene.split == "train" and rng.random() < 0.06:
        view = replace(view, ticker="", options=options)
        target = teacher.Target(teacher.LETTER, {"letter": rng.choice("ABCD")})
        return Example(messages_of(view), (*QUESTIONS, "decide"), target, ())
    view = replace(view, options=options)
    return Example(
        messages_of(view), (*QUESTIONS, "decide"), teacher.letter(view, scene.tones),
        tuple(line.text for line in view.lines),
    )  # fmt: skip


def draw_stage(rng: Random, split: Split, *, ease: float = 1.0, wide: float = 1.0) -> Example:
    """One example of a stage of FinAgent."""
    scene = _Scene(rng, split, ease, 1.0, wide)
    view = scene.stage(rng.choice((*STAGES, "summarise_news", "summarise_news")))
    said = (("system", scene.profile()), ("user", view.text))
    return Example(
        said, (view.name,), stages.answer(view, scene.tones), tuple(line.text for line in view.lines)
    )


def messages_of(view: View) -> tuple[tuple[str, str], ...]:
    """The conversation up to the reply that is due."""
    said = [("system", system_text(view)), ("user", day_text(view))]
    if view.asked:
        asked = teacher.question(replace(view, asked=False, answer=(), note=""))
        said += [("assistant", asked.text if asked else ""), ("tool", answer_text(view))]
    return tuple(said)


class _Scene:
    """Draws the parts of one page; all of them share a subject and a mood."""

    def __init__(
        self, rng: Random, split: Split, ease: float = 1.0, more: float = 1.0, wide: float = 1.0
    ) -> None:
        self.rng, self.split, self.ease, self.more, self.wide = rng, split, ease, more, wide
        self.subject = draw_subject(rng, split, wide)
        self.mood = rng.uniform(-1, 1)
        self.widely = split == "train" and rng.random() < wide
        if self.widely and rng.random() < 0.5:
            self.mood *= 0.3  # so that a line's neighbours do not give its tone away
        self.tones: dict[str, Tone] = {}
        # High labels would be rare where every page began with M1.
        self._last = rng.randint(0, 40) if self.widely and rng.random() < 0.2 else 0

    def draw(self) -> View:
        """The day before any question."""
        rng = self.rng
        shorting = rng.random() < 0.25
        news = tuple(self._news(0.0) for _ in range(self._count((0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6))))
        old = 0.35 if self.widely else 0.25
        memory = tuple(self._news(old) for _ in range(self._count((0, 2, 3, 4, 5, 5, 5))))
        memory += tuple(self._report() for _ in range(self._count((0, 0, 1, 1, 2, 3))))
        own = tuple(self._own() for _ in range(rng.choice((0, 1, 2, 3, 3))))
        if self.widely and rng.random() < 0.2:
            own = ()  # more questions with a name to copy
        elif self.widely and rng.random() < 0.1:
            memory, own = (), own + self._many_own()
        return View(
            ticker=self.subject.ticker,
            averse=rng.random() < 0.5,
            shorting=shorting,
            position=rng.choice(("flat", "long", "long", "short" if shorting else "long")),
            changes=self._changes(),
            news=news,
            memory=memory,
            own=own,
            moved=(round(rng.gauss(0, 5), 2) or 0.01) if rng.random() < 0.08 else None,
        )

    def answered(self, view: View, asked: teacher.Target) -> View:
        """The day after the tool that was asked has answered."""
        rng, note = self.rng, ""
        lines: tuple[Line, ...] = ()
        if asked.name == "news":
            lines = tuple(self._news(0.03) for _ in range(self._count((0, 2, 4, 6, 8, 10, 10))))
        elif asked.name == "recall_memory":
            lines = tuple(self._own() for _ in range(rng.randint(0, 4)))
        elif asked.name == "price_history":
            note = prices_note(round(rng.gauss(4 * self.mood, 8), 2))
        else:
            note = indicator_note("volatility", rng.uniform(0.008, 0.07))
        return replace(view, asked=True, answer=lines, note=note if note or lines else "nothing")

    def judged(self, view: View) -> View:
        """The day as FinAgent shows it: sentiments in place of texts, reflections, how the past leans."""
        rng = self.rng
        news = tuple(
            replace(line, text=f"judged {rng.choice(SENTIMENTS)}") if rng.random() < 0.93 else line
            for line in (*view.news, *view.memory)
            if line.kind == "news"
        )
        own = tuple(Line(self._label(), REFLECTION, "made") for _ in range(rng.choice((0, 1, 2, 4, 8))))
        past = rng.choice(("", "for", "against", "neither"))
        return replace(view, news=news[: rng.randint(0, 6)], memory=(), own=own[:3], past=past)

    def profile(self) -> str:
        """What a stage is told of the trader."""
        return system_text(replace(_NO_DAY, averse=self.rng.random() < 0.5, shorting=self.rng.random() < 0.3))

    def stage(self, name: str) -> StageView:
        """What a stage is shown."""
        rng, ticker = self.rng, self.subject.ticker
        empty = StageView(name, ticker)
        if name == "summarise_news":
            lines = [
                self._report() if rng.random() < 0.15 else self._news(0.0)
                for _ in range(max(1, self._count((1, 1, 2, 2, 3, 3, 4, 5, 6, 8))))
            ]
            return replace(empty, lines=tuple(self._as_n(lines)))
        if name == "rate_importance":
            line = self._report() if rng.random() < 0.3 else self._news(0.0)
            self.tones["-"] = self.tones[line.label]
            about = ticker if rng.random() < 0.9 else "the whole market"
            return replace(empty, ticker=about, lines=(replace(line, label="-", old=False),))
        if name == "review_decisions":
            made = [
                (rng.choice(("BUY", "SELL", "HOLD", "FLAT")), self._move(4.0))
                for _ in range(rng.randint(1, stages.MAX_LINES))
            ]
            return replace(empty, decisions=tuple(made))
        label = "-" if name == "summarise_past" else "M"
        lines = [
            Line(self._label() if label == "M" else "-", "news", rng.choice(SENTIMENTS))
            for _ in range(rng.randint(0 if label == "M" else 1, stages.MAX_LINES))
        ]
        moves = tuple((n, self._move(scale)) for n, scale in ((1, 2.0), (7, 4.0), (14, 6.0)))
        return replace(empty, lines=tuple(lines), moves=moves if label == "M" else ())

    def _as_n(self, lines: list[Line]) -> list[Line]:
        """Labels N1, N2, ... as FinAgent gives news."""
        named = []
        for place, line in enumerate(lines, 1):
            self.tones[f"N{place}"] = self.tones[line.label]
            named.append(replace(line, label=f"N{place}", old=False))
        return named

    def _move(self, scale: float) -> float | None:
        return None if self.rng.random() < 0.07 else round(self.rng.gauss(0, scale), 2)

    def _count(self, options: tuple[int, ...]) -> int:
        count = self.rng.choice(options)
        if self.more > 1:
            return round((count + 1) * self.more)
        return min(count, 1) if self.rng.random() > self.ease else count

    def _label(self) -> str:
        farthest = 12 if self.widely and self.rng.random() < 0.2 else 4
        self._last += 1 if self.rng.random() < 0.9 else self.rng.randint(2, farthest)
        return f"M{min(self._last, MAX_LABEL)}"

    def _tone(self) -> Tone:
        draw = self.rng.random()
        if draw < 0.2:
            return "plain"
        if draw < 0.27:
            return "mixed"
        return "good" if self.rng.random() < 0.5 + 0.45 * self.mood else "bad"

    def _news(self, old: float) -> Line:
        label, tone = self._label(), self._tone()
        self.tones[label] = tone
        text = headline(self.rng, self.subject, tone, self.split, self.wide)
        while len(text) > MAX_LINE_CHARACTERS:  # a cut line may lack what makes its tone
            text = headline(self.rng, self.subject, tone, self.split, self.wide)
        return Line(label, "news", text, self.rng.random() < old)

    def _report(self) -> Line:
        label, form = self._label(), self.rng.choice(("10-Q", "10-Q", "10-K"))
        tone: Tone = "good" if self.rng.random() < 0.5 + 0.3 * self.mood else "bad"
        self.tones[label] = tone
        text = filing_text(filing(self.rng, self.subject, form, tone, self.split))
        return Line(label, form, text, self.rng.random() < 0.5)

    def _own(self) -> Line:
        label, draw = self._label(), self.rng.random()
        action = self.rng.choice(("BUY", "SELL", "HOLD", "FLAT"))
        if draw < 0.5:
            return Line(label, "outcome", outcome_text(action, round(self.rng.gauss(0, 4), 2)))
        if draw < 0.85:
            return Line(label, "rationale", f"decided {action}")
        move = round(self.rng.gauss(0, 5), 2)
        return Line(label, "lesson", lesson_text(move))

    def _many_own(self) -> tuple[Line, ...]:
        """Outcomes without end, most to one side: long counts and high labels in few tokens."""
        rng, good = self.rng, self.rng.random()
        lines = []
        for _ in range(rng.randint(4, 24)):
            buys, fine = rng.random() < 0.5, rng.random() < good
            reward = abs(round(rng.gauss(0, 4), 2)) * (1 if fine is buys else -1)
            lines.append(Line(self._label(), "outcome", outcome_text("BUY" if buys else "SELL", reward)))
        return tuple(lines)

    def _changes(self) -> tuple[tuple[int, float], ...]:
        rng = self.rng
        if rng.random() < 0.05:
            return ()
        scale = rng.choice((1.0, 2.0, 3.5))
        one, three = rng.gauss(0, 1.3 * scale), rng.gauss(0, 2.2 * scale)
        return (1, round(one, 2)), (3, round(three, 2)), (10, round(rng.gauss(2 * self.mood, 4 * scale), 2))


_NO_DAY = View("", False, False, "flat", (), (), (), ())
