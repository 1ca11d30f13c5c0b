"""Runs beside each other on the sessions that all of them have, with what that can and cannot show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np

from varve.backtests.results.luck import (
    Deflated,
    deflated_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)
from varve.backtests.results.metrics import Metrics, compute_metrics
from varve.backtests.results.paper_scores import Scored, finagent_paper
from varve.backtests.results.returns import SessionReturns, bars_per_year
from varve.backtests.results.sharpe import (
    Estimate,
    holm,
    sharpe_difference,
    sharpe_estimate,
    sharpe_per_session,
)
from varve.backtests.results.track import Track
from varve.backtests.studies.compare.bootstrap import MIN_SESSIONS, Resampled, resample
from varve.backtests.studies.compare.entrants import Entrant, common_sessions, cut, names
from varve.backtests.studies.compare.pools import Pool, pools
from varve.errors import UsageError
from varve.market.calendars import get_calendar
from varve.types import Action, Json, JsonObject

_FINAGENT = ("annual_return", "sharpe", "max_drawdown")


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of annual Sharpe ratios; ``holm_p`` is adjusted for all of its kind here."""

    estimate: Estimate
    holm_p: float


@dataclass(frozen=True, slots=True)
class Luck:
    """What of a Sharpe ratio may be luck; see :mod:`varve.backtests.results.luck`.

    ``probabilistic`` and ``minimum_sessions`` are NaN where nothing can be said of the Sharpe ratio, and
    ``why`` then says why. ``deflated`` is None there, and where nothing is known of other trials;
    ``complete`` is False where there were perhaps more.
    """

    probabilistic: float
    minimum_sessions: float
    deflated: Deflated | None
    trials: int | None
    complete: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One run, or buy-and-hold on a run's data (``run_id`` None), on the common sessions.

    ``metrics`` in conventional formulas, ``finagent`` in those of FinAgent's paper. ``against_first``
    is None for the first run itself. ``break_even_bps``: the cost per traded notional at which the run
    would have made as much as buy-and-hold at that cost; None where it trades no more than that.
    """

    key: str
    name: str
    run_id: str | None
    note: str
    metrics: Metrics
    finagent: Scored
    sharpe: Estimate
    resampled: Resampled | None
    luck: Luck | None
    against_held: Difference | None
    against_first: Difference | None
    break_even_bps: float | None


@dataclass(frozen=True)
class Comparison:
    """Runs compared. ``cut_down`` says for each run that is longer what of it is left out."""

    sessions: tuple[date, ...]
    bars_per_year: float
    synthetic: bool
    runs: tuple[Column, ...]
    held: tuple[Column, ...]
    pools: tuple[Pool, ...]
    cut_down: tuple[str, ...]
    has_model: bool

    def json(self, words: Sequence[str]) -> JsonObject:
        """Return JSON values; NaN and infinities become None.

        Args:
            words: what the comparison shows, in sentences, from ``sentences.conclusions``.
        """
        found = asdict(self)
        for column in (*found["runs"], *found["held"]):
            # The curves are in the run folders.
            column["finagent"] = {name: column["finagent"][name] for name in _FINAGENT}
        span: JsonObject = {
            "start": self.sessions[0].isoformat(),
            "end": self.sessions[-1].isoformat(),
            "sessions": len(self.sessions),
        }
        told: JsonObject = {**found, **span, "words": list(words)}
        return {name: _plain(value) for name, value in told.items()}


def compare(entrants: Sequence[Entrant]) -> Comparison:
    """Compare runs, each with buy-and-hold on its own data and with the first of them.

    Raises:
        UsageError: if there is none, one comes twice, or they have fewer than 10 sessions in common.
    """
    sessions = _checked_sessions(entrants)
    # Common sessions are those of the calendar with the fewest.
    calendar = min((entrant.calendar for entrant in entrants), key=_sessions_of_a_year)
    tracks = [cut(entrant.track, sessions) for entrant in entrants]
    held = [cut(entrant.held, sessions) for entrant in entrants]
    year = bars_per_year(tracks[0], calendar)
    returns = [SessionReturns.of(track) for track in tracks]
    baselines = [SessionReturns.of(track) for track in held]
    against_held = _adjusted(
        [sharpe_difference(own, base, year) for own, base in zip(returns, baselines, strict=True)]
    )
    against_first = _adjusted([sharpe_difference(own, returns[0], year) for own in returns[1:]])
    runs = [
        _column(
            str(i + 1),
            name,
            track,
            year,
            actions=entrant.actions,
            entrant=entrant,
            luck=_luck(entrant, returns[i]),
            against_held=against_held[i],
            against_first=against_first[i - 1] if i else None,
            break_even_bps=break_even_bps(track, held[i]),
        )
        for i, (entrant, name, track) in enumerate(zip(entrants, names(entrants), tracks, strict=True))
    ]
    return Comparison(
        sessions=tuple(sessions),
        bars_per_year=year,
        synthetic=any(entrant.synthetic for entrant in entrants),
        runs=tuple(runs),
        held=tuple(_held_columns(entrants, held, year)),
        pools=tuple(pools(entrants, returns, baselines, year)),
        cut_down=tuple(_cut_down(entrants, sessions)),
        has_model=any(entrant.has_model for entrant in entrants),
    )


def break_even_bps(run: Track, held: Track) -> float | None:
    """The cost in basis points of traded notional at which a run makes just as much as buy-and-hold.

    Both profits are taken before costs, per currency unit at the start, and every fill is charged the
    same rate, with the lots as they were traded: (g − g_held) ÷ (n − n_held), n the traded notional.

    Returns:
        Below 0 where the run makes less even free of costs; None where it trades no more than holding.
    """
    gross, traded = _gross(run)
    gross_held, traded_held = _gross(held)
    if traded - traded_held <= 1e-9:
        return None
    return 1e4 * (gross - gross_held) / (traded - traded_held)


def _gross(track: Track) -> tuple[float, float]:
    """Profit before costs and traded notional at reference prices, both ÷ the equity at the start."""
    fills = [fill for fill in track.fills if fill.clipped != "cash_in_lieu"]
    costs = sum(f.commission + (f.price - f.reference_price) * f.quantity for f in fills)
    traded = sum(abs(fill.quantity) * fill.reference_price for fill in fills)
    start = track.equity[0]
    return (track.equity[-1] - start + costs) / start, traded / start


def _checked_sessions(entrants: Sequence[Entrant]) -> list[date]:
    if not entrants:
        raise UsageError("no run given", mend="name one or more, as in: backtest compare latest")
    ids = [entrant.run_id for entrant in entrants]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"run {twice} is given twice", mend="name each run once")
    sessions = common_sessions(entrants)
    if len(sessions) < MIN_SESSIONS:
        spans = "; ".join(f"{e.run_id} {e.track.sessions[0]} to {e.track.sessions[-1]}" for e in entrants)
        raise UsageError(
            f"these runs have {len(sessions)} sessions in common, at least {MIN_SESSIONS} expected: {spans}",
            mend="compare runs over the same dates",
        )
    return sessions


def _column(
    key: str,
    name: str,
    track: Track,
    year: float,
    *,
    actions: Mapping[date, Action],
    entrant: Entrant | None = None,
    luck: Luck | None = None,
    against_held: Difference | None = None,
    against_first: Difference | None = None,
    break_even_bps: float | None = None,
) -> Column:
    sample = SessionReturns.of(track)
    closes = (np.asarray(track.close) / np.asarray(track.split_factors)).tolist()
    decided = [actions.get(session, Action.HOLD) for session in track.sessions[:-1]]
    if track.position[0] > 0 and decided[0] is Action.HOLD:
        # Cut out of a longer run, it begins with what it held; the paper's rules begin flat.
        decided[0] = Action.BUY
    return Column(
        key=key,
        name=name,
        run_id=None if entrant is None else entrant.run_id,
        note="" if entrant is None else entrant.note,
        metrics=compute_metrics(track, year),
        finagent=finagent_paper(closes, decided),
        sharpe=sharpe_estimate(sample, year),
        resampled=resample(sample.values),
        luck=luck,
        against_held=against_held,
        against_first=against_first,
        break_even_bps=break_even_bps,
    )


def _held_columns(entrants: Sequence[Entrant], held: Sequence[Track], year: float) -> list[Column]:
    """Buy-and-hold once for each market and cost model."""
    columns: dict[object, Column] = {}
    tickers = {entrant.trial.ticker for entrant in entrants}
    for entrant, track in zip(entrants, held, strict=True):
        ticker, costs = entrant.trial.ticker, entrant.settings["costs"]
        kind = (entrant.market, costs, entrant.settings["fill"])
        if kind in columns:
            continue
        key = "hold" if len(tickers) == 1 else f"hold {ticker}"
        alike = sum(column.key.startswith(key) for column in columns.values())
        columns[kind] = _column(
            f"{key} ({alike + 1})" if alike else key,
            f"buy-and-hold {ticker}, {costs} costs",
            track,
            year,
            actions={track.sessions[0]: Action.BUY},
        )
    return list(columns.values())


def _sessions_of_a_year(calendar: str) -> int:
    return get_calendar(calendar).sessions_per_year


def _luck(entrant: Entrant, sample: SessionReturns) -> Luck:
    probability = probabilistic_sharpe(sample)
    minimum = minimum_track_record(sample)
    count = entrant.count
    if count is None or math.isnan(probability):
        trials = None if count is None else count.trials
        return Luck(probability, minimum, None, trials, True, sample.withheld)
    sharpes = dict(count.sharpes)
    sharpes[(entrant.trial.settings, entrant.trial.seed)] = sharpe_per_session(sample)
    deflated = deflated_sharpe(sample, count.settings, list(sharpes.values()))
    return Luck(probability, minimum, deflated, count.trials, count.complete)


def _adjusted(estimates: Sequence[Estimate]) -> list[Difference]:
    """Each with Holm's p among those that have one."""
    there = [i for i, estimate in enumerate(estimates) if not math.isnan(estimate.p)]
    adjusted = dict(zip(there, holm([estimates[i].p for i in there]) if there else [], strict=True))
    return [Difference(estimate, adjusted.get(i, math.nan)) for i, estimate in enumerate(estimates)]


def _cut_down(entrants: Sequence[Entrant], sessions: Sequence[date]) -> list[str]:
    return [
        f"{entrant.run_id} has {len(entrant.track.sessions)} sessions, "
        f"{entrant.track.sessions[0]} to {entrant.track.sessions[-1]}"
        for entrant in entrants
        if len(entrant.track.sessions) > len(sessions)
    ]


def _plain(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
