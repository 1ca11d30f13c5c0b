"""What a run did, in figures: metrics, intervals, luck, and the check against vectorbt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varve.lazy import lazy

if TYPE_CHECKING:
    from varve.backtests.results.luck import (
        Deflated,
        deflated_sharpe,
        minimum_track_record,
        probabilistic_sharpe,
    )
    from varve.backtests.results.metric import Measured, Metric, Shown, in_words, registered_metrics
    from varve.backtests.results.metrics import Metrics, compute_metrics
    from varve.backtests.results.metrics_file import Figures, RunMetrics, read_metrics
    from varve.backtests.results.paper_scores import SCORING, Scored, carried, finagent_paper
    from varve.backtests.results.returns import SessionReturns, bars_per_year, session_returns
    from varve.backtests.results.sharpe import (
        Z_95,
        Estimate,
        SeedSplit,
        edge,
        holm,
        one_sided_p,
        pooled_difference,
        pooled_sharpe,
        seed_split,
        sharpe_difference,
        sharpe_estimate,
        sharpe_per_session,
        window_sentence,
    )
    from varve.backtests.results.tables import Tables, check_ledger, derive_tables, recorded_trading
    from varve.backtests.results.track import Track, split_factors, track_of_records, track_of_rows
    from varve.backtests.results.trial_count import TrialCount, count_trials, deflate, trials_sentence

_HOMES = {
    "Deflated": "luck",
    "Estimate": "sharpe",
    "Figures": "metrics_file",
    "Measured": "metric",
    "Metric": "metric",
    "Metrics": "metrics",
    "RunMetrics": "metrics_file",
    "SCORING": "paper_scores",
    "Scored": "paper_scores",
    "SeedSplit": "sharpe",
    "SessionReturns": "returns",
    "Shown": "metric",
    "Tables": "tables",
    "Track": "track",
    "TrialCount": "trial_count",
    "Z_95": "sharpe",
    "bars_per_year": "returns",
    "carried": "paper_scores",
    "check_ledger": "tables",
    "compute_metrics": "metrics",
    "count_trials": "trial_count",
    "deflate": "trial_count",
    "deflated_sharpe": "luck",
    "derive_tables": "tables",
    "edge": "sharpe",
    "finagent_paper": "paper_scores",
    "holm": "sharpe",
    "in_words": "metric",
    "minimum_track_record": "luck",
    "one_sided_p": "sharpe",
    "pooled_difference": "sharpe",
    "pooled_sharpe": "sharpe",
    "probabilistic_sharpe": "luck",
    "read_metrics": "metrics_file",
    "recorded_trading": "tables",
    "registered_metrics": "metric",
    "seed_split": "sharpe",
    "session_returns": "returns",
    "sharpe_difference": "sharpe",
    "sharpe_estimate": "sharpe",
    "sharpe_per_session": "sharpe",
    "split_factors": "track",
    "track_of_records": "track",
    "track_of_rows": "track",
    "trials_sentence": "trial_count",
    "window_sentence": "sharpe",
}

__all__ = [
    "SCORING",
    "Z_95",
    "Deflated",
    "Estimate",
    "Figures",
    "Measured",
    "Metric",
    "Metrics",
    "RunMetrics",
    "Scored",
    "SeedSplit",
    "SessionReturns",
    "Shown",
    "Tables",
    "Track",
    "TrialCount",
    "bars_per_year",
    "carried",
    "check_ledger",
    "compute_metrics",
    "count_trials",
    "deflate",
    "deflated_sharpe",
    "derive_tables",
    "edge",
    "finagent_paper",
    "holm",
    "in_words",
    "minimum_track_record",
    "one_sided_p",
    "pooled_difference",
    "pooled_sharpe",
    "probabilistic_sharpe",
    "read_metrics",
    "recorded_trading",
    "registered_metrics",
    "seed_split",
    "session_returns",
    "sharpe_difference",
    "sharpe_estimate",
    "sharpe_per_session",
    "split_factors",
    "track_of_records",
    "track_of_rows",
    "trials_sentence",
    "window_sentence",
]


__getattr__ = lazy(__name__, _HOMES)
