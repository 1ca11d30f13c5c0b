"""How many of 200 runs claim an edge where none can be: FinMem on ``scripted`` in the noise world.

``python -m benchmarks.noise_world [FIRST LAST]`` runs the seeds 1 to 200, fixed beforehand, with the
settings that a run has by itself, in memory. A claim is an interval wholly above 0, or a probabilistic
Sharpe ratio above 95 %; of 200 runs at 5 %, at most 17 may claim one (the binomial law's 98 % point).
Intervals wholly below 0 are counted apart: costs are real there.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from benchmarks.machine import describe
from varve.backtests.config import RunConfig
from varve.backtests.results.luck import probabilistic_sharpe
from varve.backtests.results.returns import SessionReturns, bars_per_year
from varve.backtests.results.sharpe import Estimate, sharpe_estimate
from varve.backtests.results.track import track_of_records
from varve.backtests.simulate.prepare import prepare
from varve.backtests.simulate.steps import simulate

FIRST, LAST = 1, 200
TICKER = "TSLA"
ALLOWED = 17


class Outcome(NamedTuple):
    """One run: its Sharpe ratio, P(Sharpe > 0), the share of sessions in position and the spells."""

    sharpe: Estimate
    above: float
    held: float
    spells: int

    @property
    def claims(self) -> bool:
        """Whether it claims an edge."""
        return self.sharpe.low > 0 or self.above > 0.95


def outcome(seed: int) -> Outcome:
    """Run one seed, of world and agent both."""
    config = RunConfig.build(
        agent="finmem",
        ticker=TICKER,
        data="sample",
        world="noise",
        world_seed=seed,
        seed=seed,
        llm="scripted",
    )
    prepared = prepare(config)
    track = track_of_records("finmem", simulate(prepared), prepared)
    sample = SessionReturns.of(track)
    year = bars_per_year(track, prepared.data.instrument.calendar)
    held = sample.sessions_in_position / len(sample)
    return Outcome(sharpe_estimate(sample, year), probabilistic_sharpe(sample), held, sample.spells)


def main() -> None:
    """Print the counts."""
    first, last = (int(value) for value in sys.argv[1:3]) if len(sys.argv) > 2 else (FIRST, LAST)
    found = []
    for seed in range(first, last + 1):
        found.append(outcome(seed))
        if seed % 20 == 0:
            print(f"{seed - first + 1} runs", file=sys.stderr, flush=True)
    told = [one for one in found if not one.sharpe.why]
    print(f"FinMem on scripted, {TICKER}, sample world noise, seeds {first} to {last}:")
    print(f"  claim an edge (interval wholly above 0, or PSR > 95 %): {sum(o.claims for o in found)}")
    print(f"  interval wholly above 0: {sum(o.sharpe.low > 0 for o in found)}")
    print(f"  PSR above 95 %: {sum(o.above > 0.95 for o in found)}")
    print(f"  interval wholly below 0: {sum(o.sharpe.high < 0 for o in found)}")
    print(f"  nothing can be said: {len(found) - len(told)}")
    print(f"  mean share of sessions in position: {sum(o.held for o in found) / len(found):.2f}")
    print(f"  mean spells: {sum(o.spells for o in found) / len(found):.1f}")
    print(describe())


if __name__ == "__main__":
    main()
