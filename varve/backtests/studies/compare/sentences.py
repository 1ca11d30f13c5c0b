"""What a comparison shows and what it cannot, in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from varve.backtests.results.metric import probability_in_words
from varve.backtests.results.sharpe import SAME, window_sentence

if TYPE_CHECKING:
    from varve.backtests.results.sharpe import Estimate
    from varve.backtests.studies.compare.comparison import Column, Comparison, Difference
    from varve.backtests.studies.compare.pools import Pool

ASKED = 0.95
"""The probability that a deflated Sharpe ratio must reach to be called more than luck."""


def conclusions(found: Comparison) -> list[str]:
    """Sentences in the order of what they hang on: window, Sharpe ratios, differences, trials, seeds."""
    sentences = [
        _cut_sentence(found),
        window_sentence(len(found.sessions) - 1, found.bars_per_year, None),
        _sharpe_sentence(found.runs),
        _difference_sentence(found.runs, "buy-and-hold", lambda run: run.against_held),
        _difference_sentence(found.runs, "run 1", lambda run: run.against_first),
        _luck_sentence(found.runs),
        _record_sentence(found.runs, found.bars_per_year),
        _cost_sentence(found.runs),
        *(_pool_sentence(pool) for pool in found.pools),
        _one_seed_sentence(found),
    ]
    return [sentence for sentence in sentences if sentence]


def _cut_sentence(found: Comparison) -> str:
    if not found.cut_down:
        return ""
    return (
        f"Compared on the {len(found.sessions)} sessions from {found.sessions[0]} to {found.sessions[-1]} "
        f"that all have: {'; '.join(found.cut_down)}."
    )


def _sharpe_sentence(runs: Sequence[Column]) -> str:
    known = [run for run in runs if not run.sharpe.why]
    silent = "; ".join(f"run {run.key}: {run.sharpe.why}" for run in runs if run.sharpe.why)
    unsaid = f" Nothing can be said of the Sharpe ratio of {silent}." if silent else ""
    apart = [run.key for run in known if run.sharpe.apart]
    if not known:
        return unsaid.strip()
    if apart:
        return (
            f"{_runs(apart)} {'has' if len(apart) == 1 else 'have'} a Sharpe ratio whose interval leaves out "
            f"0, before any allowance for how many were tried.{unsaid}"
        )
    if len(known) == 1:
        which = "The Sharpe ratio" if not silent else f"The Sharpe ratio of run {known[0].key}"
        return f"{which} cannot be told from 0.{unsaid}"
    return f"None of {'the ' if not silent else ''}{len(known)} Sharpe ratios can be told from 0.{unsaid}"


def _difference_sentence(
    runs: Sequence[Column], other: str, pick: Callable[[Column], Difference | None]
) -> str:
    picked = [(run, difference) for run in runs if (difference := pick(run)) is not None]
    there = [(run, difference) for run, difference in picked if not difference.estimate.why]
    same = [run.key for run, difference in picked if difference.estimate.why == SAME]
    alike = f"{_runs(same)} made the {SAME} as {other}." if same else ""
    told = _told_apart(there, other, len(runs))
    return " ".join(part for part in (alike, told) if part)


def _told_apart(there: Sequence[tuple[Column, Difference]], other: str, count: int) -> str:
    if not there:
        return ""
    allowance = "" if len(there) == 1 else f", after Holm's allowance for {len(there)} comparisons"
    apart = [(run, difference) for run, difference in there if difference.holm_p < 1 - ASKED]
    if apart:
        told = "; ".join(
            f"{run.key} by {difference.estimate.value:+.2f} (p {_p(difference.holm_p)})"
            for run, difference in apart
        )
        return f"In Sharpe ratio, runs differ from {other}{allowance}: {told}."
    least = median((d.estimate.high - d.estimate.low) / 2 for _, d in there)
    smallest = min(difference.holm_p for _, difference in there)
    which = "The run" if count == 1 else f"Run {there[0][0].key}" if len(there) == 1 else "No run"
    cannot = "can be told" if which == "No run" else "cannot be told"
    return (
        f"{which} {cannot} from {other} (p {_p(smallest)}{allowance}); on these sessions it takes a "
        f"difference of about {least:.1f} in Sharpe ratio."
    )


def _luck_sentence(runs: Sequence[Column]) -> str:
    searched = [
        (run, run.luck.deflated, run.luck.complete)
        for run in runs
        if run.luck is not None and run.luck.deflated is not None and run.luck.deflated.settings > 1
    ]
    if not searched:
        return ""
    best, deflated, _ = max(searched, key=lambda entry: entry[1].probability)
    most = max(entry[1].settings for entry in searched)
    least = "" if all(complete for _, _, complete in searched) else "at least "
    tried = f"Up to {least}{most:,} settings were tried on the same sessions"
    probability = probability_in_words(deflated.probability)
    if deflated.probability > ASKED:
        return f"{tried}; run {best.key} is above the best that luck finds in so many ({probability})."
    return (
        f"{tried}; no run is above the best that luck finds in so many (the highest deflated "
        f"Sharpe ratio is {probability}, {ASKED} is asked)."
    )


def _record_sentence(runs: Sequence[Column], bars_per_year: float) -> str:
    sessions = [
        run.luck.minimum_sessions
        for run in runs
        if run.luck is not None and math.isfinite(run.luck.minimum_sessions)
    ]
    if not sessions:
        return ""
    low, high = min(sessions) / bars_per_year, max(sessions) / bars_per_year
    span = f"{low:.1f} years" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f} years"
    return f"Records like these are above a Sharpe ratio of 0 at 95 % once they are {span} long."


def _cost_sentence(runs: Sequence[Column]) -> str:
    never = [run.key for run in runs if run.break_even_bps is not None and run.break_even_bps <= 0]
    if not never:
        return ""
    makes = "makes" if len(never) == 1 else "make"
    return f"{_runs(never)} {makes} less than buy-and-hold even free of costs."


def _pool_sentence(pool: Pool) -> str:
    estimate, held = pool.sharpe, pool.against_held
    numbers = f"{pool.name} ({_span(pool.runs)})"
    if estimate.why:
        return f"{numbers}: nothing can be said of their mean Sharpe ratio: {estimate.why}."
    text = (
        f"{numbers}: mean Sharpe ratio {estimate.value:.2f}, {estimate.low:.1f} to {estimate.high:.1f}; "
        f"less buy-and-hold {_less(held)}"
    )
    if pool.against_first is not None:
        text += f"; less the first pool {_less(pool.against_first)}"
    if pool.split is not None and not math.isnan(pool.split.share):
        text += (
            f". {100 * pool.split.share:.0f} % of the variance of one run's Sharpe ratio is the luck of its "
            "seed, the rest that of its window"
        )
    return f"{text}."


def _less(estimate: Estimate) -> str:
    if estimate.why:
        return f"nothing can be said: {estimate.why}" if estimate.why != SAME else SAME
    return f"{estimate.value:+.2f}, {estimate.low:.1f} to {estimate.high:.1f}"


def _one_seed_sentence(found: Comparison) -> str:
    if not found.has_model or any(pool.split is not None for pool in found.pools):
        return ""
    return "One seed each: nothing here says what another seed would have done."


def _runs(keys: Sequence[str]) -> str:
    if len(keys) == 1:
        return f"Run {keys[0]}"
    return f"Runs {', '.join(keys[:-1])} and {keys[-1]}"


def _span(numbers: Sequence[int]) -> str:
    if list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"runs {numbers[0]}–{numbers[-1]}"
    return f"runs {', '.join(map(str, numbers))}"


def _p(value: float) -> str:
    if value >= 0.995:
        return "above 0.99"
    return "below 0.001" if value < 0.001 else f"{value:.2f}" if value >= 0.01 else f"{value:.3f}"
