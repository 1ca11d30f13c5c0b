"""How sure one can be: Sharpe ratios, their differences and pools, and a test for an edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from varve.backtests.results.returns import SessionReturns, spells_of, withheld
from varve.market.data import Floats

Z_95 = 1.959963984540054
SAME = "same trades"
"""Why a difference has no interval: it is nothing, or nothing but rounding."""


class Estimate(NamedTuple):
    """An annual Sharpe ratio, or a difference of two, with its standard error and 95 % interval.

    ``p`` is two-sided, against 0; it is below 0.05 exactly where the interval leaves out 0. NaN where
    there is none, and ``why`` then says why.
    """

    value: float
    error: float
    low: float
    high: float
    p: float
    why: str = ""

    @property
    def apart(self) -> bool:
        """Whether it is told from 0."""
        return self.low > 0 or self.high < 0


def no_estimate(why: str, value: float = float("nan")) -> Estimate:
    """A value without an interval, or nothing at all, with the reason."""
    nan = float("nan")
    return Estimate(value, nan, nan, nan, nan, why)


class SeedSplit(NamedTuple):
    """Where the variance of a measured annual Sharpe ratio comes from.

    ``seeds``: among seeds, on this window. ``window``: of what the seeds have in common, over windows
    like this one. ``share`` is seeds ÷ (seeds + window).
    """

    seeds: float
    window: float
    share: float


@dataclass(frozen=True, slots=True)
class MeanLaw:
    """The law by which a measured mean errs, from m sessions in position; arrays where m has many draws.

    ``variance``: long-run variance of one session. ``freedom``: degrees of freedom of Student's t.
    ``skew``: skewness of the sessions.
    """

    count: int
    mean: Floats
    variance: Floats
    freedom: float
    skew: Floats

    @classmethod
    def of(cls, values: Floats) -> MeanLaw:
        """From values in their order, shape (..., m).

        The variance is that of Lazarus, Lewis, Stock and Watson (2018): the mean square of B projections
        on √(2/m) cos(π j (i − ½)/m), j = 1 … B, which leave out the mean and keep what hangs together
        over some sessions; t then has B degrees of freedom. B = 0.4 m^(2/3), their rule, at least 3.
        """
        count = values.shape[-1]
        freedom = min(max(3, int(0.4 * count ** (2 / 3) + 1e-9)), count - 1)
        steps = np.outer(np.arange(count) + 0.5, np.arange(1, freedom + 1))
        waves = np.sqrt(2 / count) * np.cos(np.pi * steps / count)
        mean = values.mean(axis=-1)
        apart = values - mean[..., None]
        third, deviation = (apart**3).mean(axis=-1), apart.std(axis=-1, ddof=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            skew = np.where(deviation > 0, third / deviation**3, 0.0)
        return cls(count, mean, ((values @ waves) ** 2).mean(axis=-1), freedom, skew)

    @property
    def error(self) -> Floats:
        """Standard error of the mean."""
        return np.asarray(np.sqrt(self.variance / self.count))

    def score(self, distance: Floats | float) -> Floats:
        """Student's t of a distance in standard errors, corrected for skewness as in Hall (1992).

        √m ((1 + γ u ÷ 3)³ − 1) ÷ γ + γ ÷ (6 √m), u = distance ÷ √m: increasing, and so invertible.
        """
        u = np.asarray(distance) / self.count**0.5
        bent = u + self.skew * u**2 / 3 + self.skew**2 * u**3 / 27
        return np.asarray(self.count**0.5 * bent + self.skew / (6 * self.count**0.5))

    def distance(self, probability: float) -> Floats:
        """How many standard errors away the score has that quantile: the inverse of :meth:`score`."""
        from scipy.stats import t

        wanted = float(t.ppf(probability, self.freedom)) - self.skew / (6 * self.count**0.5)
        skew = np.where(np.abs(self.skew) < 1e-6, 1e-6, self.skew)
        bent = np.cbrt(1 + skew * wanted / self.count**0.5) - 1
        straight = np.abs(self.skew) < 1e-6
        return np.asarray(np.where(straight, wanted, 3 / skew * bent * self.count**0.5))

    def p(self, distance: Floats | float) -> Floats:
        """Two-sided p of a distance in standard errors."""
        from scipy.stats import t

        return np.asarray(2 * t.sf(np.abs(self.score(distance)), self.freedom))


def session_law(sample: SessionReturns) -> tuple[float, float, MeanLaw] | None:
    """The Sharpe ratio per session, its standard error and its law; None where nothing can be said.

    Flat sessions tell nothing of the mean: the law is that of the mean of the sessions in position.
    The deviation is that of all sessions and is taken as known, as its own error is far smaller.
    """
    if sample.withheld:
        return None
    spread = float(sample.values.std(ddof=1))
    law = MeanLaw.of(sample.values[sample.in_position])
    error = float(law.error) * law.count / len(sample) / spread
    if not error > 1e-15:
        return None
    return float(sample.values.mean()) / spread, error, law


def sharpe_estimate(sample: SessionReturns, bars_per_year: float) -> Estimate:
    """The annual Sharpe ratio with its 95 % interval, which leaves out 0 where the mean differs from 0.

    Args:
        sample: returns per session.
        bars_per_year: how many sessions a year has.
    """
    found = session_law(sample)
    if found is None:
        value = sharpe_per_session(sample) * bars_per_year**0.5
        return no_estimate(sample.withheld or "the returns never move", value)
    return _annual(*found, bars_per_year)


def sharpe_interval(sample: SessionReturns, bars_per_year: float) -> tuple[float, float]:
    """The 95 % interval of the annual Sharpe ratio; NaN where it cannot be had."""
    estimate = sharpe_estimate(sample, bars_per_year)
    return estimate.low, estimate.high


def sharpe_per_session(sample: SessionReturns) -> float:
    """Mean ÷ sample standard deviation over all sessions; NaN where they never move."""
    if not sample.moves:
        return float("nan")
    return float(sample.values.mean() / sample.values.std(ddof=1))


def sharpe_difference(first: SessionReturns, second: SessionReturns, bars_per_year: float) -> Estimate:
    """The annual Sharpe ratio of ``first`` less that of ``second``, on the same sessions.

    The law is that of the mean of a ÷ σ_a − b ÷ σ_b over the sessions in which either was in position
    and they differed, see :func:`where_they_differ`. What moves both alike cancels: the error is far
    smaller than of two runs taken apart.

    Raises:
        ValueError: if their lengths differ.
    """
    return pooled_difference([(first, second)], bars_per_year)


def pooled_sharpe(runs: Sequence[SessionReturns], bars_per_year: float) -> Estimate:
    """The mean annual Sharpe ratio of runs on the same sessions: seeds of one agent, or tickers.

    The error has two parts: what another window would change for all of them, from the mean of their
    standardised returns over the sessions in which any was in position; and what other seeds or tickers
    would change, the variance among the runs beyond what their own windows explain, divided by their
    number. The degrees of freedom are Satterthwaite's (1946).
    """
    if len(runs) == 1:
        return sharpe_estimate(runs[0], bars_per_year)
    why = _withheld(runs) if runs else "no run"
    if why:
        return no_estimate(why)
    return _pooled([_standard(run) for run in runs], _either(runs), bars_per_year)


def pooled_difference(
    pairs: Sequence[tuple[SessionReturns, SessionReturns]], bars_per_year: float
) -> Estimate:
    """The mean of paired annual Sharpe differences, all on the same sessions; see :func:`pooled_sharpe`.

    Raises:
        ValueError: if the lengths of a pair differ.
    """
    for first, second in pairs:
        if len(first) != len(second):
            raise ValueError(f"{len(first)} sessions against {len(second)}: the same sessions expected")
    if pairs and all(same_returns(first, second) for first, second in pairs):
        return no_estimate(SAME, 0.0)
    firsts, seconds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    why = (_withheld(firsts) or _withheld(seconds)) if pairs else "no run"
    if why:
        return no_estimate(why)
    series = [_standard(first) - _standard(second) for first, second in pairs]
    if max(float(np.abs(one).max()) for one in series) < 1e-9:
        return no_estimate("the same but for its size", 0.0)
    sizes = [np.abs(_standard(first)) + np.abs(_standard(second)) for first, second in pairs]
    told = where_they_differ(np.mean(series, axis=0), np.mean(sizes, axis=0), _either([*firsts, *seconds]))
    if why := withheld_difference(told):
        return no_estimate(why, float(np.mean(series)) * bars_per_year**0.5)
    return _pooled(series, told, bars_per_year)


def where_they_differ(apart: Floats, size: Floats, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The sessions that tell of a difference: those in which either was in position and they differed.

    Where both hold nearly the same, the difference is next to nothing, as in a flat session: below a
    fifth of the size of both. Such sessions are left out where less than a fifth of all squares is theirs.

    Args:
        apart: first less second, size: the sum of what both earned without signs, held: whether either was
            in position; each of shape (n,).
    """
    near = held & (np.abs(apart) < 0.2 * size)
    if float((apart[near] ** 2).sum()) < 0.2 * float((apart**2).sum()):
        return held & ~near
    return held


def withheld_difference(told: NDArray[np.bool_]) -> str:
    """Why nothing can be said of a difference that those sessions alone tell of; empty where it can."""
    return withheld(len(told), int(told.sum()), spells_of(told)).replace("in position", "that differ")


def same_returns(first: SessionReturns, second: SessionReturns) -> bool:
    """Whether two runs earned the same in every session, but for rounding."""
    return len(first) == len(second) and bool(np.allclose(first.values, second.values, rtol=1e-9, atol=1e-12))


def seed_split(runs: Sequence[SessionReturns], bars_per_year: float) -> SeedSplit | None:
    """How much of a Sharpe ratio is the luck of its seed, how much of its window; None below two seeds.

    By the law of total variance, given the window: the variance among seeds on it, and the variance
    over windows of what the seeds have in common (the variance of their mean standardised return less
    the part that is each seed's own).

    Args:
        runs: returns per session of runs that differ in their seed alone, on the same sessions.
    """
    if len(runs) < 2 or _withheld(runs):
        return None
    series = np.column_stack([_standard(run) for run in runs])
    common, own = _window_variances(series, _either(runs))
    seeds = float(np.var(series.mean(axis=0), ddof=1)) * bars_per_year
    window = max(0.0, common - own / len(runs)) * bars_per_year
    total = seeds + window
    return SeedSplit(seeds, window, seeds / total if total > 0 else float("nan"))


def _withheld(runs: Sequence[SessionReturns]) -> str:
    """Why nothing can be said of runs together; each must move, and any in position counts."""
    for run in runs:
        if not run.moves:
            return run.withheld
    held = _either(runs)
    return withheld(len(held), int(held.sum()), spells_of(held))


def _either(runs: Sequence[SessionReturns]) -> NDArray[np.bool_]:
    return np.asarray(np.logical_or.reduce([run.in_position for run in runs]))


def _standard(run: SessionReturns) -> Floats:
    """Returns ÷ their deviation: their mean is the Sharpe ratio; flat sessions stay 0."""
    return run.values / float(run.values.std(ddof=1))


def _annual(value: float, error: float, law: MeanLaw, bars_per_year: float) -> Estimate:
    year = bars_per_year**0.5
    low, high = (value - float(law.distance(quantile)) * error for quantile in (0.975, 0.025))
    return Estimate(value * year, error * year, low * year, high * year, float(law.p(value / error)))


def _pooled(series: Sequence[Floats], held: NDArray[np.bool_], bars_per_year: float) -> Estimate:
    rows = np.column_stack(series)
    count, values = len(series), rows.mean(axis=0)
    law = MeanLaw.of(rows.mean(axis=1)[held])
    common, own = _window_variances(rows, held) if count > 1 else (_variance(law, len(held)), 0.0)
    beyond = max(0.0, float(np.var(values, ddof=1)) - own) / count if count > 1 else 0.0
    # What is left out of the sessions is small, but not nothing.
    mean = rows.mean(axis=1)
    common *= float((mean**2).sum() / max(float((mean[held] ** 2).sum()), 1e-300))
    total = common + beyond
    if not total > 1e-30:
        return no_estimate("the returns never move", float(values.mean()) * bars_per_year**0.5)
    if beyond > 0:
        freedom = total**2 / (common**2 / law.freedom + beyond**2 / (count - 1))
        law = MeanLaw(law.count, law.mean, law.variance, freedom, law.skew)
    return _annual(float(values.mean()), total**0.5, law, bars_per_year)


def _window_variances(rows: Floats, held: NDArray[np.bool_]) -> tuple[float, float]:
    """Variance of the mean over runs, and of one run's own part; rows of shape (n, k)."""
    informed = rows[held]
    mean, count = informed.mean(axis=1), rows.shape[1]
    apart = [_variance(MeanLaw.of(informed[:, i] - mean), len(rows)) for i in range(count)]
    common = _variance(MeanLaw.of(mean), len(rows))
    return common, float(np.mean(apart)) * count / (count - 1)


def _variance(law: MeanLaw, sessions: int) -> float:
    """Of the mean over all sessions, those without a position being 0."""
    return float(law.variance) * law.count / sessions**2


def edge(positions: Sequence[float], returns: Sequence[float]) -> float:
    """Mean of (position − mean position over earlier sessions) × return; 0 in expectation on a martingale.

    Args:
        positions: signed exposure held over each session, decided before it, shape (n,).
        returns: the instrument's gross return while it was held, shape (n,).
    """
    held, gained = np.asarray(positions, float), np.asarray(returns, float)
    if len(held) < 2:
        return float("nan")
    earlier = np.cumsum(held)[:-1] / np.arange(1, len(held))
    return float(((held[1:] - earlier) * gained[1:]).mean())


def one_sided_p(values: Sequence[float]) -> float:
    """p-value of a one-sided t-test that the mean of independent ``values`` is above 0."""
    from scipy.stats import ttest_1samp

    sample = np.asarray(values, float)
    if sample.std() == 0:
        return 1.0
    return float(ttest_1samp(sample, 0.0, alternative="greater").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    from statsmodels.stats.multitest import multipletests

    adjusted: list[float] = multipletests(list(p_values), method="holm")[1].tolist()
    return adjusted


def window_sentence(sessions: int, bars_per_year: float, estimate: Estimate | None) -> str:
    """What so short a window cannot show, in one sentence.

    Args:
        sessions: returns of the window, bar 0 left out.
        bars_per_year: how many of them a year has.
        estimate: the run's annual Sharpe ratio; None to leave it out.
    """
    # The large-sample error of a Sharpe ratio of 1 a year with independent normal returns (Lo 2002).
    per_session = 1.0 / bars_per_year**0.5
    half = Z_95 * ((1 + per_session**2 / 2) / sessions) ** 0.5 * bars_per_year**0.5
    years = sessions / bars_per_year
    text = (
        f"{sessions} sessions ({years:.1f} years) say little: even a true Sharpe ratio of 1 would be "
        f"measured anywhere from {1 - half:.1f} to {1 + half:.1f}"
    )
    if estimate is not None and estimate.why:
        text += f"; of this run's nothing can be said: {estimate.why}"
    elif estimate is not None:
        holds = "differs from 0" if estimate.apart else "cannot be told from 0"
        text += f"; this run's interval, {estimate.low:.1f} to {estimate.high:.1f}, {holds}"
    return text + "."
