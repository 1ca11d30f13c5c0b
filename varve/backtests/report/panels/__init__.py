"""Varve's own report panels, one file each; see :mod:`varve.backtests.report.panel`."""
