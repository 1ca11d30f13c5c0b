"""Nobody has an edge on noise, a planted one is found, and news helps FinMem where news means something.

Seeds are fixed and published here: 0 to 19 for noise, 0 to 9 for the default world.
"""

from dataclasses import replace
from datetime import date

import pytest

from tests.support.helpers import prepared
from varve import registry
from varve.backtests.integrity.audit import Listener, gross_edge
from varve.backtests.results.metrics import compute_metrics
from varve.backtests.results.sharpe import holm, one_sided_p
from varve.backtests.results.track import track_of_records
from varve.backtests.simulate.steps import simulate
from varve.market.worlds import sample_world

NOISE_SEEDS, DEFAULT_SEEDS = range(20), range(10)
NOISE_START, NOISE_END = date(2023, 1, 3), date(2023, 6, 27)
"""120 decisions."""
YEAR = {"start": date(2024, 1, 2), "end": date(2024, 12, 31), "warmup_start": date(2023, 7, 3)}
LEVEL = 0.01
TICKER = "MSFT"


def noise_run(name, world, seed):
    options = {"start": NOISE_START, "end": NOISE_END, "world": world, "world_seed": seed, "seed": seed}
    if name == "listener":
        return replace(prepared("buy-and-hold", TICKER, **options), trader_class=Listener)
    if name in ("finmem", "finagent"):
        options["warmup_start"] = date(2022, 11, 1)
    if name == "random":
        options["settings"] = {"flip_probability": 0.2}
    return prepared(name, TICKER, **options)


def p_values(names, world):
    # By seed first: the traders then share a world that is made once.
    edges = [[gross_edge(noise_run(name, world, seed)) for name in names] for seed in NOISE_SEEDS]
    return holm([one_sided_p(of_one) for of_one in zip(*edges, strict=True)])


@pytest.mark.timeout(600)
def test_nobody_has_an_edge_on_noise_and_a_planted_one_is_found():
    names = [*registry.names("agents"), *registry.names("strategies")]
    on_noise = p_values([*names, "listener"], "noise")
    assert min(on_noise) > LEVEL, dict(zip([*names, "listener"], on_noise, strict=True))
    planted = dict(zip([*names, "listener"], p_values([*names, "listener"], "planted"), strict=True))
    assert planted["listener"] < LEVEL, planted


def sharpe(news, world, seed):
    options = {"world": world, "world_seed": seed, "seed": seed, "news": news, **YEAR}
    run = prepared("finmem", "TSLA", **options)
    track = track_of_records("finmem", simulate(run), run)
    return compute_metrics(track, 252).sharpe or 0.0


def news_gains(world):
    return [sharpe(True, world, seed) - sharpe(False, world, seed) for seed in DEFAULT_SEEDS]


@pytest.mark.timeout(600)
def test_news_helps_where_it_leads_prices():
    gains = news_gains("strong")
    assert sum(gain > 0 for gain in gains) >= 9, gains


@pytest.mark.timeout(600)
def test_news_does_not_help_where_it_means_nothing():
    gains = news_gains("noise")
    assert sum(gain > 0 for gain in gains) < 9, gains
    assert one_sided_p(gains) > LEVEL, gains


def test_the_noise_window_is_what_it_says():
    run = noise_run("buy-and-hold", "noise", 0)
    assert run.window.last - run.window.first == 120
    assert run.data.content_hash != sample_world(TICKER).content_hash
