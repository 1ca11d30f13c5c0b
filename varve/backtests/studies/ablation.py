"""What an agent's memory is worth: the same runs with a memory made worse in one way, in paired differences.

Each variant is a setting of the memory, so that ``backtest run --set memory.…`` runs it alone too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from varve.backtests.config import RunConfig
from varve.backtests.record.trial_registry.lines import Trial, trial_of_settings
from varve.backtests.record.trial_registry.registry import TrialRegistry
from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.sharpe import (
    SAME,
    Estimate,
    MeanLaw,
    holm,
    no_estimate,
    pooled_difference,
    same_returns,
    sharpe_per_session,
    where_they_differ,
    withheld_difference,
)
from varve.backtests.results.track import track_of_records
from varve.backtests.simulate.prepare import Prepared, prepare
from varve.backtests.simulate.steps import cached_replies, simulate
from varve.clock import iso
from varve.config import merged
from varve.errors import SettingError, UsageError
from varve.market.calendars import get_calendar
from varve.memory.state.config import TIERS, MemoryConfig
from varve.types import Json, JsonObject

FULL = "full memory"
_FOR_EVER = {"tau_days": 36_500.0, "importance_factor": 1.0}

VARIANTS: dict[str, JsonObject] = {
    **{f"without {tier}": {"recalled_tiers": [t for t in TIERS if t != tier]} for tier in TIERS},
    "no decay": dict.fromkeys(TIERS, _FOR_EVER),
    "no credit": {"credit_points": 0.0, "credits_to_promote": 1e9, "credits_to_demote": 1e9},
    "random recall": {"recall": "random"},
    "no memory": {"recalled_tiers": []},
}
"""What each variant sets of the memory; everything else stays."""

LEVEL = 0.05
MAX_SEEDS = 1000
OnRun = Callable[[str, int, int], None]
"""Called before each run with the variant's name, how many runs are done, and of how many."""


class Daily(NamedTuple):
    """A mean difference of returns per session in basis points, its error, 95 % interval and p against 0.

    All but the value NaN where there is none, and ``why`` then says why.
    """

    value: float
    error: float
    low: float
    high: float
    p: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """Full memory less a variant, pooled over seeds.

    ``equal`` counts the seeds on which both traded the same. ``sharpe_p`` and ``daily_p`` are Holm's over
    all variants. Where all seeds are equal the differences are 0 without an interval, and
    ``why`` says so.
    """

    variant: str
    equal: int
    sharpe: Estimate
    daily: Daily
    sharpe_p: float
    daily_p: float

    @property
    def stands_out(self) -> bool:
        """Whether either difference is told from 0 at 5 % after Holm's correction."""
        return self.sharpe_p < LEVEL or self.daily_p < LEVEL


@dataclass(frozen=True)
class Ablation:
    """All variants against the full memory; ``distinct`` seeds gave different runs of the full memory."""

    label: str
    agent: str
    ticker: str
    seeds: int
    distinct: int
    sessions: int
    synthetic: bool
    compared: tuple[Compared, ...]


def ablate(config: RunConfig, *, seeds: int, on_run: OnRun | None = None) -> Ablation:
    """Run every variant on every seed, in memory, and compare each with the full memory on the same seed.

    Seed i adds i to the run's seed and, on sample worlds, to the world's seed: a model that draws nothing
    would give equal runs otherwise. Every run is entered in the trial registry.

    Raises:
        SettingError: if ``seeds`` is below 1 or above 1,000.
        UsageError: if the agent has no layered memory.
        VarveError: as a run.
    """
    if not 1 <= seeds <= MAX_SEEDS:
        raise SettingError(f"{seeds:.3g} seeds given, 1 to {MAX_SEEDS} expected", mend="--seeds 5")
    first = prepare(config)
    if not isinstance(getattr(first.trader_config, "memory", None), MemoryConfig):
        raise UsageError(
            f"agent {config.agent!r} has no layered memory to take away from",
            mend="ablate one that has: --agent finmem",
        )
    registry = TrialRegistry()
    registry.check()
    done, returns = 0, dict[str, list[SessionReturns]]()
    for variant, changes in {FULL: {}, **VARIANTS}.items():
        returns[variant] = []
        for seed in range(seeds):
            if on_run:
                on_run(variant, done, seeds * (len(VARIANTS) + 1))
            prepared = prepare(_seeded(config, changes, seed, first))
            returns[variant].append(_run(prepared, registry))
            done += 1
    provenance = first.data.provenance
    bars, window = first.data.bars, first.window
    per_year = get_calendar(first.data.instrument.calendar).bars_per_year(
        bars.session(window.first), bars.session(window.last), window.last - window.first
    )
    return Ablation(
        label=first.label,
        agent=config.agent,
        ticker=config.ticker,
        seeds=seeds,
        distinct=len({series.values.tobytes() for series in returns[FULL]}),
        sessions=first.window.last - first.window.first,
        synthetic=provenance.synthetic,
        compared=tuple(compare_variants(returns, per_year)),
    )


def _seeded(config: RunConfig, changes: Mapping[str, Json], seed: int, first: Prepared) -> RunConfig:
    values = config.model_dump()
    values["seed"] += seed
    if first.data.provenance.synthetic:
        values["world_seed"] += seed
    values["settings"] = (
        merged(values["settings"], {"memory": dict(changes)}) if changes else values["settings"]
    )
    return RunConfig.build(**values)


def _run(prepared: Prepared, registry: TrialRegistry) -> SessionReturns:
    with cached_replies(prepared, True) as cached:
        records = simulate(prepared, replies=cached)
    found = SessionReturns.of(track_of_records(prepared.config.agent, records, prepared))
    registry.add([_trial(prepared, found)])
    # An account that was ruined earns nothing more.
    rest = (0, prepared.window.last - prepared.window.first - len(found))
    return SessionReturns(np.pad(found.values, rest), np.pad(found.in_position, rest))


def _trial(prepared: Prepared, returns: SessionReturns) -> Trial:
    """As a run of these settings would be entered, but without a folder."""
    bars, window = prepared.data.bars, prepared.window
    tried = trial_of_settings(
        prepared.config.model_dump(mode="json"),
        prepared.trader_config.model_dump(mode="json"),
        start=iso(bars.session(window.first)),
        end=iso(bars.session(window.last)),
        synthetic=prepared.data.provenance.synthetic,
    )
    sharpe = sharpe_per_session(returns)
    known = sharpe if math.isfinite(sharpe) else None
    return replace(tried, origin="search", finished=True, sharpe=known)


def compare_variants(returns: Mapping[str, Sequence[SessionReturns]], bars_per_year: float) -> list[Compared]:
    """Each variant of ``returns`` (one for each seed, of the same sessions) against the full memory."""
    full, found = returns[FULL], []
    for variant, series in returns.items():
        if variant == FULL:
            continue
        pairs = list(zip(full, series, strict=True))
        equal = sum(same_returns(a, b) for a, b in pairs)
        found.append((variant, equal, pooled_difference(pairs, bars_per_year), daily_difference(pairs)))
    sharpe_p = holm([_p(sharpe.p) for _, _, sharpe, _ in found])
    daily_p = holm([_p(daily.p) for _, _, _, daily in found])
    return [Compared(*row, one, other) for row, one, other in zip(found, sharpe_p, daily_p, strict=True)]


def _p(value: float) -> float:
    # What cannot be had shows nothing.
    return 1.0 if np.isnan(value) else value


def daily_difference(pairs: Sequence[tuple[SessionReturns, SessionReturns]]) -> Daily:
    """Mean of first less second per session, over all seeds, in basis points.

    The law is that of :class:`~varve.backtests.results.sharpe.MeanLaw`, over the sessions in which any was
    in position and they differed.
    """
    if all(same_returns(first, second) for first, second in pairs):
        return Daily(*no_estimate(SAME, 0.0))
    either = np.logical_or.reduce([run.in_position for pair in pairs for run in pair])
    series = 1e4 * np.mean([first.values - second.values for first, second in pairs], axis=0)
    sizes = 1e4 * np.mean([abs(first.values) + abs(second.values) for first, second in pairs], axis=0)
    held, value = where_they_differ(series, sizes, either), float(series.mean())
    if why := withheld_difference(held):
        return Daily(*no_estimate(why, value))
    law = MeanLaw.of(series[held])
    left_out = float((series**2).sum() / (series[held] ** 2).sum())
    error = float(law.error) * law.count / len(held) * left_out**0.5
    low, high = (value - float(law.distance(quantile)) * error for quantile in (0.975, 0.025))
    return Daily(value, error, low, high, float(law.p(value / error)))


def verdict(ablation: Ablation) -> str:
    """What can be said, in a sentence or two."""
    count, shown = len(ablation.compared), [c.variant for c in ablation.compared if c.stands_out]
    over = f"{ablation.distinct} seed{'s' * (ablation.distinct != 1)} of {ablation.sessions} sessions"
    if shown:
        text = (
            f"Told from the full memory at 5 % after Holm's correction over {count} variants, on {over}: "
            f"{', '.join(shown)}."
        )
    else:
        text = (
            f"None of {count} variants can be told from the full memory at 5 % after Holm's correction, on "
            f"{over}: this shows no worth of the memory, and does not show that it has none."
        )
    if ablation.distinct < ablation.seeds:
        text += (
            f" {ablation.seeds} seeds gave only {ablation.distinct} different runs: this model draws "
            "nothing, and the data is the same."
        )
    return text
