"""Lines of financial text with a known tone, and what of the wording is kept out of training.

A line comes from one of four sources: the sample worlds' patterns, whole phrases, measures that move
(sign of the measure × direction of the verb), or events that come or are avoided. In the split ``wording``
every pattern is one that training never draws; in ``subjects`` companies, tickers and products are. Training
alone draws most of its lines from wider lists beside these (``headlines.txt``, ``words.toml``), written
without sight of what is held out.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random
from typing import Literal

from varve.market.worlds.grammar import patterns

Tone = Literal["good", "bad", "plain", "mixed"]
Split = Literal["train", "fresh", "subjects", "wording"]

_WORLD = {"good": "positive", "bad": "negative", "plain": "neutral", "mixed": "mixed"}
_HELD = {
    # Every so many entries, from which on: (step, first).
    "world": (4, 1), "phrase": (8, 5), "measure_frames": (6, 4), "frames": (5, 3), "words": (8, 5),
    "companies": (5, 2), "products": (7, 3), "starts": (6, 2),
}  # fmt: skip


MORE_SHARE, BANK_SHARE, COMPOSED_SHARE = 0.14, 0.32, 0.28
"""Shares of training's lines from lists that no held-out row draws from: phrases, whole headlines, words."""


@cache
def wording() -> dict[str, list[str]]:
    """The lists of ``wording.toml``."""
    text = resources.files("varve.finllm.nano").joinpath("wording.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _part(name: str, rule: str, held: bool) -> tuple[str, ...]:
    """The held-out entries of a list, or the others."""
    source = patterns() if rule == "world" else wording()
    step, first = _HELD[rule]
    return tuple(entry for place, entry in enumerate(source[name]) if (place % step == first) is held)


@dataclass(frozen=True)
class Subject:
    """What the lines of one page are about."""

    company: str
    ticker: str
    products: tuple[str, ...]
    market: str
    rival: str


def draw_subject(rng: Random, split: Split, wide: float = 1.0) -> Subject:
    """A company with its ticker; in the split ``subjects`` one that training never names.

    Training makes up names, too, the more often the nearer ``wide`` is to 1.
    """
    held = split == "subjects"
    if rng.random() < 0.15:
        company, _, ticker = rng.choice(_part("companies", "companies", held)).partition(":")
    else:
        lists = wording()
        company = rng.choice(_part("starts", "starts", held)) + rng.choice(lists["middles"])
        company += rng.choice(lists["ends"]) + rng.choice(lists["suffixes"])
        ticker = _ticker(rng, company, held)
    lists = wording()
    products = tuple(rng.sample(_part("products", "products", held), 4))
    if split == "train" and rng.random() < 0.3 * wide:
        # Made-up names teach that a name says nothing of the tone.
        company, products = _made_up(rng).capitalize(), tuple(_made_up(rng) for _ in range(4))
    return Subject(
        company, ticker, products, rng.choice(wording()["markets"]), rng.choice(wording()["rivals"])
    )


def _made_up(rng: Random) -> str:
    """Two to four syllables."""
    syllables = (
        rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") + rng.choice(" nrlsx") for _ in range(4)
    )
    return "".join(list(syllables)[: rng.randint(2, 4)]).replace(" ", "")


def _ticker(rng: Random, company: str, held: bool) -> str:
    """Random letters, at times the company's own; sums of letters that 7 divides are held out."""
    while True:
        if rng.random() < 0.4:
            ticker = company.replace(" ", "")[: rng.randint(2, 4)].upper()
        else:
            ticker = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(1, 5)))
        if rng.random() < 0.04:
            ticker += "-USD"
        if (sum(map(ord, ticker)) % 7 == 0) is held:
            return ticker
        company = company[1:] if len(company) > 4 and held else company


def headline(rng: Random, subject: Subject, tone: Tone, split: Split, wide: float = 1.0) -> str:
    """One line of that tone; in training from the wider lists the more often the nearer ``wide`` is to 1."""
    held = split == "wording"
    draw = rng.random()
    widely = split == "train" and rng.random() < wide
    wider = _wider(rng, tone) if widely else None
    if wider is not None:
        text = wider
    elif draw < 0.28:
        text = rng.choice(_part(_WORLD[tone], "world", held))
    elif tone == "plain":
        text = "{c} " + rng.choice(_part("neutral", "phrase", held))
    elif tone == "mixed":
        text = _mixed(rng, held)
    elif draw < 0.62:
        text = _phrase(rng, tone, held)
    elif draw < 0.85:
        text = _measure(rng, tone, held)
    else:
        text = _event(rng, tone, held)
    if widely:
        text = _reworded(rng, text)
    if rng.random() < 0.12:
        text = rng.choice(wording()["before"]) + text
    if rng.random() < 0.15:
        text += rng.choice(wording()["after"])
    return fill(rng, subject, text)


def _wider(rng: Random, tone: Tone) -> str | None:
    """A line of the lists for training alone; None where it is to come from the others."""
    draw = rng.random()
    if draw < MORE_SHARE:
        return _more(rng, tone)
    if draw < MORE_SHARE + BANK_SHARE:
        return rng.choice(_headlines()[tone])
    if draw < MORE_SHARE + BANK_SHARE + COMPOSED_SHARE:
        return composed(rng, tone)
    return None


@cache
def _headlines() -> dict[str, list[str]]:
    """The lines of ``headlines.txt`` by tone."""
    text = resources.files("varve.finllm.nano").joinpath("headlines.txt").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {tone: [] for tone in _WORLD}
    for line in text.splitlines():
        tone, _, words = line.partition("|")
        found[tone].append(words)
    return found


def composed(rng: Random, tone: Tone) -> str:
    """Words of ``words.toml`` in a frame; each word has a tone, or a sign that a verb turns."""
    lists = words()
    if tone == "mixed":
        parts = [composed(rng, "good"), composed(rng, "bad")]
        rng.shuffle(parts)
        return f"{parts[0]}{rng.choice((' but ', ' while ', '; yet ', '; however, ', ' even as '))}{parts[1]}"
    if tone == "plain":
        return rng.choice(lists["plain_frames"]).replace("{w}", rng.choice(lists["plain_things"]))
    draw = rng.random()
    if draw < 0.3:
        return _measure(rng, tone, False, lists)
    if draw < 0.55:
        return _event(rng, tone, False, lists)
    kind = "adjectives" if draw < 0.7 else "does" if draw < 0.85 else "words"
    text: str = rng.choice(lists[f"{kind}_frames"])
    for slot in ("{w}", "{w2}"):
        text = text.replace(slot, rng.choice(lists[f"{tone}_{kind}"]))
    return text


@cache
def words() -> dict[str, list[str]]:
    """The lists of ``words.toml``, and their frames."""
    text = resources.files("varve.finllm.nano").joinpath("words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _more(rng: Random, tone: Tone) -> str:
    """From the lists that are for training alone, and at times only words of a tone."""
    lists = wording()
    if tone == "mixed" and rng.random() < 0.3:
        return "{c} " + rng.choice(lists["extra_mixed"])
    if tone == "mixed":
        parts = [rng.choice(lists["more_positive"]), rng.choice(lists["more_negative"])]
        rng.shuffle(parts)
        return "{c} " + rng.choice((" but ", " yet ", " while it ", ", though it ", "; also ")).join(parts)
    if tone != "plain" and rng.random() < 0.2:
        known = _lexicon()[_WORLD[tone]]
        frame = rng.choice(lists["word_frames"])
        return frame.replace("{w}", rng.choice(known)).replace("{w2}", rng.choice(known))
    more, extra = lists["more_" + _WORLD[tone]], lists["extra_" + _WORLD[tone]]
    return "{c} " + rng.choice([*more, *extra])


def _reworded(rng: Random, text: str) -> str:
    """Some words in place of others that do not change the tone."""
    if rng.random() < 0.4:
        return text
    known = _synonyms()
    return " ".join(
        rng.choice(known[word]) if word in known and rng.random() < 0.5 else word for word in text.split(" ")
    )


@cache
def _synonyms() -> dict[str, list[str]]:
    groups = [group.split() for group in wording()["synonyms"]]
    return {word: group for group in groups for word in group}


@cache
def _lexicon() -> dict[str, list[str]]:
    """The scripted model's word list."""
    text = resources.files("varve.finllm.scripted").joinpath("lexicon.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def filing(rng: Random, subject: Subject, form: str, tone: Tone, split: Split) -> str:
    """A report of two sentences of the tone and often a plain one."""
    known = patterns()
    held = split == "wording"
    sign = "positive" if tone == "good" else "negative"
    if held or rng.random() < 0.4:
        sentences = [_measure(rng, tone, held) + "." for _ in range(2)]
    else:
        sentences = rng.sample(known[f"filing_{sign}"], 2)
    if rng.random() < 0.8:
        sentences.append(rng.choice(known["filing_neutral"]))
    period = "annual" if form == "10-K" else "quarterly"
    body = " ".join(fill(rng, subject, sentence) for sentence in sentences)
    return f"{subject.company} {period} report ({form}): {body}"


def _phrase(rng: Random, tone: Tone, held: bool) -> str:
    return "{c} " + rng.choice(_part(_WORLD[tone], "phrase", held))


def _mixed(rng: Random, held: bool) -> str:
    if rng.random() < 0.4:
        return "{c} " + rng.choice(_part("mixed", "phrase", held))
    parts = [_phrase(rng, "good", held), _phrase(rng, "bad", held).replace("{c} ", "", 1)]
    if rng.random() < 0.5:
        parts = [_phrase(rng, "bad", held), _phrase(rng, "good", held).replace("{c} ", "", 1)]
    return rng.choice((" but ", " yet ", " while it ", ", though it ", "; also ")).join(parts)


def _measure(rng: Random, tone: Tone, held: bool, wide: dict[str, list[str]] | None = None) -> str:
    """A measure that moves: good where a welcome one rises or an unwelcome one falls."""
    welcome = rng.random() < 0.6
    rises = (tone == "good") is welcome
    lists = wide or wording()
    if wide:
        measure = rng.choice(wide["up_good" if welcome else "up_bad"])
        forms = rng.choice(wide["up" if rises else "down"]).split("|")
        if _plural(measure):
            forms[0] = forms[2]
    else:
        unseen = held and rng.random() < 0.3
        measure = rng.choice(_part("up_good" if welcome else "up_bad", "words", unseen))
        forms = rng.choice(_part("up" if rises else "down", "words", held and rng.random() < 0.3)).split("|")
    frames = wide["measure_frames"] if wide and rng.random() < 0.6 else None
    text = rng.choice(frames or _part("measure_frames", "measure_frames", held))
    slots = {
        "{x}": measure, "{present}": forms[0], "{past}": forms[1], "{inf}": forms[2], "{noun}": forms[-1],
        "{adj}": rng.choice(lists["higher" if rises else "lower"]),
        "{moves}": rng.choice(lists["raises" if rises else "cuts"]),
    }  # fmt: skip
    for slot, word in slots.items():
        text = text.replace(slot, word)
    return text


def _plural(measure: str) -> bool:
    """Whether its first noun group ends as plurals do."""
    head = re.split(r" (?:of|at|in|per|on|to|from) ", measure)[0]
    return head.endswith("s") and not head.endswith("ss")


def _event(rng: Random, tone: Tone, held: bool, wide: dict[str, list[str]] | None = None) -> str:
    """Something good or bad that comes, or that stays away."""
    thing = rng.choice(("good", "bad"))
    if wide:
        what = rng.choice(wide[f"{thing}_things"])
    else:
        what = rng.choice(_part(f"{thing}_things", "words", held and rng.random() < 0.3))
    frames = wide[f"{thing}_{tone}_frames"] if wide and rng.random() < 0.7 else None
    frame = rng.choice(frames or _part(f"{thing}_{tone}_frames", "frames", held))
    what = what.partition(" ")[2] if frame.startswith("No ") and what.startswith(("a ", "an ")) else what
    return frame.replace("{g}", what).replace("{b}", what)


def fill(rng: Random, subject: Subject, pattern: str) -> str:
    """A pattern of either form with its slots filled, its first letter large."""
    product, place = rng.choice(subject.products), rng.choice(wording()["places"])
    quarter, share, count = rng.choice(wording()["quarters"]), rng.randint(2, 40), rng.randint(2, 90) * 10
    text = pattern.format(
        c=subject.company, company=subject.company, p=product, product=product, m=subject.market,
        market=subject.market, pl=place, place=place, r=subject.rival, rival=subject.rival, q=quarter,
        quarter=quarter, s=share, share=share, n=count, count=count,
    )  # fmt: skip
    return text[0].upper() + text[1:]
