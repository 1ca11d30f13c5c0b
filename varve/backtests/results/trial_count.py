"""How often one has tried, and what that leaves of a run's Sharpe ratio."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from varve.backtests.record.folder import RunFolder
from varve.backtests.record.run_record import TrialsFound, TrialsProblem
from varve.backtests.record.trial_registry.lines import Trial, trial_of_run
from varve.backtests.record.trial_registry.registry import registry_beside
from varve.backtests.results.luck import (
    deflated_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)
from varve.backtests.results.metric import probability_in_words
from varve.backtests.results.returns import SessionReturns
from varve.backtests.results.sharpe import sharpe_per_session
from varve.errors import VarveError


@dataclass(frozen=True, slots=True)
class TrialCount:
    """What was tried on one ticker in windows that share a session with a given one.

    ``settings`` counts distinct settings, another seed being another setting; ``apart_from_seeds``
    does not count seeds; ``trials`` counts every one. ``sharpes`` are the known Sharpe ratios per
    session, the latest of each of ``settings``, by settings and seed. ``complete`` is False where
    there may have been more.
    """

    settings: int
    apart_from_seeds: int
    trials: int
    sharpes: Mapping[tuple[str, int], float]
    complete: bool = True


def count_trials(trials: Sequence[Trial], run: Trial, *, complete: bool = True) -> TrialCount:
    """The trials on a run's ticker and data whose windows share a session with its own, itself among them.

    Sharing a session is enough: else N would begin anew with each day that a window moves.
    """
    found = [
        trial
        for trial in trials
        if (trial.ticker, trial.world) == (run.ticker, run.world)
        and trial.start <= run.end
        and run.start <= trial.end
    ]
    if run.run_id not in {trial.run_id for trial in found}:
        found.append(run)
    return TrialCount(
        settings=len({(trial.settings, trial.seed) for trial in found}),
        apart_from_seeds=len({trial.settings for trial in found}),
        trials=len(found),
        sharpes={(t.settings, t.seed): t.sharpe for t in found if t.sharpe is not None},
        complete=complete,
    )


def deflate(folder: RunFolder, sample: SessionReturns) -> TrialsFound | TrialsProblem | None:
    """Return what ``run.json`` and the report say of a run beside all others that were tried.

    Where the registry does not hold the run, because its folder was copied from elsewhere, it is what
    its ``run.json`` says already. A registry that cannot be used is told, with the reason.

    Args:
        folder: the run.
        sample: its agent's returns per session.

    Returns:
        The entry; None where nothing is known.
    """
    recorded = folder.read()
    try:
        registry = registry_beside(folder)
        if registry is None:
            return recorded.trials
        run = trial_of_run(recorded)
        count = count_trials(registry.trials(), run, complete=registry.complete())
    except VarveError as error:
        return TrialsProblem(problem=str(error))
    sharpes = dict(count.sharpes)
    if math.isfinite(sharpe := sharpe_per_session(sample)):
        sharpes[(run.settings, run.seed)] = sharpe
    deflated = deflated_sharpe(sample, count.settings, list(sharpes.values()))
    return TrialsFound(
        ticker=run.ticker,
        settings=count.settings,
        trials=count.trials,
        complete=count.complete,
        known_sharpes=len(sharpes),
        luck_sharpe_per_session=_finite(deflated.luck),
        probabilistic_sharpe=_finite(probabilistic_sharpe(sample)),
        deflated_sharpe=_finite(deflated.probability),
        minimum_track_record_sessions=_finite(minimum_track_record(sample)),
        withheld=sample.withheld or None,
    )


def trials_sentence(found: TrialsFound | TrialsProblem | None) -> str:
    """Say what :func:`deflate` found, in words; empty where nothing is known."""
    if found is None:
        return ""
    if isinstance(found, TrialsProblem):
        return f"Without a deflated Sharpe ratio: {found.problem}"
    least = "" if found.complete else "at least "
    settings, trials = found.settings, found.trials
    text = (
        f"Tried on {found.ticker} in windows that share a session with this one: {least}"
        f"{settings:,} {'setting' if settings == 1 else 'settings'} in {trials:,} "
        f"{'trial' if trials == 1 else 'trials'}."
    )
    if found.deflated_sharpe is None:
        why = "it has none" if found.withheld is None else found.withheld
        return f"{text} Nothing can be said of this run's Sharpe ratio: {why}."
    known = probability_in_words(found.probabilistic_sharpe)
    text += f" Probability that the true Sharpe ratio is above 0: {known}"
    if settings > 1:
        deflated = probability_in_words(found.deflated_sharpe)
        text += f"; above the best that luck finds in {settings:,}: {deflated}"
    text += " (deflated Sharpe)." if settings > 1 else "; nothing else was tried to deflate it by."
    needed = found.minimum_track_record_sessions
    if needed is None:
        return f"{text} No length of such a record would put it above 0."
    return f"{text} Such a record is above 0 at 95 % from {needed:,.0f} sessions on."


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
