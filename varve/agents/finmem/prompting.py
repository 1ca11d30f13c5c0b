"""Prompts of the FinMem agent.

Order: rules, (the tools' schemas, bound), profile, reply contract; then the day. Nothing before the day
changes from one day to the next, but for the two variants of a self-adaptive profile.
"""

from __future__ import annotations

from langchain_core.messages import SystemMessage

from varve.agents.finmem.config import ADAPTIVE_SESSIONS, FinMemConfig, Variant
from varve.agents.prompting import (
    Page,
    Prompts,
    cleaned,
    market_values,
    percent,
    position_text,
    trading_values,
)
from varve.finllm.replies.untrusted import section
from varve.finllm.scripted import lexicon
from varve.market.observation import Observation
from varve.memory.state.config import TIERS
from varve.memory.state.records import Recalled
from varve.strategies.base import Lesson, RunContext
from varve.strategies.indicators import momentum
from varve.types import Document

QUERY_HEADLINES, QUERY_TOKENS = 5, 40
BACKGROUND_TOKENS = 1_000
TONE_FROM = 0.2
"""A line whose good and bad words differ by less than this share is neutral."""
PROMPTS = Prompts("varve.agents.finmem")
render = PROMPTS.render


def system_message(
    config: FinMemConfig, context: RunContext, variant: Variant, *, explain: bool
) -> SystemMessage:
    """Rules, profile and reply contract; equal for every day with an equal profile variant."""
    return SystemMessage(
        render(
            "system",
            profile_file=f"profile_{variant}.j2",
            contract_file="contract_explain.j2" if explain else "contract_decide.j2",
            rounds=config.max_tool_rounds,
            background=cleaned(config.background, BACKGROUND_TOKENS)[0],
            **trading_values(context),
        )
    )


def profile_variant(config: FinMemConfig, observation: Observation) -> Variant:
    """The profile of the day: a self-adaptive one is averse after three sessions that lost, else seeking."""
    if config.profile != "self_adaptive":
        return config.profile
    closes = observation.view.closes(observation.instrument.symbol, ADAPTIVE_SESSIONS + 1)
    change = momentum(closes, ADAPTIVE_SESSIONS)
    return "risk_averse" if change is not None and change < 0 else "risk_seeking"


def news_section(page: Page, documents: list[Document], *, sentiment: bool = False) -> str:
    """The section of the documents shown; with ``sentiment`` each piece of news says its tone."""
    lines = [
        page.document_line(document) + (_tone(document) if sentiment else "")
        for document in documents
        if document.text.strip()
    ]
    return section("NEWS", lines or ["none"])


def _tone(document: Document) -> str:
    if document.kind != "news":
        return ""
    score = lexicon.sentiment(document.text)
    tone = "neutral" if abs(score) < TONE_FROM else "positive" if score > 0 else "negative"
    return f" (sentiment: {tone})"


def memory_sections(page: Page, hits: dict[str, list[Recalled]]) -> str:
    """A section per tier."""
    parts = []
    for tier in TIERS:
        lines = page.memory_lines([hit.record for hit in hits.get(tier, [])])
        parts.append(section(f"MEMORY_{tier.upper()}", lines or ["none"]))
    return "\n".join(parts)


def query_text(observation: Observation) -> str:
    """What to recall memories by: today's headlines, trend and position."""
    closes = observation.view.closes(observation.instrument.symbol, ADAPTIVE_SESSIONS + 1)
    change = momentum(closes, ADAPTIVE_SESSIONS)
    trend = "unchanged" if not change else f"{'up' if change > 0 else 'down'} {abs(100 * change):.1f} percent"
    documents = observation.new_documents()[-QUERY_HEADLINES:]
    return render(
        "query",
        ticker=observation.instrument.symbol,
        trend=trend,
        sessions=ADAPTIVE_SESSIONS,
        position=position_text(observation.position),
        headlines=" ".join(cleaned(document.text, QUERY_TOKENS)[0] for document in documents),
    )


def decide_message(config: FinMemConfig, observation: Observation, *, memories: str, news: str) -> str:
    """The day's part of the prompt."""
    return render("decide", memories=memories, news=news, **market_values(observation, config.closes_shown))


def explain_message(config: FinMemConfig, lesson: Lesson, horizon: int, *, memories: str, news: str) -> str:
    """The prompt of a warm-up lesson: the past day as it was seen, and its outcome."""
    return render(
        "explain",
        memories=memories,
        news=news,
        horizon=horizon,
        price_return=percent(lesson.price_return),
        cost=percent(lesson.cost_rate),
        **market_values(lesson.past, config.closes_shown),
    )
