"""Runs of one kind taken together: seeds on a ticker, and one agent over several tickers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.sharpe import Estimate, SeedSplit, pooled_difference, pooled_sharpe, seed_split
from varve.backtests.studies.compare.entrants import Entrant


@dataclass(frozen=True, slots=True)
class Pool:
    """Runs that differ in their seed alone, or in seed and ticker.

    ``runs`` are their numbers, from 1. ``against_first`` is the difference from the pool that the first
    run is in, over the same tickers and seeds; None for that pool itself, and where they do not match.
    ``split`` is None for several tickers.
    """

    name: str
    runs: tuple[int, ...]
    sharpe: Estimate
    against_held: Estimate
    against_first: Estimate | None
    split: SeedSplit | None


def pools(
    entrants: Sequence[Entrant],
    returns: Sequence[SessionReturns],
    held: Sequence[SessionReturns],
    bars_per_year: float,
) -> list[Pool]:
    """Every pool of at least two runs: first over seeds, ticker by ticker, then over tickers.

    Args:
        returns, held: of each run and of buy-and-hold on its data, over the same sessions.
    """
    by_seed: dict[object, list[int]] = {}
    by_kind: dict[object, list[int]] = {}
    seen: set[object] = set()
    for i, entrant in enumerate(entrants):
        run = entrant.trial
        same = (run.settings, run.seed, entrant.market, run.start, run.end)
        if same in seen:
            # A run made again tells nothing more.
            continue
        seen.add(same)
        by_seed.setdefault((run.settings, entrant.market, run.start, run.end), []).append(i)
        by_kind.setdefault(run.settings, []).append(i)
    over_tickers = [m for m in by_kind.values() if len({entrants[i].market for i in m}) > 1]
    found = []
    for groups, one_ticker in ((list(by_seed.values()), True), (over_tickers, False)):
        first = next((members for members in groups if 0 in members), [])
        for members in groups:
            if len(members) > 1:
                against = None if members is first else _matched(entrants, members, first)
                pairs = None if against is None else [(returns[i], returns[j]) for i, j in against]
                found.append(
                    Pool(
                        name=_name([entrants[i] for i in members], one_ticker),
                        runs=tuple(i + 1 for i in members),
                        sharpe=pooled_sharpe([returns[i] for i in members], bars_per_year),
                        against_held=pooled_difference(
                            [(returns[i], held[i]) for i in members], bars_per_year
                        ),
                        against_first=None if pairs is None else pooled_difference(pairs, bars_per_year),
                        split=seed_split([returns[i] for i in members], bars_per_year)
                        if one_ticker
                        else None,
                    )
                )
    return found


def _matched(
    entrants: Sequence[Entrant], members: Sequence[int], first: Sequence[int]
) -> list[tuple[int, int]] | None:
    """Pairs of the same ticker and seed; None where one of either has no partner."""
    partners = {(entrants[j].market, entrants[j].trial.seed): j for j in first}
    keys = [(entrants[i].market, entrants[i].trial.seed) for i in members]
    if not first or set(keys) != set(partners):
        return None
    return [(i, partners[key]) for i, key in zip(members, keys, strict=True)]


def _name(members: Sequence[Entrant], one_ticker: bool) -> str:
    agent, seeds = members[0].trial.agent, len({member.trial.seed for member in members})
    tickers = sorted({member.trial.ticker for member in members})
    if one_ticker:
        return f"{agent} {tickers[0]}, {seeds} seeds"
    return f"{agent}, {len(members)} runs on {len(tickers)} tickers"
