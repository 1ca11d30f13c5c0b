"""Prepare a run and walk through its days; read a run back from its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.simulate.from_record import (
        bar_index,
        check_software,
        model_json,
        prepare_recorded,
        recorded_data,
    )
    from varve.backtests.simulate.prepare import Prepared, check_trading, find_trader
    from varve.backtests.simulate.rule_search import trials_of_search, tuning_sentence
    from varve.backtests.simulate.starting_memory import (
        import_snapshot,
        keep_with_run,
        knows_future,
        memory_entry,
        memory_sentences,
        snapshot_id,
    )
    from varve.backtests.simulate.steps import (
        cached_replies,
        make_simulation,
        run_baseline,
        simulate,
        steps_of,
    )
    from varve.backtests.simulate.window import Window

_HOMES = {
    "Prepared": "prepare",
    "Window": "window",
    "bar_index": "from_record",
    "cached_replies": "steps",
    "check_software": "from_record",
    "check_trading": "prepare",
    "find_trader": "prepare",
    "import_snapshot": "starting_memory",
    "keep_with_run": "starting_memory",
    "knows_future": "starting_memory",
    "make_simulation": "steps",
    "memory_entry": "starting_memory",
    "memory_sentences": "starting_memory",
    "model_json": "from_record",
    "prepare_recorded": "from_record",
    "recorded_data": "from_record",
    "run_baseline": "steps",
    "simulate": "steps",
    "snapshot_id": "starting_memory",
    "steps_of": "steps",
    "trials_of_search": "rule_search",
    "tuning_sentence": "rule_search",
}

__all__ = [
    "Prepared",
    "Window",
    "bar_index",
    "cached_replies",
    "check_software",
    "check_trading",
    "find_trader",
    "import_snapshot",
    "keep_with_run",
    "knows_future",
    "make_simulation",
    "memory_entry",
    "memory_sentences",
    "model_json",
    "prepare_recorded",
    "recorded_data",
    "run_baseline",
    "simulate",
    "snapshot_id",
    "steps_of",
    "trials_of_search",
    "tuning_sentence",
]


__getattr__ = lazy(__name__, _HOMES)
