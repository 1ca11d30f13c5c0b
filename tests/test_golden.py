"""Golden runs: every statistic and a hash of the order list, pinned. ``make golden`` writes them anew."""

import hashlib
import json
from datetime import date
from pathlib import Path

import pytest

from tests.helpers import prepared
from varve.backtests.derive import track_of_records
from varve.backtests.metrics import compute_metrics
from varve.backtests.run import simulate
from varve.config import canonical_json
from varve.market.calendars import get_calendar

FILE = Path(__file__).parent / "golden" / "runs.json"

RUNS = {
    "finmem on TSLA": {"agent": "finmem"},
    "finmem on TSLA without news": {"agent": "finmem", "news": False},
    "finmem, risk averse, on AMZN": {"agent": "finmem", "ticker": "AMZN",
                                     "settings": {"profile": "risk_averse"}},
    "finmem on ETH-USD": {"agent": "finmem", "ticker": "ETH-USD"},
    "finmem by the unit, short": {"agent": "finmem", "ticker": "NFLX", "sizer": "finmem_unit"},
    "finmem on noise": {"agent": "finmem", "world": "noise"},
    "finmem over a split": {"agent": "finmem", "start": date(2022, 7, 15), "end": date(2022, 9, 30),
                            "warmup_start": date(2022, 6, 1)},
    "finmem, same close": {"agent": "finmem", "ticker": "COIN", "fill": "same_close"},
    "buy-and-hold with dividends": {"agent": "buy-and-hold", "ticker": "MSFT", "start": date(2022, 1, 3),
                                    "end": date(2022, 12, 30)},
    "random over a split": {"agent": "random", "ticker": "AMZN", "start": date(2022, 4, 1),
                            "end": date(2022, 8, 1), "settings": {"flip_probability": 0.2}},
    "sma-cross, zero costs": {"agent": "sma-cross", "ticker": "NFLX", "costs": "zero"},
    "sma-cross by fractions": {"agent": "sma-cross", "ticker": "COIN", "sizer": "fraction"},
}  # fmt: skip


def figures(name):
    run = prepared(**RUNS[name])
    records = simulate(run)
    agent = run.config.agent
    track = track_of_records(agent, records, run)
    per_year = get_calendar(run.data.instrument.calendar).sessions_per_year
    trading = [r for r in records if r.phase == "trade"]
    orders = [[r.session.isoformat(), *order] for r in trading for order in r.orders]
    actions = [[intent.action.value for intent in r.decision.orders] for r in trading]
    return {
        "metrics": compute_metrics(track, per_year).json(),
        "orders": len(orders),
        "order_list_sha256": hashlib.sha256(canonical_json(orders).encode()).hexdigest(),
        "actions_sha256": hashlib.sha256(canonical_json(actions).encode()).hexdigest(),
        "failures": sum(r.decision.failure is not None for r in records),
        "lessons": sum(r.phase == "warmup" for r in records),
        "data_sha256": run.data.content_hash,
    }


@pytest.fixture(scope="module")
def golden(request):
    if request.config.getoption("--update-golden"):
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps({name: figures(name) for name in RUNS}, indent=1, sort_keys=True) + "\n")
    return json.loads(FILE.read_text())


@pytest.mark.parametrize("name", RUNS)
def test_golden(golden, name):
    now, then = figures(name), golden[name]
    # Statistics pass through linear algebra libraries, whose last digits differ between machines.
    measured, pinned = now.pop("metrics"), dict(then).pop("metrics")
    assert measured == pytest.approx(pinned, rel=1e-9, abs=1e-9, nan_ok=True)
    assert now == {key: value for key, value in then.items() if key != "metrics"}


def test_golden_runs_trade_and_differ(golden):
    assert set(golden) == set(RUNS)
    assert all(run["orders"] for run in golden.values())
    assert len({run["order_list_sha256"] for run in golden.values()}) == len(RUNS)
