"""Runs, their records and results: runner, journal, metrics, statistics, reports and the command."""
