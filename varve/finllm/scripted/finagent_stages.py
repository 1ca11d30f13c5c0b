"""How the scripted model plays the stages of FinAgent before the decision; told in full here.

* News: each line's first 160 characters; the sentiment is the sign of its word list's; annual reports are
  long-term, quarterly reports and news that leans to neither side medium-term, other news short-term.
* Past intelligence: how many lines lean which way, and the first that does.
* Moves: the weightiest line that leans the way of the move, or that nothing does.
* Decisions: a BUY was right where the price has risen since, a SELL or FLAT where it has fallen; a HOLD is
  not judged. Where more were wrong than right it resolves to wait for more evidence.
* Importance of a text, which any agent may ask about: an annual report is vital, a quarterly one high, news
  all of whose leaning words lean one way is high, other news that leans medium, everything else low.
"""

from __future__ import annotations

from collections.abc import Callable

from varve.finllm.scripted.prompt_reader import Item, Page, Past, agreeing, lean
from varve.types import JsonObject

ITEM_CHARS, QUERY_WORDS = 160, 8
_HORIZONS = {"10-K": "long", "10-Q": "medium"}


def _news(page: Page) -> JsonObject:
    items = [item for item in page.items if item.label.startswith("N")]
    told = [
        {
            "item": item.label,
            "horizon": _horizon(item),
            "sentiment": _sentiment(item),
            "summary": item.text[:ITEM_CHARS],
        }
        for item in items
    ]
    return {
        "items": told,
        "summary": _summed_up(page, items),
        **{f"{horizon}_query": _query(page, items, horizon) for horizon in ("short", "medium", "long")},
    }


def _past(page: Page) -> JsonObject:
    return {"summary": _summed_up(page, page.items)}


def _moves(page: Page) -> JsonObject:
    short, medium, long = (*page.moves, None, None, None)[:3]
    reasons = {
        "short": _reason(page, short),
        "medium": _reason(page, medium),
        "long": _reason(page, long),
    }
    return {**reasons, "query": f"{page.ticker} {_way(medium)}. {reasons['medium'][:ITEM_CHARS]}"}


def _review(page: Page) -> JsonObject:
    right = [one for one in page.decisions if _was_right(one) is True]
    wrong = [one for one in page.decisions if _was_right(one) is False]
    correct = (
        "Wait for more evidence before acting."
        if len(wrong) > len(right)
        else "Go on acting on the same evidence."
    )
    return {
        "right": _listed(right) or "None that can be judged yet.",
        "missed": _listed(wrong) or "Nothing that can be judged yet.",
        "correct": correct,
        "query": f"{page.ticker} review: {len(right)} right, {len(wrong)} wrong. {correct}",
    }


def _importance(page: Page) -> JsonObject:
    item = page.items[0] if page.items else Item("", None, "", "")
    reports = {"10-K": "vital", "10-Q": "high"}
    leaning = {0.0: "low", 1.0: "high"}.get(abs(lean(item)), "medium")
    return {"importance": reports.get(item.kind, leaning)}


ANSWERS: dict[str, Callable[[Page], JsonObject]] = {
    "summarise_news": _news,
    "summarise_past": _past,
    "explain_moves": _moves,
    "review_decisions": _review,
    "rate_importance": _importance,
}
"""The fields of each stage's form, by the form's name."""


def _horizon(item: Item) -> str:
    return _HORIZONS.get(item.kind) or ("short" if lean(item) else "medium")


def _sentiment(item: Item) -> str:
    value = lean(item)
    return "positive" if value > 0 else "negative" if value < 0 else "neutral"


def _summed_up(page: Page, items: list[Item]) -> str:
    signs = [_sentiment(item) for item in items]
    counts = ", ".join(f"{signs.count(one)} {one}" for one in ("positive", "negative", "neutral"))
    balance = signs.count("positive") - signs.count("negative")
    foremost = agreeing(page, float(balance)) if balance else []
    return f"{counts}. Foremost: {foremost[0].text[:ITEM_CHARS]}" if foremost else f"{counts}."


def _query(page: Page, items: list[Item], horizon: str) -> str:
    fitting = [item for item in items if _horizon(item) == horizon] or items
    words = fitting[0].text.split()[:QUERY_WORDS] if fitting else ["news"]
    return " ".join([page.ticker, *words])


def _reason(page: Page, move: float | None) -> str:
    found = agreeing(page, move) if move else []
    return found[0].text[:ITEM_CHARS] if found else "Nothing shown explains it."


def _way(move: float | None) -> str:
    return "unchanged" if not move else "up" if move > 0 else "down"


def _was_right(one: Past) -> bool | None:
    """None for what cannot be judged."""
    if one.action == "HOLD" or not one.since:
        return None
    return (one.action == "BUY") == (one.since > 0)


def _listed(decisions: list[Past]) -> str:
    return ", ".join(f"{one.action} of {one.day} ({100 * (one.since or 0.0):+.2f} %)" for one in decisions)
