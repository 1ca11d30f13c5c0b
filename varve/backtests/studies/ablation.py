"""What an agent's memory is worth: the same runs with a memory made worse in one way, in paired differences.

Each variant is a setting of the memory, so that ``backtest run --set memory.…`` runs it alone too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from varve.backtests.config import RunConfig
from varve.backtests.record.trial_registry.lines import Trial, trial_of_settings
from varve.backtests.record.trial_registry.registry import TrialRegistry
from varve.backtests.results.metrics import session_returns
from varve.backtests.results.sharpe import Z_95, Estimate, holm, pooled_difference
from varve.backtests.results.track import track_of_records
from varve.backtests.simulate.prepare import Prepared, prepare
from varve.backtests.simulate.steps import cached_replies, simulate
from varve.clock import iso
from varve.config import merged
from varve.errors import SettingError, UsageError
from varve.market.calendars import get_calendar
from varve.market.data import Floats
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
OnRun = Callable[[str, int, int], None]
"""Called before each run with the variant's name, how many runs are done, and of how many."""


class Daily(NamedTuple):
    """A mean difference of returns per session in basis points, its error, 95 % interval and p against 0."""

    value: float
    error: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Full memory less a variant, pooled over seeds.

    ``equal`` counts the seeds on which both traded the same. ``sharpe_p`` and ``daily_p`` are Holm's over
    all variants. Where all seeds are equal the differences are 0 without an interval.
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
        SettingError: if ``seeds`` is below 1.
        UsageError: if the agent has no layered memory.
        VarveError: as a run.
    """
    if seeds < 1:
        raise SettingError(f"{seeds} seeds given, at least 1 expected", mend="--seeds 5")
    first = prepare(config)
    if not isinstance(getattr(first.trader_config, "memory", None), MemoryConfig):
        raise UsageError(
            f"agent {config.agent!r} has no layered memory to take away from",
            mend="ablate one that has: --agent finmem",
        )
    registry = TrialRegistry()
    registry.check()
    done, returns = 0, dict[str, list[Floats]]()
    for variant, changes in {FULL: {}, **VARIANTS}.items():
        returns[variant] = []
        for seed in range(seeds):
            if on_run:
                on_run(variant, done, seeds * (len(VARIANTS) + 1))
            prepared = prepare(_seeded(config, changes, seed, first))
            returns[variant].append(_run(prepared, registry))
            done += 1
    provenance = first.data.provenance
    per_year = get_calendar(first.data.instrument.calendar).sessions_per_year
    return Ablation(
        label=first.label,
        agent=config.agent,
        ticker=config.ticker,
        seeds=seeds,
        distinct=len({series.tobytes() for series in returns[FULL]}),
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


def _run(prepared: Prepared, registry: TrialRegistry) -> Floats:
    """Returns per session, bar 0 left out, shape (n,)."""
    with cached_replies(prepared, True) as cached:
        records = simulate(prepared, replies=cached)
    returns = session_returns(track_of_records(prepared.config.agent, records, prepared).equity)[1:]
    registry.add([_trial(prepared, returns)])
    # An account that was ruined earns nothing more.
    return np.pad(returns, (0, prepared.window.last - prepared.window.first - len(returns)))


def _trial(prepared: Prepared, returns: Floats) -> Trial:
    """As a run of these settings would be entered, but without a folder."""
    bars, window = prepared.data.bars, prepared.window
    tried = trial_of_settings(
        prepared.config.model_dump(mode="json"),
        prepared.trader_config.model_dump(mode="json"),
        start=iso(bars.session(window.first)),
        end=iso(bars.session(window.last)),
        synthetic=prepared.data.provenance.synthetic,
    )
    spread = float(returns.std(ddof=1))
    sharpe = float(returns.mean()) / spread if spread > 0 else None
    return replace(tried, origin="search", finished=True, sharpe=sharpe)


def compare_variants(returns: Mapping[str, Sequence[Floats]], per_year: int) -> list[Compared]:
    """Each variant of ``returns`` (a series per seed, shape (n,) all) against the full memory."""
    full, found = returns[FULL], []
    for variant, series in returns.items():
        if variant == FULL:
            continue
        pairs = list(zip(full, series, strict=True))
        equal = sum(bool((a == b).all()) for a, b in pairs)
        if equal == len(pairs):
            found.append((variant, equal, _SAME, Daily(*_SAME)))
        else:
            found.append((variant, equal, pooled_difference(pairs, per_year), daily_difference(pairs)))
    sharpe_p = holm([_p(sharpe.p) for _, _, sharpe, _ in found])
    daily_p = holm([_p(daily.p) for _, _, _, daily in found])
    return [Compared(*row, one, other) for row, one, other in zip(found, sharpe_p, daily_p, strict=True)]


_SAME = Estimate(0.0, 0.0, 0.0, 0.0, 1.0)


def _p(value: float) -> float:
    # What cannot be had shows nothing.
    return 1.0 if np.isnan(value) else value


def daily_difference(pairs: Sequence[tuple[Floats, Floats]]) -> Daily:
    """Mean of first less second per session, over all seeds, in basis points.

    The error is that of the mean over sessions of the seeds' mean difference, HAC with Bartlett weights and
    Newey and West's lags ⌊4 (n ÷ 100)^(2/9)⌋ (Newey and West 1994), from statsmodels.
    """
    from statsmodels.regression.linear_model import OLS

    series = 1e4 * np.mean([first - second for first, second in pairs], axis=0)
    n = len(series)
    lags = int(4 * (n / 100) ** (2 / 9))
    fitted = OLS(series, np.ones(n)).fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True})
    value, error = float(fitted.params[0]), float(fitted.bse[0])
    return Daily(value, error, value - Z_95 * error, value + Z_95 * error, float(fitted.pvalues[0]))


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
