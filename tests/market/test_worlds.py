"""Sample worlds: generated forward, plausible, led by text where they say so, and noise where they say so."""

import subprocess
import sys
from bisect import bisect_left
from datetime import date

import numpy as np
import pytest

from varve.errors import NoDataError, UnknownNameError
from varve.market import get_calendar
from varve.market.worlds import TICKERS, WORLDS, sample_world
from varve.market.worlds.grammar import patterns
from varve.market.worlds.specs import LAST_SESSION, PLANTED_EDGE_PER_YEAR, PLANTED_PHRASE, SPECS

POSITIVE = {
    "beats",
    "surges",
    "raises",
    "record",
    "upgrades",
    "wins",
    "jump",
    "strong",
    "gains",
    "rise",
    "robust",
}
NEGATIVE = {
    "misses",
    "weakens",
    "cuts",
    "downgrades",
    "loses",
    "plunge",
    "probe",
    "lawsuit",
    "fall",
    "delays",
}


def split_adjusted(data):
    closes = data.bars.close.copy()
    for event in data.events:
        if event.kind == "split":
            closes[data.bars.sessions < np.datetime64(event.session)] /= event.value
    return closes


@pytest.mark.parametrize("ticker", TICKERS)
@pytest.mark.parametrize("world", WORLDS)
def test_bars_are_possible_and_text_is_readable_in_time(ticker, world):
    data = sample_world(ticker, world=world)
    bars = data.bars
    assert (bars.session(0), bars.session(len(bars) - 1)) == (date(2020, 1, 2), LAST_SESSION)
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low > 0).all()
    assert (bars.volume > 0).all()
    assert data.provenance.synthetic
    assert all(d.event_time < d.available_at for d in data.documents)
    assert len({d.id for d in data.documents}) == len(data.documents)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("ticker", ["TSLA", "ETH-USD"])
def test_a_longer_world_begins_with_the_shorter_one(ticker, world):
    long = sample_world(ticker, world=world, seed=5)
    short = sample_world(ticker, world=world, seed=5, end=date(2021, 3, 1))
    n = len(short.bars)
    for column in ("open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(short.bars, column), getattr(long.bars, column)[:n])
    assert short.documents == long.documents[: len(short.documents)]
    assert short.events == long.events[: len(short.events)]


def test_seeds_and_worlds_differ_and_python_s_hash_seed_does_not_matter():
    hashes = {sample_world("TSLA", world=w, seed=s).content_hash for w in WORLDS for s in (0, 1)}
    assert len(hashes) == 2 * len(WORLDS)
    code = "from varve.market.worlds import sample_world; print(sample_world('TSLA').content_hash)"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        )
        assert done.stdout.strip() == sample_world("TSLA").content_hash


@pytest.mark.parametrize("ticker", TICKERS)
def test_volatility_is_the_name_s_own_and_clusters(ticker):
    per_year = get_calendar(SPECS[ticker].calendar).sessions_per_year
    found, clustered = [], []
    for seed in range(5):
        returns = np.diff(np.log(split_adjusted(sample_world(ticker, seed=seed))))
        found.append(returns.std() * per_year**0.5)
        clustered.append(np.corrcoef(np.abs(returns[1:]), np.abs(returns[:-1]))[0, 1])
    assert np.mean(found) == pytest.approx(SPECS[ticker].volatility, rel=0.25)
    assert np.mean(clustered) > 0.05


def test_a_split_divides_the_raw_price_and_multiplies_the_volume():
    data = sample_world("AMZN")
    (split,) = [e for e in data.events if e.kind == "split"]
    at = int(np.searchsorted(data.bars.sessions, np.datetime64(split.session)))
    assert data.bars.open[at] * split.value == pytest.approx(data.bars.close[at - 1], rel=0.15)
    volume = data.bars.volume
    assert volume[at : at + 20].mean() / volume[at - 20 : at].mean() == pytest.approx(split.value, rel=0.3)


def test_microsoft_pays_quarterly():
    amounts = [e.value for e in sample_world("MSFT").events if e.kind == "dividend"]
    assert len(amounts) == 20
    assert all(amount > 0 for amount in amounts)


def tone_and_later_return(ticker, world, seeds):
    """Per headline with a clear tone: its sign, and the return from the next open over ten sessions."""
    tones, moves = [], []
    for seed in seeds:
        data = sample_world(ticker, world=world, seed=seed)
        calendar, bars = get_calendar(data.instrument.calendar), data.bars
        decisions = [calendar.decision_at(bars.session(i)) for i in range(len(bars))]
        factor = split_adjusted(data) / bars.close
        opens, closes = bars.open * factor, bars.close * factor
        for document in data.documents:
            words = set(document.text.lower().split())
            tone = len(words & POSITIVE) - len(words & NEGATIVE)
            at = bisect_left(decisions, document.available_at)
            if tone and document.kind == "news" and at + 10 < len(bars):
                tones.append(np.sign(tone))
                moves.append(np.log(closes[at + 10] / opens[at + 1]))
    return np.array(tones), np.array(moves)


def test_text_leads_prices_less_in_the_default_world_and_not_at_all_in_noise():
    tones, moves = tone_and_later_return("TSLA", "strong", range(3))
    assert (strong := np.corrcoef(tones, moves)[0, 1]) > 0.15
    tones, moves = tone_and_later_return("TSLA", "default", range(3))
    assert 0.08 < np.corrcoef(tones, moves)[0, 1] < strong
    tones, moves = tone_and_later_return("TSLA", "noise", range(6))
    assert abs(np.corrcoef(tones, moves)[0, 1]) < 0.05


def test_noise_is_a_martingale_in_both_parts_of_a_session():
    gaps, days = [], []
    for seed in range(40):
        bars = sample_world("MSFT", world="noise", seed=seed).bars
        gaps.append(bars.open[1:] / bars.close[:-1] - 1)
        days.append(bars.close / bars.open - 1)
    for part in (np.concatenate(gaps), np.concatenate(days)):
        assert abs(part.mean() / (part.std() / len(part) ** 0.5)) < 3


def test_the_planted_phrase_is_worth_what_it_says():
    earned = []
    for seed in range(30):
        data = sample_world("MSFT", world="planted", seed=seed)
        decisions = [get_calendar("XNYS").decision_at(data.bars.session(i)) for i in range(len(data.bars))]
        said = np.zeros(len(decisions))
        for document in data.documents:
            if PLANTED_PHRASE in document.text:
                said[bisect_left(decisions, document.available_at)] = 1
        day = data.bars.close / data.bars.open - 1
        earned.append(((said[:-1] - said.mean()) * day[1:]).mean() * 252)
    error = np.std(earned) / len(earned) ** 0.5
    assert np.mean(earned) == pytest.approx(PLANTED_EDGE_PER_YEAR, abs=3 * error)
    assert error < 0.03


def test_there_are_about_sixty_headline_patterns_and_each_has_its_place():
    kinds = patterns()
    assert sum(len(kinds[tone]) for tone in ("positive", "negative", "neutral", "mixed")) >= 60
    every = [p for options in kinds.values() for p in options]
    assert len(set(every)) == len(every)


def test_what_does_not_exist_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'TSLA'"):
        sample_world("TSAL")
    with pytest.raises(UnknownNameError, match="noise"):
        sample_world("TSLA", world="nose")
    with pytest.raises(NoDataError, match="2019-01-01"):
        sample_world("TSLA", end=date(2019, 1, 1))


def test_the_strong_world_is_the_default_one_with_a_stronger_lead() -> None:
    """Both have the same draws: texts and gaps are equal, and days without a lead move alike."""
    default, strong = (sample_world("TSLA", world=world, seed=3) for world in ("default", "strong"))
    assert [d.text for d in default.documents if d.kind == "news"] == [
        d.text for d in strong.documents if d.kind == "news"
    ]
    moves = [np.log(w.bars.close / w.bars.open) for w in (default, strong)]
    daily = 0.56 / 252**0.5
    shifts = (moves[1] - moves[0]) / daily
    # A day's part of the difference is (0.40 - 0.31) times a whole number of leads, but for what follows
    # from it: the pull to the start and the variance of later days.
    assert np.corrcoef(shifts, np.round(shifts / 0.09))[0, 1] > 0.9
    assert 0.04 < np.abs(shifts).mean() < 0.25
