"""What the result table shows of a window, and what it does not."""

import json

import pytest

from tests.support.helpers import START
from varve.backtests.config import RunConfig
from varve.backtests.report.metric_rows import table_rows
from varve.backtests.results.metrics_file import read_metrics
from varve.backtests.runner import run_backtest


@pytest.mark.parametrize(("end", "shown"), [("2023-05-31", False), ("2024-03-28", True)])
def test_a_window_shorter_than_a_year_is_not_compounded_to_one(varve_home, end, shown):
    folder = run_backtest(
        RunConfig.build(agent="buy-and-hold", ticker="TSLA", data="sample", start=START, end=end)
    )
    rows = {row[0]: row[1] for row in table_rows(read_metrics(folder))[1]}
    for label in ("annual return", "Calmar"):
        assert ("years, 1 needed" in rows[label]) != shown
    assert rows["total return"].endswith("%")
    kept = json.loads((folder.path / "metrics.json").read_text())["columns"][0]["metrics"]
    assert kept["annual_return"] is not None
