"""``--tune``: a rule's settings chosen on the warm-up of a run, kept in its record and entered as trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from varve import registry
from varve.backtests.config import RunConfig
from varve.backtests.record.run_record import RunRecord, TriedSettings, TuningEntry
from varve.backtests.record.trial_registry.lines import Trial, trial_of_run
from varve.backtests.simulate.window import Window
from varve.clock import iso
from varve.envs.costs import get_costs
from varve.errors import UsageError
from varve.market.calendars import get_calendar
from varve.market.data import InstrumentData
from varve.market.market_data import MarketData
from varve.strategies.tuning import Tuned, tune


@dataclass(frozen=True)
class Search:
    """What was found on the sessions from ``start`` to ``end``, both included."""

    found: Tuned
    start: date
    end: date

    @property
    def entry(self) -> TuningEntry:
        """What ``run.json`` keeps of it; scores are annualised Sharpe ratios on the warm-up."""
        return TuningEntry(
            start=iso(self.start),
            end=iso(self.end),
            base=self.found.base.model_dump(mode="json"),
            best=self.found.best.model_dump(mode="json"),
            trials=tuple(
                TriedSettings(params=dict(trial.params), score=trial.score) for trial in self.found.trials
            ),
            bars_per_year=self.found.bars_per_year,
        )


def search(config: RunConfig, data: InstrumentData, window: Window) -> Search:
    """Choose settings on the bars from ``window.warmup_first`` up to the test, which is not looked at.

    Settings that were given stay as they are; the run's costs, fills and seed count.

    Raises:
        UsageError: if the test begins with the data, or the agent has no search space.
        SettingError: if the warm-up is too short.
    """
    if config.agent not in registry.names("strategies"):
        raise UsageError(
            f"agent {config.agent!r} cannot be tuned: it declares no search space",
            mend="choose its settings with --set",
        )
    if window.warmup_first == window.first:
        raise UsageError(
            f"--tune needs sessions before the test, which begins with the data on "
            f"{data.bars.session(window.first)}",
            mend="give a later --start",
        )
    last = data.bars.session(window.first - 1)
    start = data.bars.session(window.warmup_first)
    # As of the close of the last session before the test: what follows is not in the view.
    view = MarketData({data.instrument.symbol: data}).as_of(data.bars.bar(window.first - 1).end)
    has_volume = bool((data.bars.volume[: window.first] > 0).any())
    found = tune(
        config.agent,
        view,
        start,
        symbol=data.instrument.symbol,
        fixed=config.agent_settings,
        cost_rate=get_costs(config.costs, **config.cost_settings).rate(has_volume=has_volume),
        seed=config.seed,
    )
    return Search(found, start, last)


def trials_of_search(run: RunRecord) -> Sequence[Trial]:
    """Return the trials of a run's search, as the registry takes them; they were tried on the warm-up."""
    kept = run.tuning
    if kept is None:
        return ()
    per_year = kept.bars_per_year or get_calendar(run.instrument.calendar).sessions_per_year
    tried = [run.changed(agent_settings={**kept.base, **trial.params}) for trial in kept.trials]
    return [
        Trial(
            origin="search",
            agent=as_run.agent,
            ticker=as_run.ticker,
            world=as_run.world,
            start=kept.start,
            end=kept.end,
            settings=as_run.settings,
            seed=as_run.seed,
            finished=True,
            sharpe=None if trial.score is None else trial.score / per_year**0.5,
        )
        for trial, as_run in zip(kept.trials, map(trial_of_run, tried), strict=True)
    ]


def tuning_sentence(run: RunRecord) -> str:
    """Say how the settings were chosen, in one sentence; empty for a run that was not tuned."""
    kept = run.tuning
    if kept is None:
        return ""
    settings = ", ".join(f"{name}={value}" for name, value in kept.best.items())
    scores = [trial.score for trial in kept.trials if trial.score is not None]
    best = f"a Sharpe ratio of {max(scores):.2f} there" if scores else "none of which traded"
    return (
        f"Settings chosen on the warm-up from {kept.start} to {kept.end} alone, the best of "
        f"{len(kept.trials)} tried with {best}: {settings}."
    )
