"""How the scripted model reads a prompt and what it makes of it; the rule is told in ``scripted.py``."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from varve.config import FrozenConfig
from varve.finllm.scripted.lexicon import sentiment
from varve.types import JsonObject

SECTION = re.compile(r"^<<<([A-Z0-9_]+)\n(.*?)^\1>>>$", re.DOTALL | re.MULTILINE)
ITEM = re.compile(r"^([MN]\d+|-) \| (\d{4}-\d\d-\d\d) \| (\S+) \| (.+)$", re.MULTILINE)
SESSION = re.compile(r"^Session: (\d{4}-\d\d-\d\d)", re.MULTILINE)
TICKER = re.compile(r"^Ticker: (.+)$", re.MULTILINE)
_CLOSES = re.compile(r"^closes \([^)\n]*oldest first\): ([0-9.,e+ -]+)$", re.MULTILINE | re.IGNORECASE)
MOVED = re.compile(r"^Outcome: .* moved ([+-]\d+\.\d+) %", re.MULTILINE)
REWARD = re.compile(r": (BUY|SELL|HOLD|FLAT) was followed by .* reward ([+-]\d+\.\d+) %")
_HEADLINE = re.compile(r"^(news|10-Q|10-K): (.+)$", re.MULTILINE)
_SIGNAL = re.compile(r"^(\S+) \| (BUY|SELL|HOLD) \| ", re.MULTILINE)
MOVE = re.compile(r"^- (\d+) sessions?: (?:([+-]\d+\.\d+) %|unknown)$", re.MULTILINE)
DECISION = re.compile(
    r"^(\d{4}-\d\d-\d\d) \| (BUY|SELL|HOLD|FLAT) \| .*? \| price since (?:([+-]\d+\.\d+) %|unknown) \|",
    re.MULTILINE,
)
_PROFILE = re.compile(r"^Profile: (\w+)$", re.MULTILINE)
_REFLECTIONS = ("rationale", "outcome", "lesson", "low_reflection", "high_reflection")
_REPORTS = ("10-Q", "10-K")
_AVERSE = ("risk_averse", "conservative")
_SIGNAL_SECTIONS = ("SIGNAL", "SIGNALS")
SIGNAL_WEIGHT = 0.1
"""What the signal of a trading strategy counts, where a prompt or a tool shows it."""
STRATEGIES_ASKED = ("strategy_macd", "strategy_zscore")
_SAME_CHARS = 200


class Rule(FrozenConfig):
    """The numbers of the rule; days are calendar days, weights are in units of one fresh headline."""

    news_days: float = 14.0
    oldest_news_days: int = 16
    report_weight: float = 0.2
    quarterly_report_days: int = 90
    annual_report_days: int = 365
    momentum_weight: float = 0.6
    momentum_weight_without_news: float = 1.2
    outcome_weight: float = 0.05
    outcomes: int = 5
    few_items: int = 8
    mixed_below: float = 0.25
    query_words: int = 8
    early: float = 0.5
    late: float = 0.8


RULE = Rule()


class Item(NamedTuple):
    """One line of evidence; ``label`` is empty where it cannot be cited."""

    label: str
    day: date | None
    kind: str
    text: str


class Past(NamedTuple):
    """A decision of one's own that a prompt tells of; ``since`` is what the price has done, a fraction."""

    day: str
    action: str
    since: float | None


@dataclass
class Page:
    """What a prompt says."""

    ticker: str = ""
    session: date | None = None
    profile: str = ""
    closes: tuple[float, ...] = ()
    outcome: float | None = None
    moves: tuple[float | None, ...] = ()
    decisions: list[Past] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    signals: dict[str, str] = field(default_factory=dict)
    asked: bool = False


class Judgement(NamedTuple):
    """What the rule makes of a page."""

    score: float
    action: str
    confidence: int
    words: str


def read(messages: Sequence[BaseMessage]) -> Page:
    """Everything that the rule looks at, from all messages but the model's own."""
    page = Page()
    seen: set[str] = set()
    for message in messages:
        text = message.text
        if isinstance(message, HumanMessage):
            _read_day(text, page)
        elif isinstance(message, ToolMessage):
            page.asked = True
        elif not isinstance(message, AIMessage):
            profile = _PROFILE.search(text)
            page.profile = profile.group(1) if profile else ""
            continue
        if isinstance(message, HumanMessage | ToolMessage):
            _read_items(text, page, seen)
    return page


def judge(page: Page) -> Judgement:
    """Score, action and confidence of a page."""
    news, reports = news_score(page), _reports(page)
    trend = _trend_weight(page) * _trend(page.closes)
    signals = _signals(page)
    score = news + reports + trend + _outcomes(page) + signals
    buy_above, sell_below = _thresholds(page.profile)
    if score > buy_above:
        action = "BUY"
    elif score < -sell_below:
        action = "SELL"
    else:
        action = "HOLD"
    confidence = 5 * round(min(95.0, 50.0 + 15.0 * abs(score)) / 5)
    if action == "HOLD":
        confidence = 5 * round(max(50.0, 80.0 - 30.0 * abs(score)) / 5)
    parts = f"News {news:+.2f}, reports {reports:+.2f}, trend {trend:+.2f}"
    parts += f", signals {signals:+.2f}" if page.signals else ""
    words = f"{parts}: {score:+.2f} in all, so {action}."
    agreeing_items = agreeing(page, score)
    if agreeing_items:
        words += f" Foremost: {agreeing_items[0].text}"
    return Judgement(score, action, confidence, words)


def agreeing(page: Page, direction: float) -> list[Item]:
    """News and reports that lean the way of ``direction``, the weightiest first."""
    weighed = [(item, _weight(item, page) * lean(item)) for item in page.items]
    fitting = [(item, weight) for item, weight in weighed if weight * direction > 0]
    fitting.sort(key=lambda pair: -abs(pair[1]))
    return [item for item, _ in fitting]


def questions(page: Page, tools: Collection[str]) -> list[tuple[str, JsonObject]]:
    """What to ask before deciding: more news where few lines lean, memory and prices where they differ."""
    if page.asked:
        return []
    weighed = [_weight(item, page) * lean(item) for item in page.items if item.kind == "news"]
    leans = [weight for weight in weighed if weight]
    if len(leans) < RULE.few_items:
        asked: list[tuple[str, JsonObject]] = [("news", {"days": RULE.oldest_news_days})]
    elif abs(sum(leans)) < RULE.mixed_below * sum(abs(lean) for lean in leans):
        newest = max(page.items, key=lambda item: (item.kind == "news", item.day or date.min))
        query = " ".join([page.ticker, *newest.text.split()[: RULE.query_words]])
        asked = [
            ("recall_memory", {"query": query, "tier": "short"}),
            ("price_history", {"days": 20}),
        ]
    else:
        asked = []
    asked += [(name, {}) for name in STRATEGIES_ASKED]
    return [call for call in asked if call[0] in tools]


def news_score(page: Page) -> float:
    """Sum of decayed sentiment over the news lines."""
    return sum(_weight(item, page) * lean(item) for item in page.items if item.kind == "news")


def _reports(page: Page) -> float:
    return sum(_weight(item, page) * lean(item) for item in page.items if item.kind in _REPORTS)


def _signals(page: Page) -> float:
    votes = [(action == "BUY") - (action == "SELL") for action in page.signals.values()]
    return SIGNAL_WEIGHT * sum(votes)


def _thresholds(profile: str) -> tuple[float, float]:
    """Above which score it buys, and below minus which it sells."""
    if profile == "neutral":
        middle = (RULE.early + RULE.late) / 2
        return middle, middle
    return (RULE.late, RULE.early) if profile in _AVERSE else (RULE.early, RULE.late)


def lean(item: Item) -> float:
    """Which way a line leans, −1 to 1; reflections lean to neither side."""
    return 0.0 if item.kind in _REFLECTIONS else sentiment(item.text)


def _weight(item: Item, page: Page) -> float:
    if item.day is None or page.session is None:
        return 1.0
    age = max(0, (page.session - item.day).days)
    if item.kind == "news":
        return math.exp(-age / RULE.news_days) if age <= RULE.oldest_news_days else 0.0
    kept_days = RULE.annual_report_days if item.kind == "10-K" else RULE.quarterly_report_days
    return RULE.report_weight if age <= kept_days else 0.0


def _trend(closes: tuple[float, ...]) -> float:
    """Return over the closes shown ÷ the root of the sum of its squared daily returns, within ±1."""
    if len(closes) < 4 or min(closes) <= 0:
        return 0.0
    steps = [math.log(later / earlier) for earlier, later in pairwise(closes)]
    scale = math.sqrt(sum(step * step for step in steps))
    return max(-1.0, min(1.0, sum(steps) / scale)) if scale else 0.0


def _trend_weight(page: Page) -> float:
    """Where no news line leans either way, the trend is all there is to go by."""
    leaning = any(item.kind == "news" and _weight(item, page) and lean(item) for item in page.items)
    return RULE.momentum_weight if leaning else RULE.momentum_weight_without_news


def _outcomes(page: Page) -> float:
    found = sorted(
        (item for item in page.items if item.kind == "outcome" and item.day is not None),
        key=lambda item: (item.day, item.label),
    )
    total = 0.0
    for item in found[-RULE.outcomes :]:
        match = REWARD.search(item.text)
        if match:
            reward, side = float(match.group(2)), {"BUY": 1, "SELL": -1}.get(match.group(1), 0)
            total += RULE.outcome_weight * side * ((reward > 0) - (reward < 0))
    return total


def _read_day(text: str, page: Page) -> None:
    session, ticker = SESSION.search(text), TICKER.search(text)
    closes, moved = _CLOSES.search(text), MOVED.search(text)
    if session:
        page.session = _day(session.group(1))
    if ticker:
        page.ticker = ticker.group(1)
    if closes:
        page.closes = tuple(_numbers(closes.group(1)))
    if moved:
        page.outcome = float(moved.group(1)) / 100
    page.moves = tuple(_share(given) for _, given in MOVE.findall(text)) or page.moves


def _read_items(text: str, page: Page, seen: set[str]) -> None:
    sections = SECTION.findall(text)
    for name, body in sections:
        if name in _SIGNAL_SECTIONS:
            page.signals.update(_SIGNAL.findall(body))
        if name == "DECISIONS":
            told = DECISION.findall(body)
            page.decisions = [Past(day, action, _share(since)) for day, action, since in told]
        for line in ITEM.findall(body):
            item = _item(line)
            # The same document may be cut to another length elsewhere.
            keys = {item.text[:_SAME_CHARS], item.label} - {""}
            if not keys & seen:
                page.items.append(item)
            seen |= keys
    if not sections:
        for kind, words in _HEADLINE.findall(text):
            page.items.append(Item("", None, kind, words))


@lru_cache(maxsize=20_000)
def _item(line: tuple[str, str, str, str]) -> Item:
    label, day, kind, text = line
    return Item("" if label == "-" else label, _day(day), kind, text)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _share(percent: str) -> float | None:
    return float(percent) / 100 if percent else None


def _numbers(text: str) -> list[float]:
    """The numbers of a list with commas; none where one of them is no finite number."""
    try:
        found = [float(number) for number in text.split(",")]
    except ValueError:
        return []
    return found if all(map(math.isfinite, found)) else []
