"""Texts with chosen vectors, and a brute-force recall to compare with."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np

from varve.memory import LayeredMemory, MemoryConfig
from varve.types import RULES

START = datetime(2021, 1, 4, 14, tzinfo=UTC)
MENDED = ("varve", "finmem-code")
DIMENSION = 16


def day(n):
    return START + timedelta(days=n)


class TableEmbedder:
    """Gives each text the vector that a test chose for it, else one drawn from its characters."""

    name, fingerprint, dimension = "table", "table-1", DIMENSION

    def __init__(self, table=None):
        self.table = table or {}
        self.calls = []

    def embed(self, texts):
        self.calls.append(list(texts))
        return np.array([self.one(text) for text in texts], np.float32).reshape(len(texts), DIMENSION)

    def one(self, text):
        if text in self.table:
            vector = np.asarray(self.table[text], float)
        else:
            vector = np.random.default_rng(list(text.encode())).normal(size=DIMENSION)
        return vector / np.linalg.norm(vector)


def make(
    preset="varve", embedder=None, *, seed=0, trace=None, folder=None, run_id="run", rules=RULES, **settings
):
    config, given = MemoryConfig.build(preset=preset, **settings), embedder or TableEmbedder()
    return LayeredMemory(config, given, seed=seed, trace=trace, folder=folder, run_id=run_id, rules=rules)


def put(memory, text, at=0, tier="short", ticker="TSLA", *, now=None, **rest):
    """Store a text that was readable ``at`` days after START."""
    when = day(at)
    return memory.add(
        text,
        tier=tier,
        ticker=ticker,
        event_time=when,
        available_at=when,
        now=when if now is None else day(now),
        kind="news",
        **rest,
    )


def brute_force(facts, query, now, k, config, tier, ticker):
    """Ids of the best ``k`` of ``facts`` (dicts), each scored on its own in plain Python."""
    settings = config.tier(tier)
    scored = []
    for fact in facts:
        if fact["tier"] != tier or fact["available"] > now:
            continue
        if ticker is not None and fact["ticker"] not in (ticker, None):
            continue
        days = (now - fact["available"]) / timedelta(days=1)
        similarity = math.fsum(float(a) * float(b) for a, b in zip(fact["vector"], query, strict=True))
        importance = fact["importance"] * settings.importance_factor ** (days * 252 / 365)
        score = (
            config.similarity_weight * similarity
            + config.recency_weight * math.exp(-days / settings.tau_days)
            + config.importance_weight * min(importance, 100) / 100
        )
        step = math.floor(score / config.score_tie + 0.5)
        scored.append((-step, -fact["available"].timestamp(), fact["id"]))
    return [memory_id for _, _, memory_id in sorted(scored)[:k]]
