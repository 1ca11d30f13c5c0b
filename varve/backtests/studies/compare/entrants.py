"""Runs as they are compared: what each did, what buy-and-hold did on its data, what was tried beside it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from varve.backtests.config import TABLES
from varve.backtests.record.folder import RunFolder
from varve.backtests.record.trial_registry.lines import Trial, trial_of_run
from varve.backtests.record.trial_registry.registry import registry_beside
from varve.backtests.results.cautions import failing
from varve.backtests.results.tables import recorded_trading
from varve.backtests.results.track import Track, track_of_records, track_of_rows
from varve.backtests.results.trial_count import TrialCount, count_trials
from varve.backtests.simulate.steps import run_baseline
from varve.types import Action, Json, JsonObject

_APART = frozenset({"agent", "ticker", "seed", "settings", "start", "end"})


@dataclass(frozen=True)
class Entrant:
    """One run in a comparison.

    ``held`` is buy-and-hold on the run's data, costs and fills. ``actions`` are the decisions by
    session; a failed one is not among them. ``settings`` are all that tell its kind apart, by name.
    ``count`` is None where nothing is known of other trials; ``note`` says what is odd about the run.
    """

    run_id: str
    trial: Trial
    track: Track
    held: Track
    actions: Mapping[date, Action]
    settings: Mapping[str, Json]
    calendar: str
    synthetic: bool
    currency: str
    has_model: bool
    count: TrialCount | None = None
    note: str = ""

    @property
    def market(self) -> tuple[str, str | None]:
        """Ticker and sample world."""
        return self.trial.ticker, self.trial.world


def read_entrant(folder: RunFolder) -> Entrant:
    """A run from its folder, also one that was stopped: as far as it came.

    Raises:
        BadFileError: if it holds no trading step, or its inputs are missing or others.
        IntegrityError: if its journal was changed since it was finished, or the trial registry beside it is
            damaged or missing.
    """
    trading = recorded_trading(folder)
    recorded, prepared, steps, unverified = trading
    registry = registry_beside(folder)
    run = trial_of_run(recorded)
    count = None
    if registry is not None:
        count = count_trials(registry.trials(), run, complete=registry.complete())
    notes = []
    if recorded.status != "finished":
        notes.append(f"{recorded.status} after {len(steps)} sessions")
    if unverified is not None:
        notes.append(unverified)
    if recorded.fill_rule == "same_close":
        notes.append("fill=same_close: an ablation, not a result")
    if recorded.memory is not None and recorded.memory.from_the_future:
        notes.append("its memory knows the future: an ablation, not a result")
    notes += [sentence.rstrip(".") for sentence in failing((), steps)]
    return Entrant(
        run_id=recorded.run_id,
        trial=run,
        track=track_of_rows(run.agent, steps, prepared),
        held=track_of_records("buy-and-hold", run_baseline(prepared, "buy-and-hold"), prepared),
        actions={
            date.fromisoformat(row.session): Action(row.decision.action)
            for row in steps
            if row.decision.action is not None
        },
        settings={
            **recorded.config.as_json(),
            **flat(recorded.agent_settings),
            **{name: recorded.config.chosen(name) for name in TABLES},
        },
        calendar=prepared.data.instrument.calendar,
        synthetic=recorded.synthetic,
        currency=prepared.data.instrument.currency,
        has_model=recorded.model is not None,
        count=count,
        note="; ".join(notes),
    )


def flat(settings: Mapping[str, Json], before: str = "") -> JsonObject:
    """Nested settings under dotted names."""
    found: JsonObject = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def names(entrants: Sequence[Entrant]) -> list[str]:
    """What to call each: agent and ticker, and every setting in which those that have it differ."""
    values: dict[str, set[str]] = {}
    for entrant in entrants:
        for key, value in entrant.settings.items():
            values.setdefault(key, set()).add(repr(value))
    differing = [key for key in sorted(values) if len(values[key]) > 1 and key not in _APART]
    named = []
    for entrant in entrants:
        own = [f"{key}={entrant.settings[key]}" for key in differing if key in entrant.settings]
        named.append(
            " ".join([entrant.trial.agent, entrant.trial.ticker, f"seed {entrant.trial.seed}", *own])
        )
    return named


def common_sessions(entrants: Sequence[Entrant]) -> list[date]:
    """The sessions that every run has, in order."""
    shared = set(entrants[0].track.sessions)
    for entrant in entrants[1:]:
        shared &= set(entrant.track.sessions)
    return sorted(shared)


def cut(track: Track, sessions: Sequence[date]) -> Track:
    """A track at some of its sessions alone; what happened between two of them counts at the later.

    The first is bar 0, from which returns begin, with whatever position was held.
    """
    if list(sessions) == track.sessions:
        return track
    at = [bisect_left(track.sessions, session) for session in sessions]
    return replace(
        track,
        sessions=list(sessions),
        equity=[track.equity[i] for i in at],
        position=[track.position[i] for i in at],
        close=[track.close[i] for i in at],
        fills=[fill for fill in track.fills if sessions[0] < fill.session <= sessions[-1]],
        dividends=[track.dividends[i] - track.dividends[at[0]] for i in at],
        split_factors=[track.split_factors[i] for i in at],
    )
