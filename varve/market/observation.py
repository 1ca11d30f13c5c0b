"""What a trader is shown at one decision: the day's view and its own portfolio."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

from varve.clock import iso
from varve.config import canonical_json
from varve.market.view import GUIDANCE, MarketView
from varve.types import Document, Instrument, Portfolio


@dataclass(frozen=True)
class Observation:
    """One decision's input.

    ``step`` counts decisions of a phase from 0; ``session`` is the last ended session;
    ``previous_decision_at`` is the decision before, None at the first.
    """

    step: int
    instrument: Instrument
    session: date
    decision_at: datetime
    previous_decision_at: datetime | None
    view: MarketView
    portfolio: Portfolio

    @property
    def position(self) -> float:
        """Signed quantity held in the instrument."""
        return self.portfolio.position(self.instrument.symbol)

    def new_documents(self) -> tuple[Document, ...]:
        """Documents that became readable since the last decision, oldest first."""
        return self.view.documents(self.instrument.symbol, since=self.previous_decision_at)

    def guidance(self, last: int = 1) -> tuple[Document, ...]:
        """The ``last`` newest pieces of an expert's guidance readable by now, oldest first."""
        found = self.view.documents(self.instrument.symbol, kinds=(GUIDANCE,))
        return found[len(found) - min(last, len(found)) :]

    def text(self, *, closes: int = 10, headline_chars: int = 300) -> str:
        """The observation as deterministic plain text, as shown to a language model."""
        series = self.view.bars(self.instrument.symbol, closes)
        prices = ", ".join(f"{value:.2f}" for value in series.close)
        held = self.portfolio
        lines = [
            f"{self.instrument.symbol} after {iso(self.session)}, decision at {iso(self.decision_at)}",
            f"closes ({self.instrument.currency}, oldest first): {prices}",
            f"position: {self.position:g}; cash: {held.cash:.2f}; equity: {held.equity:.2f}",
        ]
        lines += [f"{d.kind}: {d.text[:headline_chars]}" for d in self.new_documents()]
        return "\n".join(lines)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of everything visible that changed since the decision before, and the portfolio."""
        symbol = self.instrument.symbol
        bar = self.view.last_bar(symbol)
        row: dict[str, object] = {
            "symbol": symbol,
            "session": iso(self.session),
            "decision_at": iso(self.decision_at),
            "bar": None if bar is None else [bar.open, bar.high, bar.low, bar.close, bar.volume],
            "closes": [float(value) for value in self.view.closes(symbol, 30)],
            "documents": [[d.id, d.kind, d.text] for d in self.new_documents()],
            "portfolio": [self.portfolio.cash, self.portfolio.equity, dict(self.portfolio.positions)],
        }
        guidance = self.view.documents(symbol, kinds=(GUIDANCE,), since=self.previous_decision_at)
        if guidance:
            row["guidance"] = [[d.id, d.text] for d in guidance]
        return hashlib.sha256(canonical_json(row).encode()).hexdigest()
